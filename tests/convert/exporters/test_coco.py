import json

import numpy as np
import pytest

from qumade.convert.importers.coco import read_coco
from qumade.data.folder import FolderDataset
from qumade.data.objects import read_objects

pytest.importorskip("pycocotools")


@pytest.mark.parametrize("polygons", [False, True])
def test_pycocotools_reads_the_same_pixels_classes_and_boxes(exported, two_class_dataset, polygons):
    from pycocotools.coco import COCO

    out, summary = exported("coco", polygons=polygons)
    dataset = FolderDataset(two_class_dataset)
    objects, seen = read_objects(dataset), 0
    for split in summary.splits:
        coco = COCO(out / "annotations" / f"instances_{split}.json")
        assert {each["id"]: each["name"] for each in coco.dataset["categories"]} == {1: "car", 2: "person"}
        for image in coco.dataset["images"]:
            stem = image["file_name"].removesuffix(".png")
            assert (out / "images" / split / image["file_name"]).read_bytes() == dataset.path(
                "images", stem
            ).read_bytes()
            position = dataset.index(stem)
            assert dataset.splits[position].replace(" ", "_") == split and image["id"] == position + 1
            numbers, own = dataset.read_instances(stem), objects.of(position)
            annotations = coco.loadAnns(coco.getAnnIds([image["id"]]))
            assert len(annotations) == own.stop - own.start
            for number, annotation in enumerate(annotations):
                np.testing.assert_array_equal(coco.annToMask(annotation), numbers == number + 1)
                assert annotation["category_id"] == objects.class_number[own][number] + 1
                assert annotation["bbox"] == objects.visible_box[own][number].tolist()
                assert annotation["area"] == (numbers == number + 1).sum()
                assert annotation["amodal_bbox"] == pytest.approx(objects.box[own][number], abs=1e-3)
                seen += 1
    assert seen == len(objects.class_number)


def test_supervision_reads_the_same_masks(exported, two_class_dataset):
    supervision = pytest.importorskip("supervision")
    out, _ = exported("coco")
    annotations = str(out / "annotations" / "instances_train.json")
    read = supervision.DetectionDataset.from_coco(str(out / "images" / "train"), annotations, force_masks=True)
    dataset = FolderDataset(two_class_dataset)
    assert read.classes == ["car", "person"]
    for path, _, detections in read:
        numbers = dataset.read_instances(path.split("/")[-1].removesuffix(".png"))
        for number, mask in enumerate(detections.mask):
            np.testing.assert_array_equal(mask, numbers == number + 1)


def test_the_importer_reads_mask_and_instances_back(exported, two_class_dataset):
    out, _ = exported("coco")
    dataset = FolderDataset(two_class_dataset)
    records = read_coco(out, ("car", "person")).records
    assert len(records) == len(dataset)
    for record in records[::7]:
        labels = record.read_labels((36, 48))
        np.testing.assert_array_equal(labels.mask == 255, dataset.read_instances(record.stem) > 0)


def test_ignored_pixels_are_crowds_of_every_class_and_masks_become_parts(make_dataset, tmp_path):
    from pycocotools.coco import COCO

    from qumade.convert.exporters.conversion import convert

    root = make_dataset(2, folders=("images", "masks", "ignore"), meta={"import": {"classes": ["truck"]}})
    summary = convert(root, "coco", tmp_path / "coco", workers=1, progress=False)
    assert summary.parts and summary.classes == ("truck",) and summary.splits == {"all": 2}
    coco, dataset = COCO(tmp_path / "coco" / "annotations" / "instances_all.json"), FolderDataset(root)
    for position in range(2):
        annotations = coco.loadAnns(coco.getAnnIds([position + 1]))
        crowd = [each for each in annotations if each["iscrowd"]]
        np.testing.assert_array_equal(coco.annToMask(crowd[0]), dataset.read_ignore(position))
        whole = sum(coco.annToMask(each) for each in annotations if not each["iscrowd"])
        np.testing.assert_array_equal(whole, dataset.read_mask(position) >= 128)


def test_the_file_is_json_for_every_reader(exported):
    out, _ = exported("coco")
    for path in (out / "annotations").iterdir():
        content = json.loads(path.read_text())
        assert [each["id"] for each in content["annotations"]] == list(range(1, len(content["annotations"]) + 1))
