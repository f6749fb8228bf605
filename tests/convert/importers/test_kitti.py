from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qumade.convert.importers.kitti import read_kitti
from qumade.convert.importers.writer import write_import
from qumade.data.opening import open_dataset
from qumade.errors import QumadeError

SavePicture = Callable[[Path, np.ndarray], None]
CODES = np.array([[0, 256, 2560], [1, 20480, 65534]], np.uint16)  # unknown, 1 m, 10 m, 4 mm, 80 m, 256 m
INVERSE = np.array([[np.nan, 1, 0.1], [256, 1 / 80, 256 / 65534]], np.float32)
PHOTO = np.zeros((2, 3, 3), np.uint8)
DRIVE = "2011_09_26_drive_0001_sync"


def make_drives(root: Path, save_picture: SavePicture) -> None:
    """Writes photos as in the raw data and depth as in data_depth_annotated: frames start at 5 and differ per drive."""
    for date, drive, part in (
        ("2011_09_26", DRIVE, "train"),
        ("2011_10_03", "2011_10_03_drive_0047_sync", "val"),
    ):
        for frame in ("0000000004", "0000000005", "0000000006"):
            save_picture(root / date / drive / "image_02" / "data" / f"{frame}.png", PHOTO)
            save_picture(root / date / drive / "image_03" / "data" / f"{frame}.png", PHOTO)
        save_picture(root / part / drive / "proj_depth" / "groundtruth" / "image_02" / "0000000005.png", CODES)
    save_picture(root / "train" / DRIVE / "proj_depth" / "groundtruth" / "image_03" / "0000000005.png", CODES)


def test_drives_keep_their_split_and_their_name(tmp_path: Path, save_picture: SavePicture) -> None:
    make_drives(tmp_path, save_picture)
    source = read_kitti(tmp_path)
    assert [(each.stem, each.split) for each in source.records] == [
        (f"{DRIVE}_0000000005", "train"),
        (f"{DRIVE}_0000000005_image_03", "train"),
        ("2011_10_03_drive_0047_sync_0000000005", "val"),
    ]
    assert source.records[0].source == f"2011_09_26/{DRIVE}/image_02/data/0000000005.png"
    inverse = source.records[0].read_labels((2, 3)).inverse_depth
    assert inverse is not None
    np.testing.assert_allclose(inverse, INVERSE, rtol=1e-6)


def test_depth_next_to_the_photos_of_a_drive_is_found(tmp_path: Path, save_picture: SavePicture) -> None:
    drive = tmp_path / "2011_09_26" / DRIVE
    save_picture(drive / "image_02" / "data" / "0000000005.png", PHOTO)
    save_picture(drive / "proj_depth" / "groundtruth" / "image_02" / "0000000005.png", CODES)
    (record,) = read_kitti(tmp_path).records
    assert (record.stem, record.split) == (f"{DRIVE}_0000000005", "")
    (record,) = read_kitti(drive).records
    assert record.stem == f"{DRIVE}_0000000005"


def test_the_selection_pairs_its_two_names(tmp_path: Path, save_picture: SavePicture) -> None:
    folder = tmp_path / "depth_selection" / "val_selection_cropped"
    save_picture(folder / "image" / f"{DRIVE[:-5]}_sync_image_0000000005_image_02.png", PHOTO)
    depth_name = f"{DRIVE[:-5]}_sync_groundtruth_depth_0000000005_image_02.png"
    save_picture(folder / "groundtruth_depth" / depth_name, CODES)
    for root in (tmp_path, folder):
        (record,) = read_kitti(root).records
        assert (record.stem, record.split) == (f"{DRIVE}_image_0000000005_image_02", "val")


def test_sparse_depth_is_read_back_code_for_code(tmp_path: Path, save_picture: SavePicture) -> None:
    make_drives(tmp_path / "in", save_picture)
    write_import(read_kitti(tmp_path / "in"), tmp_path / "out", workers=1, progress=False)
    dataset = open_dataset(tmp_path / "out")
    assert (dataset.has_depth, dataset.has_masks, dataset.has_ignore) == (True, False, False)
    assert (dataset.depth_encoding.kind, dataset.depth_encoding.depth_scale) == ("metric", 256)
    np.testing.assert_array_equal(dataset.read_depth_levels(0), CODES)
    np.testing.assert_allclose(dataset.read(0).inverse_depth, INVERSE, rtol=1e-6)


def test_drives_without_photos_are_left_out_and_counted(tmp_path: Path, save_picture: SavePicture) -> None:
    make_drives(tmp_path, save_picture)
    other = tmp_path / "train" / "2011_09_28_drive_0002_sync" / "proj_depth" / "groundtruth" / "image_02"
    save_picture(other / "0000000005.png", CODES)
    source = read_kitti(tmp_path)
    assert len(source.records) == 3
    assert source.notes == ("1 drive is left out, with depth but no photos: 2011_09_28_drive_0002_sync/image_02",)


def test_a_frame_without_its_photo_is_named(tmp_path: Path, save_picture: SavePicture) -> None:
    make_drives(tmp_path, save_picture)
    (tmp_path / "2011_09_26" / DRIVE / "image_02" / "data" / "0000000005.png").unlink()
    with pytest.raises(QumadeError, match=r"image_02/0000000005.png without its photo"):
        read_kitti(tmp_path)


def test_8_bit_depth_is_named(tmp_path: Path, save_picture: SavePicture) -> None:
    save_picture(tmp_path / "rgb" / "a.png", PHOTO)
    save_picture(tmp_path / "depth" / "a.png", np.ones((2, 3), np.uint8))
    with pytest.raises(QumadeError, match=r"got 8 bits in .*a.png; must be a 16-bit PNG of metres x 256"):
        read_kitti(tmp_path).records[0].read_labels((2, 3))


def test_classes_are_refused_without_masks(tmp_path: Path) -> None:
    with pytest.raises(QumadeError, match="KITTI depth has no masks"):
        read_kitti(tmp_path, ("car",))


def test_the_real_frames(real_data: Path, tmp_path: Path) -> None:
    source = read_kitti(real_data / "kitti_demo")
    assert [each.stem for each in source.records] == ["0000000005", "0000000050", "0000000100"]
    write_import(source, tmp_path / "out", workers=1, progress=False)
    known = np.isfinite(open_dataset(tmp_path / "out").read_inverse_depth(0))
    assert known.mean() == pytest.approx(0.2, abs=0.02)
