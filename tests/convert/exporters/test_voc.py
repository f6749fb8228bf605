import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from qumade.data.folder import FolderDataset
from qumade.data.objects import read_objects


def test_maps_lists_and_boxes_say_what_the_dataset_says(exported, two_class_dataset):
    out, summary = exported("voc")
    dataset = FolderDataset(two_class_dataset)
    objects = read_objects(dataset)
    listed = []
    for split in summary.splits:
        stems = (out / "ImageSets" / "Segmentation" / f"{split}.txt").read_text().split()
        assert {dataset.splits[dataset.index(stem)].replace(" ", "_") for stem in stems} == {split}
        listed += stems
    assert sorted(listed) == dataset.stems.tolist()
    for stem in listed[::5]:
        numbers, own = dataset.read_instances(stem), objects.of(dataset.index(stem))
        np.testing.assert_array_equal(np.asarray(Image.open(out / "SegmentationObject" / f"{stem}.png")), numbers)
        classes = np.asarray(Image.open(out / "SegmentationClass" / f"{stem}.png"))
        for number, class_number in enumerate(objects.class_number[own]):
            assert set(classes[numbers == number + 1].tolist()) == {class_number + 1}
        assert not classes[numbers == 0].any()
        found = ElementTree.parse(out / "Annotations" / f"{stem}.xml").findall("object")
        boxes = [[int(each.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")] for each in found]
        expected = objects.visible_box[own]
        np.testing.assert_array_equal(np.array(boxes)[:, :2], expected[:, :2] + 1)
        np.testing.assert_array_equal(np.array(boxes)[:, 2:], expected[:, :2] + expected[:, 2:])
    assert (out / "labelmap.txt").read_text().splitlines()[1:] == [
        "background:0,0,0::", "car:128,0,0::", "person:0,128,0::",
    ]  # fmt: skip


def test_supervision_reads_the_boxes(exported, two_class_dataset):
    supervision = pytest.importorskip("supervision")
    out, _ = exported("voc")
    read = supervision.DetectionDataset.from_pascal_voc(str(out / "JPEGImages"), str(out / "Annotations"))
    dataset = FolderDataset(two_class_dataset)
    objects = read_objects(dataset)
    assert sorted(read.classes) == ["car", "person"]
    for path, _, detections in read:
        own = objects.of(dataset.index(path.split("/")[-1].removesuffix(".png")))
        names = [read.classes[number] for number in detections.class_id]
        assert names == [objects.classes[number] for number in objects.class_number[own]]
        np.testing.assert_allclose(detections.xyxy[:, :2], objects.visible_box[own][:, :2], atol=1)
