from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.imports import NoticesChanges
from qumade.convert.importers.voc import CLASSES, read_voc
from qumade.errors import QumadeError


def save_palette(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    image.putpalette(list(range(256)) * 3)
    image.save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A photo of 8 x 6 pixels with a car (7 in the challenge) and a person (15), and void between them."""
    classes, objects = np.zeros((6, 8), np.uint8), np.zeros((6, 8), np.uint8)
    classes[:, :3], classes[:, 3], classes[:, 4:6] = 7, 255, 15
    objects[:, :3], objects[:, 3], objects[:, 4:6] = 1, 255, 2
    save_palette(tmp_path / "SegmentationClass" / "a.png", classes)
    save_palette(tmp_path / "SegmentationObject" / "a.png", objects)
    (tmp_path / "JPEGImages").mkdir()
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "JPEGImages" / "a.jpg")
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for name in ("trainval", "val"):
        (lists / f"{name}.txt").write_text("a\nnot_downloaded\n")
    return tmp_path


def test_objects_have_the_classes_of_their_pixels_and_void_is_ignored(root: Path) -> None:
    source = read_voc(root, ("person", "car"))
    (record,) = source.records
    assert (record.stem, record.split) == ("a", "val")
    labels = record.read_labels((6, 8))
    assert labels.instances[0].tolist() == [1, 1, 1, 0, 2, 2, 0, 0]
    assert labels.object_classes == {1: 1, 2: 0}
    assert labels.ignore[0].tolist() == [False] * 3 + [True] + [False] * 4


def test_one_class_leaves_the_others_in_front(root: Path) -> None:
    source = read_voc(root, ("car",))
    labels = source.records[0].read_labels((6, 8))
    assert source.folders == ("masks", "ignore")
    assert (
        labels.mask[0].tolist() == [255] * 3 + [0] * 5
        and (labels.in_front[0] > 0).tolist() == [False] * 4 + [True] * 2 + [False] * 2
    )


def test_labelmap_names_the_values(root: Path) -> None:
    names = ["background", "a", "b", "c", "d", "e", "f", "truck"]
    (root / "labelmap.txt").write_text("# comment\n" + "".join(f"{name}:0,0,0::\n" for name in names))
    with pytest.raises(QumadeError, match="must be a class, 1 to 7"):
        read_voc(root, ("truck",)).records[0].read_labels((6, 8))
    with pytest.raises(QumadeError, match="got 'car' for"):
        read_voc(root, ("car",))


def test_xml_that_disagrees_is_refused(root: Path) -> None:
    (root / "Annotations").mkdir()
    path = root / "Annotations" / "a.xml"
    path.write_text("<annotation><object><name>car</name></object><object><name>dog</name></object></annotation>")
    with pytest.raises(QumadeError, match=r"got 'person' in .*a\.png, but car, dog in .*a\.xml; must agree"):
        read_voc(root).records[0].read_labels((6, 8))
    path.write_text('<!DOCTYPE x [<!ENTITY a "b">]><annotation>&a;</annotation>')
    with pytest.raises(QumadeError, match=r"Invalid XML: got a document type in .*a\.xml"):
        read_voc(root).records[0].read_labels((6, 8))


def test_an_import_is_tied_to_maps_lists_names_and_xml(root: Path, notices_changes: NoticesChanges) -> None:
    maps = {root / name / "a.png" for name in ("SegmentationClass", "SegmentationObject")}
    (root / "Annotations").mkdir()
    names = "background:0,0,0::\n" + "".join(f"{name}:0,0,0::\n" for name in CLASSES)
    xml = b"<annotation><object><name>car</name></object><object><name>person</name></object></annotation>"
    changes = {path: path.read_bytes() + b" " for path in maps} | {
        root / "labelmap.txt": names.encode(),
        root / "Annotations" / "a.xml": xml,
        root / "ImageSets" / "Segmentation" / "train.txt": b"a\n",
    }
    notices_changes(lambda: read_voc(root), changes)
