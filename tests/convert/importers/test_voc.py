from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.imports import NoticesChanges
from qumade.convert.importers.voc import CLASSES, read_voc
from qumade.errors import QumadeError
from qumade.io.palette import voc_palette


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
    assert source.notes == (f"1 image in the lists of {root} is left out, without a photo or a map: not_downloaded",)
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
    with pytest.raises(QumadeError, match="must be a class, 1 to 7, 0 or 255"):
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


def change(root: Path, folder: str, *columns: int, value: int) -> None:
    with Image.open(root / folder / "a.png") as picture:
        values = np.array(picture)
    values[:, list(columns)] = value
    save_palette(root / folder / "a.png", values)


@pytest.mark.parametrize("folder", ["SegmentationClass", "SegmentationObject"])
def test_pixels_on_which_the_maps_do_not_agree_are_unknown(root: Path, folder: str) -> None:
    """The car covers columns 0 to 2. Where only one of the maps says so, it may be there or not."""
    change(root, folder, 0, value=0)
    labels = read_voc(root).records[0].read_labels((6, 8))
    assert labels.mask[0].tolist() == [0, 255, 255, 0, 0, 0, 0, 0]
    assert labels.ignore[0].tolist() == [True, False, False, True, False, False, False, False]


def test_a_class_without_any_object_is_unknown(root: Path) -> None:
    change(root, "SegmentationClass", 7, value=7)
    labels = read_voc(root).records[0].read_labels((6, 8))
    assert labels.ignore[0].tolist() == [False] * 3 + [True] + [False] * 3 + [True]


def test_values_without_a_name_are_refused(root: Path) -> None:
    change(root, "SegmentationClass", 7, value=40)
    with pytest.raises(QumadeError, match=r"got ids 40 \(12\.5%\) in .*a\.png; must be a class, 1 to 20"):
        read_voc(root).records[0].read_labels((6, 8))


@pytest.mark.parametrize("name", ["my photo 1", "stra\u00dfe"])
def test_names_may_have_spaces_quotes_marks_and_line_ends_of_windows(root: Path, name: str) -> None:
    for path in (
        root / "JPEGImages" / "a.jpg",
        *(root / f"Segmentation{part}" / "a.png" for part in ("Class", "Object")),
    ):
        path.rename(path.with_name(f"{name}{path.suffix}"))
    lists = root / "ImageSets" / "Segmentation"
    for path in lists.iterdir():
        path.unlink()
    (lists / "val.txt").write_bytes(f'\ufeff"{name}"\r\n'.encode())
    (lists / "._val.txt").write_bytes(b"\0\5")
    source = read_voc(root)
    assert [(record.stem, record.split) for record in source.records] == [(name, "val")] and not source.notes


def test_a_photo_with_a_difficult_object_of_the_class_is_no_background(root: Path) -> None:
    (root / "Annotations").mkdir()
    entry = "<object><name>{}</name><difficult>{}</difficult></object>"
    for difficult in (0, 1):
        lines = entry.format("car", 0) + entry.format("car", difficult) + entry.format("person", 0)
        (root / "Annotations" / "a.xml").write_text(f"<annotation>{lines}</annotation>")
        assert [read_voc(root, (name,)).records[0].uncertain for name in ("car", "person")] == [difficult == 1, False]


def test_maps_in_no_list_are_named(root: Path) -> None:
    for part in ("Class", "Object"):
        path = root / f"Segmentation{part}"
        (path / "b.png").write_bytes((path / "a.png").read_bytes())
    assert read_voc(root).notes[1].endswith("is left out, in no list of ImageSets/Segmentation: b.png")


def test_a_palette_in_another_order_is_refused(root: Path) -> None:
    """Colours tell what was meant: here car (7) and person (15) are numbered 1 and 2."""
    path = root / "SegmentationClass" / "a.png"
    with Image.open(path) as picture:
        values = np.array(picture)
    image = Image.fromarray(values)
    image.putpalette(voc_palette().ravel().tolist())
    image.save(path)
    assert (read_voc(root).records[0].read_labels((6, 8)).mask == 255).sum() == 18
    image = Image.fromarray(np.where(values == 7, 1, np.where(values == 15, 2, values)).astype(np.uint8))
    palette = voc_palette()
    palette[[1, 2]] = palette[[7, 15]]
    image.putpalette(palette.ravel().tolist())
    image.save(path)
    wanted = r"got value 1, aeroplane, in the colour 128, 128, 128 of car in .*a\.png; must be numbered as"
    with pytest.raises(QumadeError, match=wanted):
        read_voc(root).records[0].read_labels((6, 8))
    (root / "labelmap.txt").write_text("background:0,0,0::\ncar:128,128,128::\nperson:192,128,128::\n")
    labels = read_voc(root).records[0].read_labels((6, 8))
    assert (labels.mask == 255).sum() == 18 and (labels.in_front > 0).sum() == 12
