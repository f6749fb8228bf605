import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qumade.convert.importers.coco import read_coco
from qumade.convert.importers.writer import write_import
from qumade.errors import QumadeError

coco_mask = pytest.importorskip("pycocotools.mask")

SavePicture = Callable[[Path, np.ndarray], None]
HEIGHT, WIDTH = 12, 16


def runs_of(mask: np.ndarray) -> list[int]:
    """Returns the run lengths in column-major order, starting with a run of 0."""
    flat = mask.T.ravel().astype(np.int8)
    edges = np.flatnonzero(np.diff(flat, prepend=0, append=-1))
    return np.diff(edges, prepend=0).tolist() if flat[0] == 0 or len(edges) else [len(flat)]


def rectangle(left: int, top: int, right: int, bottom: int) -> list[float]:
    return [float(number) for number in (left, top, right, top, right, bottom, left, bottom)]


def make(root: Path, save_picture: SavePicture, annotations: list[dict[str, Any]], file_name: str = "01.png") -> Path:
    if ".." not in file_name and not file_name.startswith("/"):
        save_picture(root / "val2017" / file_name, np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    content = {
        "images": [{"id": 7, "file_name": file_name, "height": HEIGHT, "width": WIDTH}],
        "annotations": [{"id": n, "image_id": 7, **each} for n, each in enumerate(annotations)],
        "categories": [{"id": 3, "name": "car"}, {"id": 1, "name": "person"}],
    }
    path = root / "annotations" / "instances_val2017.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_polygons_runs_and_crowds(tmp_path: Path, save_picture: SavePicture) -> None:
    dot = np.zeros((HEIGHT, WIDTH), bool)
    dot[9:11, 1:4] = True
    packed = coco_mask.encode(np.asfortranarray(dot.astype(np.uint8)))["counts"].decode()
    crowd = np.zeros((HEIGHT, WIDTH), bool)
    crowd[:4, 10:] = True
    annotations = [
        {"category_id": 3, "iscrowd": 0, "segmentation": [rectangle(2, 1, 6, 5), rectangle(8, 1, 10, 5)]},
        {
            "category_id": 3,
            "iscrowd": 0,
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": packed},
        },
        {"category_id": 3, "iscrowd": 1, "segmentation": {"size": [HEIGHT, WIDTH], "counts": runs_of(crowd)}},
        {"category_id": 1, "iscrowd": 0, "segmentation": [rectangle(12, 8, 15, 11)]},
    ]
    make(tmp_path, save_picture, annotations)
    (record,) = read_coco(tmp_path).records
    assert (record.stem, record.split, record.source) == ("01", "val", "val2017/01.png")
    labels = record.read_labels((HEIGHT, WIDTH))
    first = np.zeros((HEIGHT, WIDTH), bool)
    first[1:5, 2:6] = first[1:5, 8:10] = True
    assert labels.mask is not None and labels.in_front is not None
    np.testing.assert_array_equal(labels.mask == 255, first | dot)
    np.testing.assert_array_equal(labels.ignore, crowd)
    np.testing.assert_array_equal(labels.instances, first * 1 + dot * 2)
    assert (labels.in_front > 0).sum() == 9


def test_an_image_without_annotations_is_background(tmp_path: Path, save_picture: SavePicture) -> None:
    path = make(tmp_path, save_picture, [GOOD])
    save_picture(tmp_path / "val2017" / "02.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    content = json.loads(path.read_text())
    content["images"].append(content["images"][0] | {"id": 8, "file_name": "02.png"})
    path.write_text(json.dumps(content))
    first, second = (record.read_labels((HEIGHT, WIDTH)).mask for record in read_coco(tmp_path).records)
    assert first is not None and first.any() and second is not None and not second.any()


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [HEIGHT, WIDTH], "counts": [1000]},
        {"size": [HEIGHT, WIDTH], "counts": [-5, 5, HEIGHT * WIDTH]},
        {"size": [HEIGHT, WIDTH], "counts": [2**62, 2**62, 2**62, 2**62, HEIGHT * WIDTH]},
        {"size": [10**9, 10**9], "counts": [10**18]},
        {"size": [HEIGHT, WIDTH], "counts": "oooooooooooooooooooooooooooo"},
        {"size": [HEIGHT, WIDTH], "counts": "\u1234"},
        {"size": [HEIGHT, WIDTH]},
        [[0.0, 0.0, 1.0, 1.0, 2.0]],
        [[0.0, 0.0, float("nan"), 1.0, 2.0, 2.0]],
        [["a", "b", "c", "d", "e", "f"]],
        [[]],
        "text",
        None,
        5,
    ],
)
def test_without_any_outline_that_can_be_drawn_nothing_is_imported(
    tmp_path: Path, save_picture: SavePicture, segmentation: Any
) -> None:
    make(tmp_path, save_picture, [{"category_id": 3, "iscrowd": 0, "segmentation": segmentation}])
    wanted = r"got no annotation of car that can be drawn \(1 cannot; annotation 0 .*instances_val2017.json"
    with pytest.raises(QumadeError, match=wanted):
        read_coco(tmp_path)


