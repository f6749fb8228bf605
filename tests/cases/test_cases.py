"""Small inputs as users bring them, made by a builder outside of the project, whose README says what is right for each.
These tests hold the commands against it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qumade import cli

BUILDER = Path(os.environ.get("QUMADE_TEST_CASES", Path(__file__).parents[3] / "shared" / "cases")) / "make_cases.py"
pytestmark = pytest.mark.skipif(not BUILDER.is_file(), reason=f"needs the builder of cases at {BUILDER}")

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    subprocess.run([sys.executable, BUILDER, folder], check=True, capture_output=True)
    return folder


@pytest.fixture
def run(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Calls a command inside the folder of a case; returns the exit code and all that was printed."""

    def call(case: str, command: str) -> tuple[int, str]:
        (folder,) = built.glob(f"{case}-*")
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["qumade", *command.replace("$T", str(tmp_path)).split()])
        with pytest.raises(SystemExit) as raised:
            cli.main()
        printed = capsys.readouterr()
        return int(raised.value.code or 0), printed.out + printed.err

    return call


def iou(mask: Path, truth: Path) -> float:
    found, true = (np.asarray(Image.open(path).convert("L")) >= 128 for path in (mask, truth))
    return float((found & true).sum() / (found | true).sum())


ASSETS = "--backgrounds backgrounds --foregrounds foregrounds"
REFUSED = [
    ("01", "import coco coco --out $T/o", ("shrunk.jpg", "640x480", "320x240")),
    ("02", "import coco all --out $T/o", ("annotation 1", "no outline")),
    ("03", "import coco coco --out $T/o", ("annotation 2", "image_id 2")),
    ("05", "cutouts coco --dataset coco --out $T/o", ("1 occluded",)),
    ("06", f"generate {ASSETS} --masks masks --out $T/o --limit 12", ("colours", "masks/")),
    ("07", "import pairs ids-0-5 --masks masks --out $T/o", ("level 5", "masks/")),
    ("07", "import pairs ids-0-15-255 --masks masks --out $T/o", ("level 15", "255", "masks/")),
    ("10", f"generate {ASSETS} --labels labels --label-names cityscapes --placement semantic --out $T/o", ("ids 23",)),
    ("11", f"generate {ASSETS} --depths depths --out $T/o", ("grows towards the lower edge",)),
    ("13", f"generate {ASSETS} --out $T/o --limit 6 --strict", ("IMG_0001.HEIC",)),
    ("31", f"generate {ASSETS} --depths depths --out $T/o --limit 6", ("86.7% unknown",)),
]


@pytest.mark.parametrize(("case", "command", "words"), REFUSED)
def test_what_cannot_be_right_is_refused_by_name(
    run: Run, tmp_path: Path, case: str, command: str, words: tuple[str, ...]
) -> None:
    code, text = run(case, command)
    assert code == 1 and all(word in text for word in words), text
    assert not (tmp_path / "o" / "manifest.parquet").exists()


NAMED = [
    ("08", f"check {ASSETS}", 0, ("hatchback.png", "4 faint pixels")),
    ("10", f"check {ASSETS} --labels labels --label-names cityscapes", 1, ("ids 23", "cityscapes_ids")),
    ("13", f"generate {ASSETS} --out $T/o --limit 6", 0, ("entries are left out", "IMG_0001.HEIC", "day/", "night/")),
    ("15", "import pairs pairs --masks masks --out $T/o", 0, ("5 samples", "p3.jpg", "P3.png")),
    ("23", f"check {ASSETS}", 0, ("premultiplied", "suv.png")),
    ("28", "import virtual_kitti vkitti --out $T/o", 0, ("2 samples", "Scene02", "Scene06")),
    ("29", f"check {ASSETS} --masks masks", 1, ("beta_x3.jpg", "neither alpha nor a mask")),
    ("17", "stats synology", 0, ("mask",)),
    ("17", "stats windows-zone", 0, ("mask",)),
    ("17", "stats windows-thumbs", 0, ("mask",)),
    ("17", "stats mac", 0, ("mask",)),
]


@pytest.mark.parametrize(("case", "command", "code", "words"), NAMED)
def test_what_is_odd_is_named(run: Run, case: str, command: str, code: int, words: tuple[str, ...]) -> None:
    found, text = run(case, command)
    assert found == code and all(word in text for word in words), text


@pytest.mark.parametrize(
    ("case", "command"),
    [
        ("12", "import pairs pairs --masks masks --out $T/o"),
        ("14", "import pairs orientation-0 --masks masks --out $T/o"),
        ("14", "import pairs orientation-9 --masks masks --out $T/o"),
    ],
)
def test_what_is_right_is_taken(run: Run, case: str, command: str) -> None:
    code, text = run(case, command)
    assert code == 0 and "2 samples" in text


def test_a_photo_whose_label_is_unknown_is_no_background(run: Run, tmp_path: Path) -> None:
    code, text = run("02", "cutouts some --dataset coco --out $T/fg --backgrounds $T/bg")
    assert code == 0 and not list((tmp_path / "bg").iterdir()) and "annotation 2" in text
    code, _ = run("04", "cutouts coco --dataset coco --out $T/fg4 --backgrounds $T/bg4")
    assert code == 0 and not list((tmp_path / "bg4").iterdir()) and len(list((tmp_path / "fg4").iterdir())) == 1


@pytest.mark.parametrize("kind", ["two-points", "null", "no-key"])
def test_a_bad_annotation_of_another_class_stops_nothing(run: Run, built: Path, tmp_path: Path, kind: str) -> None:
    code, text = run("27b", f"import coco {kind} --out $T/o")
    assert code == 0 and "annotation 2" in text
    (mask,) = (tmp_path / "o" / "masks").iterdir()
    (folder,) = built.glob("27b-*")
    truth = next(folder.rglob(f"truth/{mask.stem}.png"))
    assert iou(mask, truth) >= 0.95


def test_a_finished_import_notices_that_its_labels_were_corrected(run: Run, built: Path, tmp_path: Path) -> None:
    assert run("40", "import coco coco --out $T/o")[0] == 0
    (folder,) = built.glob("40-*")
    annotations = folder / "coco" / "annotations" / "instances_train.json"
    before = annotations.read_bytes()
    try:
        shutil.copy(folder / "corrected.json", annotations)
        code, text = run("40", "import coco coco --out $T/o")
    finally:
        annotations.write_bytes(before)
    assert code == 1 and "made of other images or labels" in text


@pytest.mark.parametrize(("encoding", "told"), [("ascii", r"gro\xdf.jpg"), ("latin-1", "groß.jpg")])
def test_names_that_the_terminal_cannot_say_are_escaped(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, told: str
) -> None:
    text = _narrow(run, monkeypatch, encoding, f"check {ASSETS}", 1)
    assert told in text and "got another type of file" in text
    text = _narrow(run, monkeypatch, encoding, f"generate {ASSETS} --out $T/日-straße --limit 2 --workers 1", 0)
    assert r"\u65e5-stra" in text and told in text
    assert "complete: true" in (tmp_path / "日-straße" / "dataset.yaml").read_text()


def _narrow(run: Run, monkeypatch: pytest.MonkeyPatch, encoding: str, command: str, code: int) -> str:
    """Return what a command prints for a terminal of an encoding."""
    printed = BytesIO()
    with monkeypatch.context() as patch:
        for name in ("stdout", "stderr"):
            patch.setattr(sys, name, TextIOWrapper(printed, encoding, write_through=True))
        found, _ = run("21", command)
        text = printed.getvalue().decode(encoding)
    assert found == code, text
    return text
