import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qumade.convert.importers.cityscapes import read_cityscapes
from qumade.convert.importers.writer import write_import
from qumade.data.opening import open_dataset
from qumade.errors import QumadeError

SavePicture = Callable[[Path, np.ndarray], None]
STEM = "aachen_000000_000019"
IDS = np.array([[26, 26, 26, 1], [7, 17, 3, 27]], np.uint8)
TRAIN_IDS = np.array([[13, 13, 13, 255], [0, 5, 255, 14]], np.uint8)
NUMBERS = np.array([[26000, 26001, 26, 1], [7, 17, 3, 27000]], np.uint16)
DISPARITY = np.array([[0, 1, 257, 2561], [0, 0, 0, 65535]], np.uint16)
CAMERA = {
    "extrinsic": {"baseline": 0.25, "pitch": 0.05, "roll": 0.0, "x": 1.7, "y": 0.1, "yaw": 0.0, "z": 1.22},
    "intrinsic": {"fx": 2000.0, "fy": 2010.0, "u0": 1045.5, "v0": 519.8},
}


@pytest.fixture
def root(tmp_path: Path, save_picture: SavePicture) -> Path:
    for split, city in (("train", "aachen"), ("val", "lindau")):
        stem = STEM.replace("aachen", city)
        save_picture(tmp_path / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", np.zeros((2, 4, 3), np.uint8))
        save_picture(tmp_path / "gtFine" / split / city / f"{stem}_gtFine_labelIds.png", IDS)
        save_picture(tmp_path / "gtFine" / split / city / f"{stem}_gtFine_labelTrainIds.png", TRAIN_IDS)
        save_picture(tmp_path / "gtFine" / split / city / f"{stem}_gtFine_instanceIds.png", NUMBERS)
        save_picture(tmp_path / "disparity" / split / city / f"{stem}_disparity.png", DISPARITY)
        camera = tmp_path / "camera" / split / city / f"{stem}_camera.json"
        camera.parent.mkdir(parents=True)
        camera.write_text(json.dumps(CAMERA))
    return tmp_path


def test_labels_instances_and_depth(root: Path) -> None:
    train, val = read_cityscapes(root).records
    assert (train.stem, train.split, val.split) == (STEM, "train", "val")
    labels = train.read_labels((2, 4))
    assert labels.mask is not None and labels.ignore is not None and labels.inverse_depth is not None
    np.testing.assert_array_equal(labels.mask == 255, IDS == 26)
    np.testing.assert_array_equal(labels.ignore, np.isin(IDS, [1, 3]))
    np.testing.assert_array_equal(labels.instances, np.where(np.isin(NUMBERS, [26000, 26001]), NUMBERS, 0))
    # baseline x fx = 500: disparity 0 is infinitely far, 1 px 500 m, 10 px 50 m, (65535 - 1) / 256 px 1.953 m
    nan = np.nan
    wanted = [[nan, 0, 1 / 500, 10 / 500], [nan, nan, nan, 65534 / 256 / 500]]
    np.testing.assert_allclose(labels.inverse_depth, wanted, rtol=1e-6)


def test_train_ids_are_used_without_label_ids(root: Path) -> None:
    (root / "gtFine" / "train" / "aachen" / f"{STEM}_gtFine_labelIds.png").unlink()
    labels = read_cityscapes(root).records[0].read_labels((2, 4))
    assert labels.mask is not None and labels.ignore is not None
    np.testing.assert_array_equal(labels.mask == 255, TRAIN_IDS == 13)
    np.testing.assert_array_equal(labels.ignore, TRAIN_IDS == 255)


def test_it_is_read_back_with_depth_in_metres(root: Path, tmp_path: Path) -> None:
    write_import(read_cityscapes(root), tmp_path / "out", workers=1, progress=False)
    dataset = open_dataset(tmp_path / "out")
    # 500 m is farther than the code can store, so it becomes infinitely far
    wanted = [[0, 65535, 65535, 50 * 256], [0, 0, 0, round(256 * 500 * 256 / 65534)]]
    np.testing.assert_array_equal(dataset.read_depth_levels(0), wanted)
    assert dataset.has_masks and dataset.has_ignore


def test_without_disparity_the_dataset_has_only_masks(root: Path, tmp_path: Path) -> None:
    (root / "disparity").rename(tmp_path / "elsewhere")
    source = read_cityscapes(root)
    assert source.folders == ("masks", "ignore") and source.depth is None
    assert source.records[0].read_labels((2, 4)).inverse_depth is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"extrinsic": {"baseline": "x"}, "intrinsic": {"fx": 1}}', '{"extrinsic": 3}', "[" * 9999]
)
def test_a_wrong_camera_is_named(root: Path, text: str) -> None:
    (root / "camera" / "train" / "aachen" / f"{STEM}_camera.json").write_text(text)
    with pytest.raises(QumadeError, match=r"Invalid camera: got .*_camera.json; must have numbers"):
        read_cityscapes(root).records[0].read_labels((2, 4))


@pytest.mark.parametrize("baseline", [0, -0.2, float("nan"), float("inf")])
def test_an_invalid_baseline_is_named(root: Path, baseline: float) -> None:
    camera = {**CAMERA, "extrinsic": {"baseline": baseline}}
    (root / "camera" / "train" / "aachen" / f"{STEM}_camera.json").write_text(json.dumps(camera))
    with pytest.raises(QumadeError, match="must be finite and above 0"):
        read_cityscapes(root).records[0].read_labels((2, 4))


def test_frames_without_labels_are_named(root: Path, save_picture: SavePicture) -> None:
    assert not read_cityscapes(root).notes
    folder = root / "leftImg8bit" / "val" / "lindau"
    save_picture(folder / "other_leftImg8bit.png", np.zeros((2, 4, 3), np.uint8))
    source = read_cityscapes(root)
    assert source.notes == (f"1 entry of {folder} is left out, without labels in gtFine: other_leftImg8bit.png",)
