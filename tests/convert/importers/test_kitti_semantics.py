from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qumade.convert.importers.kitti_semantics import read_kitti_semantics
from qumade.errors import QumadeError

SavePicture = Callable[[Path, np.ndarray], None]
IDS = np.array([[26, 26, 26, 7], [0, 4, 17, 28]], np.uint8)
NUMBERS = np.array([[26 * 256 + 1, 26 * 256 + 2, 26 * 256, 7 * 256], [0, 4 * 256, 17 * 256, 28 * 256 + 1]], np.uint16)


@pytest.mark.parametrize("above", ["", "data_semantics"])
def test_ids_and_instances(tmp_path: Path, save_picture: SavePicture, above: str) -> None:
    training = tmp_path / above / "training"
    save_picture(training / "image_2" / "000000_10.png", np.zeros((2, 4, 3), np.uint8))
    save_picture(training / "semantic" / "000000_10.png", IDS)
    save_picture(training / "instance" / "000000_10.png", NUMBERS)
    save_picture(tmp_path / above / "testing" / "image_2" / "000000_10.png", np.zeros((2, 4, 3), np.uint8))
    (record,) = read_kitti_semantics(tmp_path).records
    assert (record.stem, record.split) == ("000000_10", "train")
    labels = record.read_labels((2, 4))
    assert labels.mask is not None and labels.ignore is not None
    assert labels.instances is not None and labels.in_front is not None
    np.testing.assert_array_equal(labels.mask == 255, IDS == 26)
    np.testing.assert_array_equal(labels.ignore, IDS < 7)
    np.testing.assert_array_equal(labels.in_front > 0, IDS == 17)
    # three pixels of the car class: two objects, and one pixel of a group
    np.testing.assert_array_equal(labels.instances, [[6657, 6658, 0, 0], [0, 0, 0, 0]])


def test_a_label_map_without_its_photo_is_named(tmp_path: Path, save_picture: SavePicture) -> None:
    save_picture(tmp_path / "training" / "semantic" / "000000_10.png", IDS)
    with pytest.raises(QumadeError, match=r"semantic/000000_10.png without its photo"):
        read_kitti_semantics(tmp_path)


def test_photos_without_labels_are_named(tmp_path: Path, save_picture: SavePicture) -> None:
    for stem in ("a", "b"):
        save_picture(tmp_path / "training" / "image_2" / f"{stem}.png", np.zeros((2, 4, 3), np.uint8))
    save_picture(tmp_path / "training" / "semantic" / "a.png", IDS)
    assert read_kitti_semantics(tmp_path).notes[0].endswith("is left out, without a semantic map: b.png")
