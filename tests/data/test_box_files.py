import json
from pathlib import Path
from typing import Any

import pytest

from qumade.data.box_files import layout_of_boxes
from qumade.errors import QumadeError

HEAD = "image,x,y,width,height,image_width,image_height\n"


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text(HEAD + "a,10,20,16,16,128,128\na,-8,100,16,60,128,128\nb,,,,,128,128\n")
    layout = layout_of_boxes(path)
    assert (layout.pictures, layout.number[:3]) == (2, (1, 0, 1))
    assert layout.table.sum() == 2
    assert layout.table[5, 8] == 1  # lower edge at 36 / 128; 1/8 of the picture's side
    assert layout.table[19].sum() == 1  # cut at the lower edge


def test_coco_counts_one_category_and_no_crowds(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    image = {"width": 100, "height": 100}
    content: Any = {
        "images": [image | {"id": n} for n in (1, 2, 3)],
        "categories": [{"id": 3, "name": "car"}, {"id": 4, "name": "dog"}],
        "annotations": [
            {"image_id": 1, "category_id": 3, "bbox": [0, 0, 10, 10]},
            {"image_id": 1, "category_id": 4, "bbox": [0, 0, 50, 50]},
            {"image_id": 2, "category_id": 3, "bbox": [0, 0, 10, 10], "iscrowd": 1},
        ],
    }
    path.write_text(json.dumps(content))
    layout = layout_of_boxes(path, "car")
    assert layout.table.sum() == 1 and layout.number[:2] == (1, 1)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("b.csv", "x,y\n1,2\n", "columns"),
        ("b.csv", HEAD + "a,nan,0,5,5,9,9\n", "finite"),
        ("b.csv", HEAD + "a,0,0,-5,5,9,9\n", "width: got -5.0 in line 2"),
        ("b.csv", HEAD + "a,0,0,5,5,1e99,9\n", "image_width"),
        ("b.csv", HEAD + "a,20,0,5,5,9,9\n", "inside its picture"),
        ("b.csv", HEAD + "a,0,0\n", "got None"),
        ("b.csv", HEAD, "at least one"),
        ("b.json", "[", "COCO JSON"),
        ("b.json", "[1]", "list of objects"),
        ("b.json", '{"images": [{"id": 1, "width": NaN, "height": 5}], "annotations": []}', "width"),
        ("b.json", '{"images": [{"id": [1], "width": 5, "height": 5}], "annotations": []}', "id"),
        ("b.json", '{"images": [], "annotations": [{"image_id": 1, "bbox": [1,2,3,4]}]}', "image_id"),
        ("b.json", '{"images": [{"id": 1, "width": 5, "height": 5}], "annotations": [{"image_id": 1}]}', "bbox"),
    ],
)  # fmt: skip
def test_wrong_files_are_refused_in_one_line(tmp_path: Path, name: str, text: str, words: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(QumadeError, match=words) as caught:
        layout_of_boxes(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("crowd", "boxes"), [(0, 1), ("0", 1), (False, 1), (None, 1), (1, 0), ("1", 0), (True, 0)])
def test_ids_and_crowds_may_be_text(tmp_path: Path, crowd: object, boxes: int) -> None:
    annotation = {"image_id": "1", "category_id": "3", "bbox": [0, 0, 10, 10]}
    content = {
        "images": [{"id": 1, "width": 100, "height": 100}],
        "categories": [{"id": 3, "name": "car"}],
        "annotations": [annotation, annotation | {"iscrowd": crowd}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    assert layout_of_boxes(tmp_path / "boxes.json", "car").table.sum() == 1 + boxes


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"category_id": 9}, "Invalid category_id: got 9 in annotations"),
        ({"iscrowd": "no"}, "Invalid iscrowd: got 'no'"),
    ],
)
def test_what_is_no_id_or_flag_is_refused(tmp_path: Path, wrong: dict[str, Any], words: str) -> None:
    content = {
        "images": [{"id": 1, "width": 100, "height": 100}],
        "categories": [{"id": 3, "name": "car"}],
        "annotations": [{"image_id": 1, "category_id": 3, "bbox": [0, 0, 10, 10]} | wrong],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    with pytest.raises(QumadeError, match=words):
        layout_of_boxes(tmp_path / "boxes.json", "car")


def test_boxes_in_shares_are_refused(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text(HEAD + "a,0.1,0.2,0.3,0.4,640,480\nb,0.5,0.5,0.5,0.5,640,480\n")
    with pytest.raises(QumadeError, match=r"got 'at most 1 in all' in the boxes of .*csv; must be pixels, not shares"):
        layout_of_boxes(tmp_path / "boxes.csv")
