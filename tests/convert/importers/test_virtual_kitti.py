from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qumade.convert.importers.virtual_kitti import read_virtual_kitti
from qumade.convert.importers.writer import write_import
from qumade.data.opening import open_dataset
from qumade.errors import QumadeError

SavePicture = Callable[[Path, np.ndarray], None]
CAR, VAN, POLE, UNDEFINED, SKY = (255, 127, 80), (0, 139, 139), (255, 130, 0), (0, 0, 0), (90, 200, 255)
CLASSES = np.array([[CAR, VAN, POLE], [UNDEFINED, SKY, (1, 2, 3)]], np.uint8)
CENTIMETRES = np.array([[100, 2550, 1], [0, 65535, 40000]], np.uint16)
INSTANCES = np.array([[3, 1, 0], [0, 0, 0]], np.uint8)


def make(root: Path, save_picture: SavePicture, *parts: str) -> None:
    for camera in ("Camera_0", "Camera_1"):
        frames = root / "Scene01" / "15-deg-left" / "frames"
        image = frames / "rgb" / camera / "rgb_00007.jpg"
        image.parent.mkdir(parents=True)
        Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(image)
        if "depth" in parts:
            save_picture(frames / "depth" / camera / "depth_00007.png", CENTIMETRES)
        if "classSegmentation" in parts:
            save_picture(frames / "classSegmentation" / camera / "classgt_00007.png", CLASSES)
        if "instanceSegmentation" in parts:
            picture = Image.fromarray(INSTANCES)
            picture.putpalette([9, 9, 9] * 256)
            path = frames / "instanceSegmentation" / camera / "instancegt_00007.png"
            path.parent.mkdir(parents=True)
            picture.save(path)


def test_colours_centimetres_and_instances(tmp_path: Path, save_picture: SavePicture) -> None:
    make(tmp_path, save_picture, "depth", "classSegmentation", "instanceSegmentation")
    source = read_virtual_kitti(tmp_path)
    stems = [f"Scene01_15-deg-left_Camera_{number}_00007" for number in (0, 1)]
    assert [(each.stem, each.split) for each in source.records] == [(stem, "") for stem in stems]
    labels = source.records[0].read_labels((2, 3))
    assert labels.mask is not None and labels.inverse_depth is not None and labels.in_front is not None
    np.testing.assert_array_equal(labels.mask, [[255, 0, 0], [0, 0, 0]])
    # undefined, and a colour of no class
    np.testing.assert_array_equal(labels.ignore, [[False, False, False], [True, False, True]])
    np.testing.assert_array_equal(labels.in_front > 0, [[False, False, True], [False, False, False]])
    np.testing.assert_array_equal(labels.instances, INSTANCES)
    np.testing.assert_allclose(labels.inverse_depth, [[1, 1 / 25.5, 100], [np.nan, 0, 1 / 400]], rtol=1e-6)
    write_import(source, tmp_path / "out", workers=1, progress=False)
    codes = open_dataset(tmp_path / "out").read_depth_levels(0)
    np.testing.assert_array_equal(
        codes, [[256, 6528, 3], [0, 65535, 65535]]
    )  # 400 m is farther than the code can store


def test_class_names_are_case_insensitive(tmp_path: Path, save_picture: SavePicture) -> None:
    make(tmp_path, save_picture, "classSegmentation")
    labels = read_virtual_kitti(tmp_path, ("Car", "van")).records[0].read_labels((2, 3))
    np.testing.assert_array_equal(labels.mask, [[255, 255, 0], [0, 0, 0]])
    with pytest.raises(QumadeError, match=r"got 'bus' .*must be one of terrain, .*car, van"):
        read_virtual_kitti(tmp_path, ("bus",))


@pytest.mark.parametrize(("part", "folders"), [("depth", ("depth",)), ("classSegmentation", ("masks", "ignore"))])
def test_missing_parts_are_left_out(
    tmp_path: Path, save_picture: SavePicture, part: str, folders: tuple[str, ...]
) -> None:
    make(tmp_path, save_picture, part)
    assert read_virtual_kitti(tmp_path).folders == folders


def test_colours_come_from_the_scene(tmp_path: Path, save_picture: SavePicture) -> None:
    make(tmp_path, save_picture, "classSegmentation")
    colours = tmp_path / "Scene01" / "15-deg-left" / "colors.txt"
    colours.write_text("Category r g b\nCar 90 200 255\nSky 1 2 3\nVan 255 127 80\nPole 0 139 139\n")
    labels = read_virtual_kitti(tmp_path).records[0].read_labels((2, 3))
    np.testing.assert_array_equal(labels.mask, [[0, 0, 0], [0, 255, 0]])
    colours.write_text(f"Category r g b\nCar {'9' * 9999} 1 1\n")
    with pytest.raises(QumadeError, match="Invalid colours"):
        read_virtual_kitti(tmp_path)
    colours.write_text("Category r g b\nCar 90 200 256\n")
    with pytest.raises(QumadeError, match=r"got 'Car 90 200 256' in .*colors.txt; must be a name and three numbers"):
        read_virtual_kitti(tmp_path)


def test_photos_without_labels_are_refused(tmp_path: Path, save_picture: SavePicture) -> None:
    make(tmp_path, save_picture)
    with pytest.raises(QumadeError, match="found no labelled image"):
        read_virtual_kitti(tmp_path)


def test_frames_that_lack_a_part_are_left_out_and_named(tmp_path: Path, save_picture: SavePicture) -> None:
    make(tmp_path, save_picture, "depth", "classSegmentation")
    frames = tmp_path / "Scene01" / "15-deg-left" / "frames"
    (frames / "classSegmentation" / "Camera_1" / "classgt_00007.png").unlink()
    source = read_virtual_kitti(tmp_path)
    assert [record.stem for record in source.records] == ["Scene01_15-deg-left_Camera_0_00007"]
    assert source.notes == ("1 frame is left out: Scene01/15-deg-left/Camera_1 lacks classSegmentation",)


def test_maps_in_other_colours_are_refused(tmp_path: Path, save_picture: SavePicture) -> None:
    make(tmp_path, save_picture, "classSegmentation")
    folder = tmp_path / "Scene01" / "15-deg-left" / "frames" / "classSegmentation"
    save_picture(folder / "Camera_0" / "classgt_00007.png", CLASSES // 2 + 3)
    with pytest.raises(QumadeError, match=r"got colour 130, 66, 43 on 100.0% of the pixels of .*classgt_00007.png"):
        read_virtual_kitti(tmp_path).records[0].read_labels((2, 3))
