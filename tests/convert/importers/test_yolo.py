import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.imports import NoticesChanges
from qumade.convert.importers.yolo import read_yolo
from qumade.errors import QumadeError

pytest.importorskip("pycocotools")


def save(path: Path) -> None:
    Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two photos of 20 x 10 pixels: a car and a dog in one, nothing in the other."""
    for folder in ("images/train", "labels/train", "images/val", "labels/val"):
        (tmp_path / folder).mkdir(parents=True)
    for path in ("images/train/a.png", "images/val/b.png"):
        save(tmp_path / path)
    (tmp_path / "labels" / "val" / "b.txt").touch()
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
    "line",
    [
        "7 0.1 0.1 0.2 0.2 0.3 0.1",
        "0 0.5 0.5 0.2 0.2",  # a box
        "0 0.1 0.1 0.2 nan 0.3 0.1",
        "x 1 1 1 1 1 1",
        "0 2 2 9 2 9 6",  # pixels
        "0 -0.2 0.1 0.5 0.1 0.5 0.9",
        "0 0.1 0.1 0.2 0.2 0.3 0.1 0.4",
    ],
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


def test_an_image_beside_labelled_ones_shows_no_object(root: Path) -> None:
    save(root / "images" / "train" / "c.png")
    source = read_yolo(root)
    assert [record.stem for record in source.records] == ["a", "b", "c"] and not source.notes
    assert not source.records[2].read_labels((10, 20)).mask.any()


@pytest.mark.parametrize("labels", ["renamed", "missing"])
def test_a_folder_without_labels_is_left_out(root: Path, labels: str) -> None:
    (root / "labels" / "val" / "b.txt").rename(root / "labels" / "val" / "other.txt")
    if labels == "missing":
        (root / "labels" / "val" / "other.txt").unlink()
        (root / "labels" / "val").rmdir()
    source = read_yolo(root)
    assert [record.stem for record in source.records] == ["a"]
    assert re.fullmatch(r"1 image of .*val is left out: none has a label file in .*val", source.notes[0])


def test_what_is_left_out_is_named(root: Path) -> None:
    (root / "labels" / "train" / "gone.txt").touch()
    (root / "labels" / "train" / "classes.txt").write_text("car\ncat\n")
    (root / "images" / "train" / "deeper").mkdir()
    first, second = read_yolo(root).notes
    assert "deeper/" in first and second.endswith("without an image: gone.txt")


def test_names_in_another_unicode_form_belong_together(root: Path) -> None:
    for folder, suffix, form in (("images", "png", "NFC"), ("labels", "txt", "NFD")):
        path = root / folder / "train" / f"a.{suffix}"
        path.rename(path.with_name(unicodedata.normalize(form, f"stra\u00dfe_\u00fc.{suffix}")))
    assert read_yolo(root).records[1].read_labels((10, 20)).mask.any()


def test_a_label_file_may_start_with_a_mark(root: Path) -> None:
    path = root / "labels" / "train" / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_yolo(root).records[0].read_labels((10, 20)).mask.any()


def test_numbers_of_classes_may_have_gaps(root: Path) -> None:
    (root / "data.yaml").write_text("train: images/train\nnames: {0: car, 2: dog}\n")
    labels = read_yolo(root, ("dog",)).records[0].read_labels((10, 20))
    assert (labels.mask == 255).sum() == 5 * 10
    (root / "labels" / "train" / "a.txt").write_text("1 0.1 0.2 0.5 0.2 0.5 0.6\n")
    with pytest.raises(QumadeError, match="no class of data"):
        read_yolo(root, ("dog",)).records[0].read_labels((10, 20))


def test_a_class_named_ignore_is_unknown(root: Path) -> None:
    (root / "data.yaml").write_text("train: images/train\nnames: [car, cat, ignore]\n")
    labels = read_yolo(root).records[0].read_labels((10, 20))
    assert labels.ignore.sum() == 5 * 10 and not labels.in_front.any()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("kpt_shape: [4, 2]", r"got kpt_shape \[4, 2\], so its labels are boxes and keypoints, in .*data.yaml"),
        ("nc: 2", "Invalid nc: got 2 in .*data.yaml; must be the number of its names, 3"),
    ],
)
def test_labels_of_another_task_or_other_names_are_refused(root: Path, more: str, message: str) -> None:
    path = root / "data.yaml"
    path.write_text(path.read_text() + more + "\n")
    with pytest.raises(QumadeError, match=message):
        read_yolo(root)
