import numpy as np
import pytest

from qumade.data.folder import FolderDataset
from qumade.data.objects import read_objects


def test_load_dataset_reads_every_file_and_object(exported, two_class_dataset, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    out, summary = exported("hf")
    read = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    dataset = FolderDataset(two_class_dataset)
    objects = read_objects(dataset)
    assert {name: len(part) for name, part in read.items()} == summary.splits
    assert read["train"].features["objects"].feature["class"].names == ["car", "person"]
    for row in list(read["train"])[::4]:
        stem = row["stem"]
        own = objects.of(dataset.index(stem))
        np.testing.assert_array_equal(np.asarray(row["image"]), dataset.read_image(stem))
        np.testing.assert_array_equal(np.asarray(row["mask"]), dataset.read_mask(stem))
        np.testing.assert_array_equal(np.asarray(row["depth"]), dataset.read_depth_levels(stem))
        np.testing.assert_array_equal(np.asarray(row["instances"]), dataset.read_instances(stem))
        assert [thing["class"] for thing in row["objects"]] == objects.class_number[own].tolist()
        assert [thing["visible_box"] for thing in row["objects"]] == objects.visible_box[own].tolist()
        np.testing.assert_allclose([thing["box"] for thing in row["objects"]], objects.box[own])
        np.testing.assert_allclose([t["visible_fraction"] for t in row["objects"]], objects.visible_fraction[own])
