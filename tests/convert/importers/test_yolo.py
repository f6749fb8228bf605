from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.imports import NoticesChanges
from qumade.convert.importers.yolo import read_yolo
from qumade.errors import QumadeError

pytest.importorskip("pycocotools")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two photos of 20 x 10 pixels: a car and a dog in one, nothing in the other."""
    for folder in ("images/train", "labels/train", "images/val", "labels/val"):
        (tmp_path / folder).mkdir(parents=True)
    for path in ("images/train/a.png", "images/val/b.png"):
        Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(tmp_path / path)
    lines = "0 0.1 0.2 0.5 0.2 0.5 0.6 0.1 0.6\n2 0.4 0.4 0.9 0.4 0.9 0.9 0.4 0.9\n"
    (tmp_path / "labels" / "train" / "a.txt").write_text(lines)
    (tmp_path / "data.yaml").write_text(
        "path: /elsewhere\ntrain: images/train\nval: [images/val]\nnames: [car, cat, dog]\n"
    )
    return tmp_path


def test_outlines_become_pixels_and_other_classes_may_be_in_front(root: Path) -> None:
    source = read_yolo(root, ("car",))
    assert [(record.stem, record.split) for record in source.records] == [("a", "train"), ("b", "val")]
    labels = source.records[0].read_labels((10, 20))
    expected = np.zeros((10, 20), bool)
    expected[2:6, 2:10] = True
    expected[4:9, 8:18] = False  # the dog, whose line comes later, is in front
    np.testing.assert_array_equal(labels.mask == 255, expected)
    assert (labels.in_front > 0).sum() == 5 * 10
    assert not source.records[1].read_labels((10, 20)).mask.any()


def test_several_classes_keep_their_numbers(root: Path) -> None:
    source = read_yolo(root, ("dog", "car"))
    labels = source.records[0].read_labels((10, 20))
    assert source.folders == ("masks", "ignore", "instances")
    assert labels.object_classes == {1: 1, 2: 0}


@pytest.mark.parametrize(
    "line", ["7 0.1 0.1 0.2 0.2 0.3 0.1", "0 0.5 0.5 0.2 0.2", "0 0.1 0.1 0.2 nan 0.3 0.1", "x 1 1 1 1 1 1"]
)
def test_a_wrong_line_is_named(root: Path, line: str) -> None:
    path = root / "labels" / "train" / "a.txt"
    path.write_text(f"\n{line}\n")
    with pytest.raises(QumadeError, match=rf"got '{line}' in line 2 of {path}; must be a class number and the corners"):
        read_yolo(root).records[0].read_labels((10, 20))


@pytest.mark.parametrize("folder", ["../images", "/etc", "images/nowhere"])
def test_a_folder_outside_of_the_root_is_refused(root: Path, folder: str) -> None:
    (root / "data.yaml").write_text(f"train: {folder}\nnames: [car]\n")
    with pytest.raises(QumadeError, match=r"must be a folder of images below"):
        read_yolo(root)


def test_an_import_is_tied_to_names_and_labels(root: Path, notices_changes: NoticesChanges) -> None:
    label, names = root / "labels" / "train" / "a.txt", root / "data.yaml"
    changes = {
        label: b"",
        names: names.read_bytes().replace(b"car, cat, dog", b"dog, cat, car"),
        root / "labels" / "val" / "b.txt": label.read_bytes(),
    }
    notices_changes(lambda: read_yolo(root), changes)
