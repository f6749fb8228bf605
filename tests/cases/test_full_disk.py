"""No verb loses anything on a full disk: wherever the first write fails, there is one line that names the file, and
the same command finishes afterwards with the bytes of a run that nothing disturbed. It also cleans up what a killed
process left in its folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., tuple[int, str]]
TINY = "--size 32 --steps 2 --batch-size 4 --val-limit 2 --workers 0 --threads 1 --pretrained none"
COMMANDS = {
    "generate": ("generate --backgrounds $IN/backgrounds --foregrounds $IN/foregrounds --size 32 --limit 6 --workers 1"
                 " --out $OUT", (0, 1000)),
    "import": ("import pairs $IN/pairs --masks masks --workers 1 --out $OUT", (0, 300)),
    "cutouts": ("cutouts $IN/pairs --any-shape --workers 1 --out $OUT/fg --backgrounds $OUT/bg", (0, 100)),
    "coco": ("convert $IN/made --to coco --workers 1 --out $OUT", (0, 300)),
    "yolo": ("convert $IN/made --to yolo --workers 1 --out $OUT", (0, 300)),
    "voc": ("convert $IN/made --to voc --workers 1 --out $OUT", (0, 300)),
    "hf": ("convert $IN/made --to hf --workers 1 --out $OUT", (0, 3000)),
    "samples": ("samples $OUT", (0, 20_000)),
    "check": ("check --recipe $IN/recipe.yaml --sheet $OUT/sheet.png", (0,)),
    "preview": ("preview $IN/pairs --out $OUT/sheet.png", (0,)),
    "layout": ("layout $IN/pairs --out $OUT/layout.yaml", (0,)),
    "start": ("start $IN/backgrounds $IN/foregrounds --depth-teacher none --out $OUT", (0, 3000)),
}  # fmt: skip
SLOW = {
    "train": (f"train $IN/pairs --out $OUT {TINY}", (0, 400, 100_000, 8_000_000)),
    "evaluate": ("evaluate $IN/run $IN/pairs --out $OUT", (0, 4000, 20_000)),
    "compare": ("compare $IN/run $IN/run --on $IN/pairs --out $OUT", (0, 4000)),
    "predict": ("predict $IN/run $IN/pairs/images --out $OUT", (0, 2000)),
    "adapt": ("adapt $IN/run $IN/backgrounds --out $OUT", (0, 3000)),
    "export": ("export $IN/run --out $OUT/model.onnx", (0,)),
}
IN_TIME = {"scores.parquet", "report.html", "comparison.html", "environment.json", "results.csv", "curves.png",
           "tfevents", "checkpoint/"}  # fmt: skip
"""Files that hold the time or the speed."""


def _tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def _check(run: Run, inputs: Path, tmp_path: Path, command: str, limits: tuple[int, ...]) -> None:
    command = command.replace("$IN", str(inputs))
    whole = tmp_path / "whole" / "out"
    needs_folder = "$OUT/" in command
    (whole if needs_folder else whole.parent).mkdir(parents=True)
    code, text = run(command.replace("$OUT", str(whole)))
    assert code == 0, text
    for limit in limits:
        out = tmp_path / f"at_{limit}" / "out"
        (out if needs_folder else out.parent).mkdir(parents=True)
        again = command.replace("$OUT", str(out))
        code, text = run(again, at_most=limit)
        assert code == 1 and "Traceback" not in text, text
        (line,) = [line for line in text.splitlines() if line.startswith("Error: ")]
        assert f"{out}" in line and "File too large" in line
        assert text.rstrip().endswith(line)
        assert not list(out.rglob(".tmp-*"))
        for folder in [path for path in (out, *out.rglob("*")) if path.is_dir()]:
            if folder == out or not any(path.is_dir() for path in folder.iterdir()):  # where files are written
                (folder / ".tmp-4711-left").write_bytes(b"by a kill")
        code, text = run(again)
        assert code == 0, text
        found, wanted = _tree(out.parent), _tree(whole.parent)
        same = {name for name in wanted if not any(each in name for each in IN_TIME)}
        if not needs_folder:  # the user's own folder is none of ours
            assert {name for name in found if "tfevents" not in name} == {n for n in wanted if "tfevents" not in n}
        differing = [
            name for name in same if found[name].replace(str(out).encode(), str(whole).encode()) != wanted[name]
        ]
        assert not differing


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_full_disk_loses_nothing(run: Run, inputs: Path, tmp_path: Path, verb: str) -> None:
    _check(run, inputs, tmp_path, *COMMANDS[verb])


@pytest.fixture
def one_translation(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch translates a network for the first export alone: that takes long, and writes nothing."""
    export = pytest.importorskip("qumade.prediction.export")
    translate, done = export._onnx_bytes, []

    def once(network: Any) -> bytes:
        if not done:
            done.append(translate(network))
        return done[0]

    monkeypatch.setattr(export, "_onnx_bytes", once)


@pytest.mark.slow
@pytest.mark.usefixtures("one_translation")
@pytest.mark.parametrize("verb", SLOW)
def test_a_full_disk_loses_nothing_of_a_network(
    run: Run, inputs: Path, trained: Path, tmp_path: Path, verb: str
) -> None:
    _check(run, inputs, tmp_path, *SLOW[verb])
