from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from qumade.convert.exporters.samples import Chunk, class_names_of
from qumade.data.folder import FolderDataset
from qumade.data.objects import read_objects
from qumade.errors import DatasetError


def test_without_instances_each_connected_part_is_an_object(make_dataset):
    root = make_dataset(1, size=(10, 8))
    mask = np.zeros((8, 10), np.uint8)
    mask[1:3, 1:4], mask[5:8, 6:10], mask[4, 5] = 255, 128, 200  # the last touches the second at a corner
    mask[0, 9] = 127
    Image.fromarray(mask).save(root / "masks" / "img000001.png")
    dataset = FolderDataset(root)
    found = Chunk("all", np.arange(1), dataset, None).instances(0)
    assert found.visible_box.tolist() == [[1, 1, 3, 2], [5, 4, 5, 4]]
    np.testing.assert_array_equal(found.numbers > 0, mask >= 128)
    assert np.isnan(found.box).all() and found.class_number.tolist() == [0, 0]
    np.testing.assert_array_equal(found.pixels(1), (found.numbers == 2)[4:8, 5:10])
    assert class_names_of(dataset) == ("object",)


def test_objects_are_those_of_the_manifest(two_class_dataset):
    dataset = FolderDataset(two_class_dataset)
    objects = read_objects(dataset)
    chunk = Chunk("x", np.array([4, 9]), dataset.take(np.array([4, 9])), objects.take(np.array([4, 9])))
    for n, position in enumerate((4, 9)):
        found = chunk.instances(n)
        np.testing.assert_array_equal(found.visible_box, objects.visible_box[objects.of(position)])
        np.testing.assert_array_equal(found.numbers, dataset.read_instances(position))
    assert class_names_of(dataset) == ("car", "person")


def test_an_instance_map_of_more_objects_than_the_manifest_is_refused(two_class_dataset):
    dataset = FolderDataset(two_class_dataset)
    none = read_objects(dataset).take(np.arange(0))
    none.start.resize(2, refcheck=False)
    with pytest.raises(DatasetError, match="must be at most 0, as its row of"):
        Chunk("x", np.arange(1), dataset.take(np.arange(1)), none).instances(0)


def test_boxes_come_from_the_map_and_a_manifest_that_says_otherwise_is_refused(two_class_dataset):
    dataset = FolderDataset(two_class_dataset)
    objects, position = read_objects(dataset), np.array([4])
    one, true = dataset.take(position), objects.take(position)
    without = replace(true, visible_box=np.zeros_like(true.visible_box))
    np.testing.assert_array_equal(Chunk("x", position, one, without).instances(0).visible_box, true.visible_box)
    moved = replace(true, visible_box=true.visible_box + np.int32(1))
    with pytest.raises(DatasetError, match=r"got the visible box \[.*\] of object 1 in .*parquet; must be .* shows"):
        Chunk("x", position, one, moved).instances(0)