ALL = (0, 0, WIDTH, HEIGHT)
GOOD = {"category_id": 3, "iscrowd": 0, "segmentation": [rectangle(1, 1, 5, 5)]}


@pytest.mark.parametrize(
    ("fields", "where", "reason"),
    [
        ({"segmentation": [], "bbox": [8, 2, 6, 5]}, (8, 2, 14, 7), "no outline"),
        ({"segmentation": None}, ALL, "no outline"),
        (
            {"segmentation": [[0.5, 0.1, 0.9, 0.1, 0.9, 0.8]], "bbox": [0.5, 0.1, 0.4, 0.7]},
            (0, 0, WIDTH, HEIGHT),
            "shares",
        ),
        (
            {"segmentation": [rectangle(8, 2, 900, 700)], "bbox": [8, 2, 6, 5]},
            (8, 2, 14, 7),
            "outside of the picture's",
        ),
        ({"segmentation": [rectangle(1, 7, 4, 10)], "bbox": [8, 1, 7, 9]}, (1, 1, 15, 10), "but its outline reaches"),
        ({"segmentation": [rectangle(8, 2, 14, 7)], "bbox": [8, 2, 6, 5], "area": 3000.0}, (8, 2, 14, 7), "area 3000"),
        ({"iscrowd": "yes", "bbox": [1, 1, 4, 4]}, (1, 1, 5, 5), "iscrowd 'yes'"),
        ({"category_id": 99, "bbox": [1, 1, 4, 4]}, (1, 1, 5, 5), "category_id 99"),
        (
            {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [5, 6]}},
            (0, 0, WIDTH, HEIGHT),
            "run lengths of 11 pixels",
        ),
    ],
)
def test_what_cannot_be_drawn_is_unknown_counted_and_named(
    tmp_path: Path, save_picture: SavePicture, fields: dict[str, Any], where: tuple[int, ...], reason: str
) -> None:
    make(tmp_path, save_picture, [GOOD, GOOD | fields])
    source = read_coco(tmp_path)
    (note,) = source.notes
    assert re.search(rf"1 annotation of .*json cannot be drawn, .*annotation 1 of 01.png has .*{reason}", note) or (
        re.search(rf"1 annotation of .*annotation 1 of 01.png reaches .*{reason}", note)
    )
    (record,) = source.records
    labels = record.read_labels((HEIGHT, WIDTH))
    left, top, right, bottom = where
    assert record.uncertain and labels.ignore is not None and labels.mask is not None
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[max(0, top - 3) : bottom + 3, max(0, left - 3) : right + 3] = False
    assert (labels.ignore | (labels.mask > 0))[top:bottom, left:right].all() and not labels.ignore[outside].any()
    assert (labels.mask[1:5, 1:5] == 255).all() and labels.mask.sum() == 16 * 255
    with pytest.raises(QumadeError, match=r"cannot be drawn.*must be none with --strict"):
        write_import(source, tmp_path / "out", strict=True, progress=False)


