from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qumade.convert.importers.pairs import read_pairs
from qumade.convert.importers.writer import write_import
from qumade.data.opening import open_dataset
from qumade.errors import QumadeError

SavePicture = Callable[[Path, np.ndarray], None]
COVERAGE = np.array([[0, 10, 255], [255, 128, 0]], np.uint8)
CODES = np.array([[0, 1000, 2000], [500, 65000, 1]], np.uint16)
IDS = np.array([[8, 0, 11], [9, 255, 8]], np.uint8)


@pytest.fixture
def root(tmp_path: Path, save_picture: SavePicture) -> Path:
    for stem in ("a", "b"):
        save_picture(tmp_path / "photos" / f"{stem}.png", np.zeros((2, 3, 3), np.uint8))
        save_picture(tmp_path / "masks" / f"{stem}.png", COVERAGE)
        save_picture(tmp_path / "labels" / f"{stem}.png", IDS)
        save_picture(tmp_path / "depth" / f"{stem}.png", CODES)
    (tmp_path / "depth" / "b.png").unlink()
    return tmp_path


def test_images_with_all_labels_are_taken_and_coverage_stays_soft(root: Path, tmp_path: Path) -> None:
    source = read_pairs(root, Path("photos"), Path("masks"), Path("depth"), depth_scale=1000.0)
    write_import(source, tmp_path / "out", workers=1, progress=False)
    dataset = open_dataset(tmp_path / "out")
    assert dataset.stems.tolist() == ["a"] and not dataset.has_ignore
    np.testing.assert_array_equal(dataset.read_mask(0), COVERAGE)
    np.testing.assert_array_equal(dataset.read_depth_levels(0), [[0, 256, 512], [128, 16640, 1]])


def test_inverse_depth_of_another_kind_keeps_its_codes(root: Path, tmp_path: Path) -> None:
    source = read_pairs(root, Path("photos"), depth=Path("depth"), depth_kind="affine")
    write_import(source, tmp_path / "out", workers=1, progress=False)
    dataset = open_dataset(tmp_path / "out")
    assert (dataset.depth_encoding.kind, dataset.has_masks) == ("affine", False)
    np.testing.assert_array_equal(dataset.read_depth_levels(0), CODES)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("metric", [2.0, np.nan, 0.0]), ("scaled", [1.0, 0.25, 0.0]), ("affine", [1.0, 0.25, 0.0])],
)
def test_maps_of_inverse_depth_and_of_ids_may_be_arrays(
    root: Path, tmp_path: Path, kind: Any, expected: list[float]
) -> None:
    values = np.array([[2.0, np.nan if kind == "metric" else 0.5, 0.0], [1.0, 1.0, 1.0]], np.float32)
    for folder, array in (("values", values), ("ids", IDS)):
        (root / folder).mkdir()
        np.save(root / folder / "a.npy", array)
    names: dict[str, Any] = {"classes": ["car"], "label_names": "camvid"}
    source = read_pairs(root, Path("photos"), Path("ids"), Path("values"), depth_kind=kind, **names)
    (record,) = source.records
    labels = record.read_labels((2, 3))
    assert labels.inverse_depth is not None and labels.mask is not None and labels.in_front is not None
    np.testing.assert_array_equal(labels.inverse_depth[0], np.float32(expected))
    np.testing.assert_array_equal(labels.mask == 255, IDS == 8)
    np.testing.assert_array_equal(labels.in_front > 0, np.isin(IDS, [9, 10]))  # pedestrian, bicyclist


def test_scaled_depth_needs_something_near(root: Path) -> None:
    (root / "values").mkdir()
    np.save(root / "values" / "a.npy", np.zeros((2, 3), np.float32))
    (record,) = read_pairs(root, Path("photos"), depth=Path("values"), depth_kind="scaled").records
    with pytest.raises(QumadeError, match=r"got 0 everywhere in .*a\.npy"):
        record.read_labels((2, 3))


