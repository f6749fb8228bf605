import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from qumade import demo
from qumade.data.opening import open_dataset
from qumade.errors import QumadeError
from qumade.training.checkpoint import latest_checkpoint, read_checkpoint

KEPT = 4  # backgrounds and cut-outs to keep: with all of them, planning alone takes seconds
SIZE = 64, 64
RunDemo = Callable[[Path], str]


@pytest.fixture(scope="module")
def run_demo() -> Iterator[RunDemo]:
    """Runs the demo on a few of the bundled samples, with a training of seconds; returns its output."""
    write_samples, load_recipe = demo.write_samples, demo.load_recipe

    def few_samples(folder: Path) -> None:
        write_samples(folder)
        for name in ("backgrounds", "foregrounds"):
            for path in sorted((folder / name).iterdir())[KEPT:]:
                path.unlink()

    def small_recipe(path: Path) -> Any:
        heights = {"height_m": {"default": 1.5}, "camera_height_m": {"default": 1.5}}
        return load_recipe(path).model_copy(update={**heights, "size": SIZE, "per_pair": 2})

    def run(out: Path) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            demo.run_demo(out, 1, steps=3)
        return printed.getvalue()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "write_samples", few_samples)
        patch.setattr(demo, "load_recipe", small_recipe)
        yield run


@pytest.fixture(scope="module")
def made(run_demo: RunDemo, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("demo") / "out"
    return out, run_demo(out)


def state_of(folder: Path, *patterns: str) -> dict[Path, tuple[int, bytes]]:
    paths = [path for pattern in patterns for path in folder.glob(pattern) if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


@pytest.mark.slow
def test_every_output_listed_at_the_end_exists(made: tuple[Path, str]) -> None:
    out, text = made
    listed = [Path(line.strip()) for line in text.partition("\nLook at\n")[2].splitlines()[::2]]
    assert listed == [
        out / "samples.png", out / "placements.png", out / "run/val_pred.png", out / "report/report.html",
        out / "predictions",
    ]  # fmt: skip
    for path in listed[:3]:
        with Image.open(path) as image:
            assert image.format == "PNG" and image.width > SIZE[0]
    assert "<html" in listed[3].read_text()


@pytest.mark.slow
def test_the_steps_are_printed_in_order(made: tuple[Path, str]) -> None:
    out, text = made
    lines = text.splitlines()
    steps = [number for number, line in enumerate(lines) if line[:1].isdigit() and line[1:3] == ". "]
    assert [int(lines[number][0]) for number in steps] == list(range(1, 10))
    assert all(lines[number + 1].strip().startswith(str(out)) for number in steps)
    assert "0 errors" in text and "0 problems." in text and "trivial baseline" in text
    assert "Undertrained: 3 steps" in text and "masks overlap the true ones by" in text
    assert len((out / "run" / "results.csv").read_text().splitlines()) == 1 + 3  # curves of more than one point


@pytest.mark.slow
def test_a_dataset_is_composed_of_the_samples_and_trained_on(made: tuple[Path, str]) -> None:
    out, text = made
    dataset = open_dataset(out / "dataset")
    assert len(dataset) == KEPT * KEPT * 2 and f"{len(dataset)} samples.\n" in text
    assert dataset.depth_encoding is not None and dataset.depth_encoding.kind == "metric"
    config = yaml.safe_load((out / "run" / "config.yaml").read_text())
    assert config["data"] == "../dataset" and config["steps"] == 3
    checkpoint = latest_checkpoint(out / "run" / "checkpoint")
    assert checkpoint is not None and read_checkpoint(checkpoint)[1]["finished"]


@pytest.mark.slow
def test_some_of_the_reference_scenes_are_predicted(made: tuple[Path, str]) -> None:
    out, text = made
    scenes = sorted(path.stem for path in (out / "samples" / "reference" / "images").iterdir())
    masks = sorted(path.name for path in (out / "predictions").glob("*_mask.png"))
    assert len(scenes) == 64 and masks == [f"{stem}_mask.png" for stem in scenes[::8]]
    assert "8 images predicted.\n" in text


@pytest.mark.slow
def test_a_second_run_resumes_the_first(made: tuple[Path, str], run_demo: RunDemo) -> None:
    out, first = made
    parts = "dataset/*/*", "dataset/dataset.yaml", "run/weights/*", "run/results.csv", "run/checkpoint/*"
    before = state_of(out, *parts)
    assert len(before) > 3 * KEPT * KEPT * 2
    (out / "predictions" / "img000001_mask.png").unlink()
    text = run_demo(out)
    assert "It is already complete." in text and "It is already complete." not in first
    assert state_of(out, *parts) == before
    assert (out / "predictions" / "img000001_mask.png").is_file()


def test_a_folder_with_other_content_is_refused(run_demo: RunDemo, tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "thesis.txt").write_text("the only copy")
    with pytest.raises(QumadeError, match=r"got other content \(thesis.txt\)"):
        run_demo(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["samples", "thesis.txt"]