def test_other_classes_without_an_outline_stop_nothing_and_may_stand_in_front(
    tmp_path: Path, save_picture: SavePicture
) -> None:
    make(tmp_path, save_picture, [GOOD, {"category_id": 1, "segmentation": None, "bbox": [8, 2, 6, 5]}])
    (record,) = read_coco(tmp_path).records
    labels = record.read_labels((HEIGHT, WIDTH))
    assert not record.uncertain and labels.ignore is not None and not labels.ignore.any()
    assert labels.in_front is not None and (labels.in_front[2:7, 8:14] > 0).all()


@pytest.mark.parametrize(("flag", "crowd"), [(0, False), ("0", False), (False, False), (1, True), ("1", True)])
def test_a_crowd_is_told_by_its_number_not_by_its_type(
    tmp_path: Path, save_picture: SavePicture, flag: Any, crowd: bool
) -> None:
    make(tmp_path, save_picture, [GOOD, GOOD | {"iscrowd": flag, "segmentation": [rectangle(8, 2, 14, 7)]}])
    (record,) = read_coco(tmp_path).records
    labels = record.read_labels((HEIGHT, WIDTH))
    assert labels.ignore is not None and bool(labels.ignore.any()) == crowd == record.uncertain


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["annotations"][0].update(image_id=8),
            r"Invalid annotation 0: got image_id 8 in .*json; must be the",
        ),
        (lambda c: c["annotations"][0].pop("image_id"), "Invalid annotation 0: got image_id None"),
        (lambda c: c["annotations"][1].update(id=0), "Invalid annotation 0: got an id that another annotation has too"),
        (lambda c: c["images"].append(c["images"][0]), "Invalid image id: got 7 twice in .*json; must be unique"),
        (lambda c: c["categories"].append({"id": 3, "name": "bus"}), "Invalid category id: got 3 twice"),
        (lambda c: c["images"][0].update(id=7.5), r"Invalid annotations: got .*'7.5', which is no whole number"),
    ],
)
def test_ids_must_be_unique_and_lead_somewhere(
    tmp_path: Path, save_picture: SavePicture, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    path = make(tmp_path, save_picture, [GOOD, GOOD])
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(QumadeError, match=message):
        read_coco(tmp_path)


def test_annotations_of_other_classes_without_an_image_are_counted(tmp_path: Path, save_picture: SavePicture) -> None:
    make(tmp_path, save_picture, [GOOD, {"category_id": 1, "segmentation": [], "image_id": 99}])
    assert re.search("1 annotation of another class has no image .*: annotation 1", read_coco(tmp_path).notes[0])


def test_a_photo_of_another_size_than_its_labels_is_refused(tmp_path: Path, save_picture: SavePicture) -> None:
    make(tmp_path, save_picture, [GOOD])
    save_picture(tmp_path / "val2017" / "01.png", np.zeros((HEIGHT // 2, WIDTH // 2, 3), np.uint8))
    with pytest.raises(QumadeError, match=r"got 8x6 pixels in .*01.png; must be 16x12 as .*json says: was the photo"):
        write_import(read_coco(tmp_path), tmp_path / "out", progress=False)


def test_a_size_that_the_file_does_not_state_is_that_of_the_photo(tmp_path: Path, save_picture: SavePicture) -> None:
    path = make(tmp_path, save_picture, [GOOD])
    content = json.loads(path.read_text())
    del content["images"][0]["width"]
    path.write_text(json.dumps(content))
    labels = read_coco(tmp_path).records[0].read_labels((HEIGHT, WIDTH))
    assert labels.mask is not None and labels.mask.sum() == 16 * 255


@pytest.mark.parametrize("file_name", ["../secret.png", "/etc/passwd", "a/../../b.png", "", "..\\b.png", "a\0b.png"])
def test_file_names_must_not_leave_the_root(tmp_path: Path, save_picture: SavePicture, file_name: str) -> None:
    save_picture(tmp_path / "secret.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    root = tmp_path / "coco"
    root.mkdir()
    path = make(root, save_picture, [GOOD], "01.png")
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = file_name
    path.write_text(json.dumps(content))
    with pytest.raises(QumadeError, match="Invalid file_name"):
        read_coco(root)


def test_links_must_not_leave_the_root(tmp_path: Path, save_picture: SavePicture) -> None:
    root = tmp_path / "coco"
    root.mkdir()
    make(root, save_picture, [GOOD])
    (root / "val2017" / "01.png").rename(tmp_path / "secret.png")
    (root / "val2017" / "01.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(QumadeError, match="not a link out of it"):
        read_coco(root)


def test_sub_folders_are_part_of_the_stem(tmp_path: Path, save_picture: SavePicture) -> None:
    make(tmp_path, save_picture, [GOOD], "north/01.png")
    assert read_coco(tmp_path).records[0].stem == "north_01"


def test_a_missing_photo_and_a_wrong_class_are_named(tmp_path: Path, save_picture: SavePicture) -> None:
    make(tmp_path, save_picture, [GOOD])
    with pytest.raises(QumadeError, match=r"got 'lorry' .*must be one of person, car"):
        read_coco(tmp_path, ("lorry",))
    (tmp_path / "val2017" / "01.png").unlink()
    with pytest.raises(QumadeError, match=r"got no photo '01.png' of .*must be in .*val2017"):
        read_coco(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": 3}', "[" * 99999, '{"categories": [1]}', "\xff"])
def test_foreign_json_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "instances.json").write_text(text, "latin-1")
    with pytest.raises(QumadeError, match=r"Invalid annotations: got .*instances.json; must be COCO instances"):
        read_coco(tmp_path)


def test_a_category_that_means_unlabelled_is_unknown_unless_it_is_chosen(
    tmp_path: Path, save_picture: SavePicture
) -> None:
    ignored = {"category_id": 1, "segmentation": [rectangle(8, 2, 14, 7)]}
    path = make(tmp_path, save_picture, [GOOD, ignored])
    path.write_text(path.read_text().replace('"person"', '"ignored regions"'))
    (record,) = read_coco(tmp_path).records
    labels = record.read_labels((HEIGHT, WIDTH))
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[2:7, 8:14] = True
    np.testing.assert_array_equal(labels.ignore, expected)
    assert record.uncertain and not labels.in_front.any()
    (record,) = read_coco(tmp_path, ("ignored regions",)).records
    np.testing.assert_array_equal(record.read_labels((HEIGHT, WIDTH)).mask == 255, expected)
    assert not record.uncertain


@pytest.mark.parametrize(("name", "split"), [("Train", "train"), ("Validation", "val"), ("default", "")])
def test_the_split_is_in_the_name_of_the_file(tmp_path: Path, save_picture: SavePicture, name: str, split: str) -> None:
    path = make(tmp_path, save_picture, [GOOD])
    path.rename(path.with_name(f"instances_{name}.json"))
    (tmp_path / "val2017").rename(tmp_path / name)
    assert [record.split for record in read_coco(tmp_path).records] == [split]


def test_a_file_without_annotations_is_not_labelled(tmp_path: Path, save_picture: SavePicture) -> None:
    path = make(tmp_path, save_picture, [])
    with pytest.raises(QumadeError, match="found no labelled image"):
        read_coco(tmp_path)
    path.rename(path.with_name("instances_test.json"))
    make(tmp_path, save_picture, [GOOD])
    source = read_coco(tmp_path)
    assert [record.split for record in source.records] == ["val"]
    assert source.notes[0].endswith("instances_test.json is left out: the file has no annotation")
