import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qumade.convert.importers.camvid import read_camvid
from qumade.convert.importers.writer import read_image, write_import
from qumade.data.opening import open_dataset
from qumade.errors import QumadeError

SavePicture = Callable[[Path, np.ndarray], None]
IDS = np.array([[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]], np.uint8)


@pytest.fixture(params=["segnet", "nested"])
def root(request: pytest.FixtureRequest, tmp_path: Path, save_picture: SavePicture) -> Path:
    """Writes two frames of train, one of val and none of test, in each layout."""
    for split, stems in (("train", ["0001TP_006690", "0001TP_006720"]), ("val", ["0016E5_07959"])):
        nested = request.param == "nested"
        images = tmp_path / split / "images" if nested else tmp_path / split
        labels = tmp_path / split / "labels" if nested else tmp_path / f"{split}annot"
        for number, stem in enumerate(stems):
            save_picture(images / f"{stem}.png", np.full((2, 6, 3), number, np.uint8))
            save_picture(labels / f"{stem}.png", IDS)
    return tmp_path


def test_ids_become_mask_and_ignore_and_splits_are_kept(root: Path) -> None:
    source = read_camvid(root)
    assert [(each.stem, each.split) for each in source.records] == [
        ("0001TP_006690", "train"),
        ("0001TP_006720", "train"),
        ("0016E5_07959", "val"),
    ]
    labels = source.records[0].read_labels((2, 6))
    assert labels.mask is not None and labels.ignore is not None and labels.in_front is not None
    np.testing.assert_array_equal(labels.mask, np.where(IDS == 8, 255, 0))
    np.testing.assert_array_equal(labels.ignore, IDS == 11)
    np.testing.assert_array_equal(labels.in_front > 0, np.isin(IDS, [2, 6, 9, 10]))


def test_several_classes_may_form_the_mask(root: Path) -> None:
    labels = read_camvid(root, ("car", "pedestrian")).records[0].read_labels((2, 6))
    assert labels.mask is not None and labels.in_front is not None
    np.testing.assert_array_equal(labels.mask == 255, np.isin(IDS, [8, 9]))
    assert not (labels.in_front > 0)[1, 3]


@pytest.mark.parametrize("wrong", ["lorry", "unlabelled", "terrain"])
def test_an_unknown_class_is_refused_naming_the_known_ones(root: Path, wrong: str) -> None:
    with pytest.raises(QumadeError, match=rf"--class: got '{wrong}' .*must be one of sky, building, .*car"):
        read_camvid(root, (wrong,))


def test_an_image_without_label_map_is_named(root: Path, save_picture: SavePicture) -> None:
    folder = root / "train" / "images"
    folder = folder if folder.is_dir() else root / "train"
    save_picture(folder / "extra.png", np.zeros((2, 6, 3), np.uint8))
    with pytest.raises(QumadeError, match=r"extra.png without a label map"):
        read_camvid(root)


def test_a_label_map_of_another_size_is_named(root: Path) -> None:
    with pytest.raises(QumadeError, match=r"got 6x2 in .*0001TP_006690.png; must be 6x3"):
        read_camvid(root).records[0].read_labels((3, 6))


def test_an_empty_folder_names_the_layout(tmp_path: Path) -> None:
    with pytest.raises(QumadeError, match=r"found no labelled image in .*must have train/ with trainannot/"):
        read_camvid(tmp_path)


def test_equal_stems_of_two_splits_are_prefixed(tmp_path: Path, save_picture: SavePicture) -> None:
    for split in ("train", "val"):
        save_picture(tmp_path / split / "a.png", np.zeros((2, 6, 3), np.uint8))
        save_picture(tmp_path / f"{split}annot" / "a.png", IDS)
    assert [each.stem for each in read_camvid(tmp_path).records] == ["train_a", "val_a"]


def test_the_real_frames(real_data: Path, tmp_path: Path) -> None:
    source = read_camvid(real_data / "camvid")
    assert [sum(each.split == split for each in source.records) for split in ("train", "val")] == [367, 101]
    few = type(source)(**{**vars(source), "records": source.records[::100]})
    write_import(few, tmp_path / "out", workers=1, progress=False)
    dataset = open_dataset(tmp_path / "out")
    assert dataset.metadata is not None and dataset.metadata.size == (480, 360)
    for number, record in enumerate(few.records):
        sample = dataset.read(number)
        assert isinstance(record.image, Path)
        assert dataset.path("images", number).read_bytes() == record.image.read_bytes()
        np.testing.assert_array_equal(sample.image, read_image(record)[0])
        assert sample.mask is not None and sample.ignore is not None
        assert not (sample.ignore & (sample.mask > 0)).any()


def test_a_split_without_label_maps_is_named(root: Path) -> None:
    labels = root / "val" / "labels"
    shutil.rmtree(labels if labels.is_dir() else root / "valannot")
    (note,) = read_camvid(root).notes
    assert "without label maps in" in note and note.endswith("0016E5_07959.png")


def test_a_few_pixels_of_an_id_without_a_name_are_unknown(root: Path, save_picture: SavePicture) -> None:
    ids = np.zeros((50, 60), np.uint8)
    ids[3, 4] = 77
    for folder in {each.parent for each in root.rglob("0016E5_07959.png")}:
        save_picture(folder / "0016E5_07959.png", ids)
    labels = read_camvid(root).records[-1].read_labels((50, 60))
    assert labels.ignore is not None and np.argwhere(labels.ignore).tolist() == [[3, 4]]