def test_label_maps_with_names(root: Path) -> None:
    source = read_pairs(root, Path("photos"), Path("labels"), classes=("car", "pedestrian"), label_names="camvid")
    assert source.folders == ("masks", "ignore") and len(source.records) == 2
    labels = source.records[0].read_labels((2, 3))
    assert labels.mask is not None
    np.testing.assert_array_equal(labels.mask == 255, np.isin(IDS, [8, 9]))
    np.testing.assert_array_equal(labels.ignore, np.isin(IDS, [11, 255]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "neither --masks nor --depth"),
        ({"masks": "masks", "classes": ("car",)}, "together with --masks and --label-names"),
        ({"depth": "depth", "classes": ("car",), "label_names": "camvid"}, "together with --masks"),
        ({"masks": "masks", "classes": ("lorry",), "label_names": "camvid"}, "got 'lorry'"),
        ({"depth": "depth", "depth_scale": 0.0}, "Invalid --depth-scale: got 0.0"),
        ({"masks": "missing"}, "found no labelled image"),
    ],
)
def test_wrong_arguments_are_refused(root: Path, arguments: dict, message: str) -> None:
    with pytest.raises(QumadeError, match=message):
        read_pairs(root, Path("photos"), **arguments)


def test_class_ids_are_refused_as_a_mask(root: Path, save_picture: SavePicture) -> None:
    save_picture(root / "masks" / "a.png", np.eye(2, 3, dtype=np.uint8))
    source = read_pairs(root, Path("photos"), Path("masks"))
    with pytest.raises(QumadeError, match=r"got areas of level 1 .* in .*masks/a.png"):
        source.records[0].read_labels((2, 3))


def test_depth_of_another_scale_is_not_taken_for_this_one(root: Path, tmp_path: Path) -> None:
    def write(scale: float) -> None:
        source = read_pairs(root, Path("photos"), depth=Path("depth"), depth_scale=scale)
        write_import(source, tmp_path / "out", workers=1, progress=False)

    write(256.0)
    with pytest.raises(QumadeError, match=r"import\.depth_scale 256\.0, this one has 1000\.0"):
        write(1000.0)


@pytest.mark.parametrize("kind", ["scaled", "affine"])
def test_unknown_depth_that_cannot_be_stored_is_refused(root: Path, kind: Any) -> None:
    (root / "values").mkdir()
    np.save(root / "values" / "a.npy", np.array([[2, np.nan, 0], [1, 1, 1]], np.float32))
    (record,) = read_pairs(root, Path("photos"), depth=Path("values"), depth_kind=kind).records
    with pytest.raises(
        QumadeError, match=r"got 16\.7% unknown pixels in .*a\.npy; must have none, because only metric"
    ):
        record.read_labels((2, 3))


@pytest.mark.parametrize("name", ["void", "Unlabeled", "__ignore__"])
def test_names_that_mean_not_labelled_are_ignored(root: Path, name: str) -> None:
    (root / "names.yaml").write_text(f"{{0: '{name}', 8: car, 9: person, 11: other}}")
    source = read_pairs(root, Path("photos"), Path("labels"), classes=("car",), label_names=root / "names.yaml")
    np.testing.assert_array_equal(source.records[0].read_labels((2, 3)).ignore, np.isin(IDS, [0, 255]))


@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_depth_that_grows_towards_the_lower_edge_is_refused(
    tmp_path: Path, save_picture: SavePicture, suffix: str
) -> None:
    """A road, 2 m away at the lower edge and 30 m in the middle: as metres in .npy, or as inverse depth in a PNG."""
    metres = np.repeat(np.concatenate([np.full(32, 30.0), np.geomspace(30.0, 2.0, 32)])[:, None], 80, 1)
    right = {".png": np.rint(metres * 256).astype(np.uint16), ".npy": np.float32(1 / metres)}
    wrong = {".png": np.rint(60000 / metres).astype(np.uint16), ".npy": np.float32(metres)}
    for stem in ("a", "b", "c"):
        save_picture(tmp_path / "images" / f"{stem}.png", np.zeros((64, 80, 3), np.uint8))
        for folder, values in (("right", right[suffix]), ("wrong", wrong[suffix])):
            (tmp_path / folder).mkdir(exist_ok=True)
            path = tmp_path / folder / f"{stem}{suffix}"
            save_picture(path, values) if suffix == ".png" else np.save(path, values)
    assert len(read_pairs(tmp_path, Path("images"), depth=Path("right")).records) == 3
    with pytest.raises(QumadeError, match="got depth that grows towards the lower edge in 3 of 3 maps, such as"):
        read_pairs(tmp_path, Path("images"), depth=Path("wrong"))
