import numpy as np
import pytest
import yaml
from PIL import Image

from qumade.convert.exporters.conversion import convert
from qumade.convert.importers.kitti import read_kitti
from qumade.data.folder import FolderDataset
from qumade.errors import DatasetError


def test_kitti_depth_is_metres_and_comes_back(metric_dataset, tmp_path):
    convert(metric_dataset, "kitti-depth", tmp_path / "out", workers=1, progress=False)
    dataset = FolderDataset(metric_dataset)
    for position, stem in enumerate(dataset.stems):
        levels = np.asarray(Image.open(tmp_path / "out" / str(dataset.splits[position]) / "depth" / f"{stem}.png"))
        assert levels.dtype == np.uint16
        original = dataset.read_depth_levels(position)
        np.testing.assert_array_equal(levels, np.where(original == 65535, 0, original))
    records = {record.stem: record for record in read_kitti(tmp_path / "out" / "train").records}
    for stem, record in records.items():
        ours = dataset.read_inverse_depth(stem)
        theirs = record.read_labels(ours.shape).inverse_depth
        np.testing.assert_array_equal(theirs, np.where(ours == 0, np.nan, ours))


def test_ultralytics_depth_is_float32_metres_with_0_unknown(metric_dataset, tmp_path):
    convert(metric_dataset, "ultralytics-depth", tmp_path / "out", workers=1, progress=False)
    content = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert content == {"train": "images/train", "val": "images/val", "nc": 1, "names": {0: "depth"}}
    dataset = FolderDataset(metric_dataset)
    for stem in dataset.stems[:2]:
        metres = np.load(tmp_path / "out" / "depth" / "train" / f"{stem}.npy", allow_pickle=False)
        assert metres.dtype == np.float32
        inverse = dataset.read_inverse_depth(stem)
        known = inverse > 0
        np.testing.assert_allclose(metres[known], 1 / inverse[known], rtol=1e-6)
        assert not metres[~known].any()


@pytest.mark.parametrize("to", ["kitti-depth", "ultralytics-depth"])
def test_other_kinds_of_depth_are_refused(two_class_dataset, tmp_path, to):
    with pytest.raises(DatasetError, match=r"got depth of kind scaled in .*; must be metric"):
        convert(two_class_dataset, to, tmp_path / "out")
