import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from qumade.convert.importers.coco import decode_segmentation, read_coco
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
    make(tmp_path, save_picture, [])
    labels = read_coco(tmp_path).records[0].read_labels((HEIGHT, WIDTH))
    assert labels.mask is not None and not labels.mask.any()


@given(arrays.arrays(bool, (5, 7)))
def test_run_lengths_of_both_kinds_give_the_same_mask(mask: np.ndarray) -> None:
    packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    counts = {"size": [5, 7], "counts": packed["counts"].decode()}
    np.testing.assert_array_equal(decode_segmentation(counts, (5, 7)), mask)
    flat = mask.T.ravel()
    lengths, value = [0], False
    for pixel in flat:
        if pixel != value:
            lengths.append(0)
            value = not value
        lengths[-1] += 1
    np.testing.assert_array_equal(decode_segmentation({"size": [5, 7], "counts": lengths}, (5, 7)), mask)


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
def test_wrong_segmentations_are_named(tmp_path: Path, save_picture: SavePicture, segmentation: Any) -> None:
    make(tmp_path, save_picture, [{"category_id": 3, "iscrowd": 0, "segmentation": segmentation}])
    with pytest.raises(QumadeError, match=r"Invalid annotation 0: got .*instances_val2017.json"):
        read_coco(tmp_path).records[0].read_labels((HEIGHT, WIDTH))


def test_far_corners_take_no_memory() -> None:
    mask = decode_segmentation([[-1e300, -1e300, 1e300, -1e300, 1e300, 1e300, -1e300, 1e300]], (HEIGHT, WIDTH))
    assert mask.all()


@pytest.mark.parametrize("file_name", ["../secret.png", "/etc/passwd", "a/../../b.png", "", "..\\b.png", "a\0b.png"])
def test_file_names_must_not_leave_the_root(tmp_path: Path, save_picture: SavePicture, file_name: str) -> None:
    save_picture(tmp_path / "secret.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    root = tmp_path / "coco"
    root.mkdir()
    path = make(root, save_picture, [], "01.png")
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = file_name
    path.write_text(json.dumps(content))
    with pytest.raises(QumadeError, match="Invalid file_name"):
        read_coco(root)


def test_links_must_not_leave_the_root(tmp_path: Path, save_picture: SavePicture) -> None:
    root = tmp_path / "coco"
    root.mkdir()
    make(root, save_picture, [])
    (root / "val2017" / "01.png").rename(tmp_path / "secret.png")
    (root / "val2017" / "01.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(QumadeError, match="not a link out of it"):
        read_coco(root)


def test_sub_folders_are_part_of_the_stem(tmp_path: Path, save_picture: SavePicture) -> None:
    make(tmp_path, save_picture, [], "north/01.png")
    assert read_coco(tmp_path).records[0].stem == "north_01"


def test_a_missing_photo_and_a_wrong_class_are_named(tmp_path: Path, save_picture: SavePicture) -> None:
    make(tmp_path, save_picture, [])
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


@given(st.lists(st.floats(-50, 50), min_size=6, max_size=12).filter(lambda numbers: len(numbers) % 2 == 0))
def test_any_polygon_is_drawn_or_refused(corners: list[float]) -> None:
    assert decode_segmentation([corners], (HEIGHT, WIDTH)).shape == (HEIGHT, WIDTH)
