"""The longest names that a file system allows, of 255 bytes, stop no verb that reads them, and what is named after
them is cut or refused by name before any work."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str]]
STEM = "ü" * 125 + "x"  # 251 bytes, and 4 of the suffix


@pytest.fixture(scope="module")
def long(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`inputs`, with one file of each folder and kind under the longest name."""
    root = tmp_path_factory.mktemp("long") / "in"
    shutil.copytree(inputs, root)
    for folder, stem in [("backgrounds", "photo_0"), ("labels", "photo_0"), ("foregrounds", "thing_0"),
                         ("pairs/images", "p0"), ("pairs/masks", "p0")]:  # fmt: skip
        (root / folder / f"{stem}.png").rename(root / folder / f"{STEM}.png")
    return root


@pytest.mark.parametrize(
    "command",
    [
        "check --recipe $IN/recipe.yaml --sheet $OUT/s.png",
        "generate --recipe $IN/recipe.yaml --limit 9 --workers 1 --out $OUT/o",
        "preview $IN/recipe.yaml --out $OUT/s.png",
        "start $IN/backgrounds $IN/foregrounds --depth-teacher none --out $OUT/o",
        "import pairs $IN/pairs --masks masks --workers 1 --out $OUT/o",
        "stats $IN/pairs --workers 1",
        "preview $IN/pairs --out $OUT/s.png",
        "convert $IN/pairs --to coco --workers 1 --out $OUT/o",
        "convert $IN/pairs --to voc --workers 1 --out $OUT/o",
        "convert $IN/pairs --to hf --workers 1 --out $OUT/o",
        "cutouts $IN/pairs --any-shape --workers 1 --out $OUT/o --backgrounds $OUT/b",
        "layout $IN/pairs --out $OUT/l.yaml",
        "evaluate $IN/run $IN/pairs --out $OUT/o",
        "adapt $IN/run $IN/backgrounds --out $OUT/o",
    ],
)
def test_long_names_are_read(run: Run, long: Path, trained: Path, tmp_path: Path, command: str) -> None:
    code, text = run(command.replace("$IN", str(long)).replace("$OUT", str(tmp_path)))
    assert code == 0, text


def test_predictions_of_a_name_that_is_too_long_are_refused(
    run: Run, long: Path, trained: Path, tmp_path: Path
) -> None:
    code, text = run(f"predict {long / 'run'} {long / 'backgrounds'} --out {tmp_path / 'o'}")
    assert code == 1 and "must be at most" in text and not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "command",
    [
        "generate --recipe $IN/recipe.yaml --limit 2 --workers 1 --out $OUT",
        "import pairs $IN/pairs --masks masks --workers 1 --out $OUT",
        "convert $IN/pairs --to coco --workers 1 --out $OUT",
        "cutouts $IN/pairs --any-shape --workers 1 --out $OUT",
        "preview $IN/pairs --out $OUT.png",
        "samples $OUT",
        "start $IN/backgrounds $IN/foregrounds --depth-teacher none --out $OUT",
        "predict $IN/run $IN/backgrounds --out $OUT",
        "evaluate $IN/run $IN/pairs --out $OUT",
        "adapt $IN/run $IN/backgrounds --out $OUT",
        "train $IN/pairs --steps 1 --workers 0 --pretrained none --out $OUT",
    ],
)
def test_an_output_that_cannot_be_named_so_is_refused_in_one_line(
    run: Run, inputs: Path, trained: Path, tmp_path: Path, command: str
) -> None:
    out = tmp_path / ("o" * 256)
    code, text = run(command.replace("$IN", str(inputs)).replace("$OUT", str(out)))
    assert code == 1 and "Traceback" not in text, text
    assert [line for line in text.splitlines() if line.startswith("Error: ") and str(out) in line], text
    assert not any(tmp_path.iterdir())
