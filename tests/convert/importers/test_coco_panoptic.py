import json
from pathlib import Path

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
    assert labels.instances[0].tolist() == [1, 1, 2, 2, 0, 0]
    assert labels.object_classes == {1: 0, 2: 1}
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
