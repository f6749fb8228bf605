"""A pipe or an endless device in the place of a file blocks no verb and fills no memory: it is named."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str]]
CHECK = "check --recipe $IN/recipe.yaml"
PLACES = [
    ("recipe.yaml", CHECK),
    ("backgrounds/photo_0.png", CHECK),
    ("foregrounds/thing_0.png", CHECK),
    ("labels/photo_0.png", CHECK),
    ("depths/photo_0.png", f"{CHECK} --depths $IN/depths"),
    ("depths/photo_0.npy", f"{CHECK} --depths $IN/depths"),
    ("reliefs/thing_0.png", f"{CHECK} --reliefs $IN/reliefs"),
    ("masks/thing_0.png", "generate --recipe $IN/recipe.yaml --masks $IN/masks --limit 2 --workers 1 --out $OUT"),
    ("names.yaml", f"{CHECK} --label-names $IN/names.yaml"),
    ("layout.yaml", f"{CHECK} --layout $IN/layout.yaml --placement perspective"),
    ("recipe.yaml", "generate --recipe $IN/recipe.yaml --limit 2 --workers 1 --out $OUT"),
    ("labels/photo_0.png", "generate --recipe $IN/recipe.yaml --limit 2 --workers 1 --strict --out $OUT"),
    ("pairs/images/p0.png", "import pairs $IN/pairs --masks masks --strict --out $OUT"),
    ("pairs/masks/p0.png", "import pairs $IN/pairs --masks masks --strict --out $OUT"),
    ("names.yaml", "import pairs $IN/pairs --masks masks --label-names $IN/names.yaml --class car --out $OUT"),
    ("coco/annotations/instances_train.json", "import coco $IN/coco --out $OUT"),
    ("pairs/masks/p0.png", "cutouts $IN/pairs --out $OUT --any-shape"),
    ("pairs/images/p0.png", "stats $IN/pairs --workers 1"),
    ("pairs/masks/p0.png", "preview $IN/pairs --out $OUT.png"),
    ("pairs/masks/p0.png", "convert $IN/pairs --to coco --workers 1 --out $OUT"),
    ("made/dataset.yaml", "stats $IN/made --workers 1"),
    ("made/manifest.parquet", "stats $IN/made --workers 1"),
    ("made/manifest.parquet", "audit $IN/made"),
    ("made/statistics.json", "audit $IN/made"),
    ("made/images/{first}.jpg", "audit $IN/made"),
    ("made/dataset.yaml", "convert $IN/made --to yolo --workers 1 --out $OUT"),
    ("config.yaml", "train --config $IN/config.yaml --out $OUT"),
    ("backgrounds/photo_0.png", "predict $IN/run $IN/backgrounds --out $OUT"),
    ("backgrounds/photo_0.png", "adapt $IN/run $IN/backgrounds --out $OUT --strict"),
    ("run/weights/best.json", "predict $IN/run $IN/backgrounds --out $OUT"),
    ("run/weights/best.safetensors", "predict $IN/run $IN/backgrounds --out $OUT"),
    ("model.onnx", "predict $IN/model.onnx $IN/backgrounds --out $OUT"),
    ("pairs/masks/p0.png", "evaluate $IN/run $IN/pairs --out $OUT"),
]


@pytest.mark.parametrize("kind", ["pipe", "endless"])
@pytest.mark.parametrize(("place", "command"), PLACES)
def test_it_is_named(
    run: Run, inputs: Path, trained: Path, tmp_path: Path, place: str, command: str, kind: str
) -> None:
    root = tmp_path / "in"
    shutil.copytree(inputs, root)
    first = sorted((root / "made" / "images").iterdir())[0].stem
    path = root / place.replace("{first}", first)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    code, text = run(command.replace("$IN", str(root)).replace("$OUT", str(tmp_path / "out")))
    assert code in (0, 1) and path.name in text and "Traceback" not in text, text
