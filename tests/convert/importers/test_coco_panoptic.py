import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fixtures.imports import NoticesChanges
from qumade.convert.importers.coco_panoptic import read_coco_panoptic
from qumade.errors import QumadeError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A photo of 6 x 4 pixels: a car (segment 300), a person (70000), a crowd of cars (5), and nothing at the right."""
    for folder in ("val2017", "panoptic_val2017", "annotations"):
        (tmp_path / folder).mkdir()
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "val2017" / "1.jpg")
    ids = np.zeros((4, 6), np.int64)
    ids[:, :2], ids[:, 2:4], ids[:, 4] = 300, 70000, 5
    rgb = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], -1).astype(np.uint8)
    Image.fromarray(rgb).save(tmp_path / "panoptic_val2017" / "1.png")
    segments = [
        {"id": 300, "category_id": 3},
        {"id": 70000, "category_id": 1},
        {"id": 5, "category_id": 3, "iscrowd": 1},
    ]
    content = {
        "images": [{"id": 9, "file_name": "1.jpg"}],
        "annotations": [{"image_id": 9, "file_name": "1.png", "segments_info": segments}],
        "categories": [{"id": 3, "name": "car"}, {"id": 1, "name": "person"}],
    }
    (tmp_path / "annotations" / "panoptic_val2017.json").write_text(json.dumps(content))
    return tmp_path


def test_segments_are_objects_and_crowds_and_void_are_ignored(root: Path) -> None:
    source = read_coco_panoptic(root, ("car", "person"))
    (record,) = source.records
    assert record.split == "val" and source.folders[-1] == "instances"
    labels = record.read_labels((4, 6))
    assert labels.instances[0].tolist() == [2, 2, 3, 3, 0, 0]
    assert labels.object_classes == {2: 0, 3: 1}
    assert labels.ignore[0].tolist() == [False] * 4 + [True] * 2


def test_a_segment_without_info_is_refused(root: Path) -> None:
    path = root / "annotations" / "panoptic_val2017.json"
    path.write_text(path.read_text().replace('"id": 300', '"id": 301'))
    with pytest.raises(QumadeError, match=r"got the segment 300 in .*1\.png; must be listed in segments_info"):
        read_coco_panoptic(root).records[0].read_labels((4, 6))


def test_wrong_json_is_refused(root: Path) -> None:
    (root / "annotations" / "panoptic_val2017.json").write_text('{"categories": 3}')
    with pytest.raises(QumadeError, match="must be COCO panoptic"):
        read_coco_panoptic(root)


def test_an_import_is_tied_to_json_and_maps(root: Path, notices_changes: NoticesChanges) -> None:
    path, ids = root / "annotations" / "panoptic_val2017.json", root / "panoptic_val2017" / "1.png"
    changes = {path: path.read_bytes().replace(b'"iscrowd": 1', b'"iscrowd": 0'), ids: ids.read_bytes() + b" "}
    notices_changes(lambda: read_coco_panoptic(root), changes)


def edited(root: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    path = root / "annotations" / "panoptic_val2017.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return root


def test_a_photo_with_a_crowd_of_the_class_is_no_background(root: Path) -> None:
    assert read_coco_panoptic(root, ("car",)).records[0].uncertain
    assert not read_coco_panoptic(root, ("person",)).records[0].uncertain
    edited(root, lambda content: content["annotations"][0]["segments_info"][2].update(iscrowd="0"))
    (record,) = read_coco_panoptic(root, ("car",)).records
    assert not record.uncertain
    assert record.read_labels((4, 6)).mask[0].tolist() == [255, 255, 0, 0, 255, 0]


def test_a_category_that_the_file_does_not_list_is_unknown(root: Path) -> None:
    edited(root, lambda content: content["annotations"][0]["segments_info"][1].update(category_id=77))
    source = read_coco_panoptic(root)
    assert source.notes[0].startswith("1 segment of ") and source.notes[0].endswith("segment 70000 of 1.jpg")
    assert source.records[0].uncertain
    labels = source.records[0].read_labels((4, 6))
    assert labels.ignore[0].tolist() == [False] * 2 + [True] * 4 and not labels.in_front.any()


def test_a_category_named_unlabelled_is_unknown(root: Path) -> None:
    edited(root, lambda content: content["categories"][1].update(name="Unlabeled"))
    labels = read_coco_panoptic(root).records[0].read_labels((4, 6))
    assert labels.ignore[0].tolist() == [False] * 2 + [True] * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["images"].append(c["images"][0]), "Invalid image id: got 9 twice"),
        (lambda c: c["categories"].append({"id": 1, "name": "car"}), "Invalid category id: got 1 twice"),
        (lambda c: c["annotations"].append(c["annotations"][0]), "Invalid image_id: got 9 twice"),
        (lambda c: c["annotations"][0].update(image_id=5), "got image_id 5 in .*json; must be the id of an image"),
        (
            lambda c: c["annotations"][0]["segments_info"].append({"id": 300, "category_id": 1}),
            "Invalid segment of 1.jpg: got 300 twice",
        ),
        (lambda c: c["annotations"][0]["segments_info"][0].update(category_id=3.5), "which is no whole number"),
    ],
)
def test_ids_must_be_unique_and_lead_somewhere(root: Path, change: Callable[[Any], object], message: str) -> None:
    with pytest.raises(QumadeError, match=message):
        read_coco_panoptic(edited(root, change))


def test_a_listed_segment_must_be_in_the_map(root: Path) -> None:
    edited(root, lambda c: c["annotations"][0]["segments_info"].append({"id": 301, "category_id": 3}))
    with pytest.raises(QumadeError, match=r"got no pixel of the segment 301 in .*1\.png; must have it"):
        read_coco_panoptic(root).records[0].read_labels((4, 6))


def test_images_without_an_annotation_are_named(root: Path) -> None:
    edited(root, lambda c: c["images"].append({"id": 10, "file_name": "2.jpg"}))
    assert read_coco_panoptic(root).notes[0].endswith("is left out, without an annotation: 2.jpg")
