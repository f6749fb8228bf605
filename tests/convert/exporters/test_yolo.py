import numpy as np
import pytest
import yaml

from qumade.convert.exporters.conversion import convert
from qumade.data.folder import FolderDataset
from qumade.data.objects import read_objects
from qumade.errors import DatasetError


def test_data_yaml_is_what_ultralytics_asks_for(exported):
    out, summary = exported("yolo")
    content = yaml.safe_load((out / "data.yaml").read_text())
    assert content["names"] == {0: "car", 1: "person"} and content["nc"] == 2
    assert "path" not in content  # then paths are relative to the file
    for split in summary.splits:
        assert (out / content[split]).is_dir()
        images = {path.stem for path in (out / content[split]).iterdir()}
        assert images == {path.stem for path in (out / "labels" / split).iterdir()}


def test_boxes_are_those_of_the_visible_pixels(exported, two_class_dataset):
    out, _ = exported("yolo-detect")
    dataset = FolderDataset(two_class_dataset)
    objects = read_objects(dataset)
    for path in (out / "labels" / "train").iterdir():
        own = objects.of(dataset.index(path.stem))
        rows = np.array([[float(part) for part in line.split()] for line in path.read_text().splitlines()])
        assert rows[:, 0].tolist() == objects.class_number[own].tolist()
        centre, size = rows[:, 1:3] * (48, 36), rows[:, 3:] * (48, 36)
        np.testing.assert_allclose(np.hstack([centre - size / 2, size]), objects.visible_box[own], atol=1e-4)


def test_supervision_reads_the_polygons_within_the_pixels_at_the_edge(exported, two_class_dataset):
    supervision = pytest.importorskip("supervision")
    out, _ = exported("yolo")
    read = supervision.DetectionDataset.from_yolo(
        str(out / "images" / "train"), str(out / "labels" / "train"), str(out / "data.yaml"), force_masks=True
    )
    dataset = FolderDataset(two_class_dataset)
    objects = read_objects(dataset)
    assert read.classes == ["car", "person"]
    for path, _, detections in read:
        position = dataset.index(path.split("/")[-1].removesuffix(".png"))
        numbers, own = dataset.read_instances(position), objects.of(position)
        assert detections.class_id.tolist() == objects.class_number[own].tolist()
        for number, mask in enumerate(detections.mask):
            ours = np.pad(numbers == number + 1, 1)
            near = np.zeros_like(ours)
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    near |= np.roll(ours, (down, right), (0, 1))
            assert mask[numbers == number + 1].mean() > 0.99  # it draws the outline too: up to one pixel more
            left, top, width, height = objects.visible_box[own][number]
            solid = ours[1:-1, 1:-1][top : top + height, left : left + width].mean() > 0.7  # no bridges
            assert not solid or not (mask & ~near[1:-1, 1:-1]).any()


def test_a_dataset_without_both_splits_is_refused(make_dataset, tmp_path):
    with pytest.raises(DatasetError, match=r"got all in .*; must have train and val, which yolo names"):
        convert(make_dataset(meta={"depth": {"code": "inverse", "bits": 8, "range": "image"}}), "yolo", tmp_path / "o")
    assert not (tmp_path / "o").exists()
