import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from qumade.data.dataset import SPLIT_NAMES
from qumade.data.folder import FolderDataset
from qumade.errors import QumadeError

SPLITS = ["test", None, "train", "seen background", "mixed"]


def write_manifest(
    root: Path, splits: list[str | None], stems: list[str] | None = None, dictionary: bool = False
) -> None:
    stems = [f"img{n + 1:06d}" for n in range(len(splits))] if stems is None else stems
    column = pa.array(splits, pa.string())
    column = column.dictionary_encode() if dictionary else column
    pq.write_table(
        pa.table({"index": np.arange(len(stems)), "stem": pa.array(stems, pa.string()), "split": column}),
        root / "manifest.parquet",
    )


def test_samples_are_what_the_files_hold(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(4, folders=("images", "masks", "ignore"))
    dataset = FolderDataset(root)
    third = {path.parent.name: np.asarray(Image.open(path)) for path in root.glob("*/img000003.png")}
    assert (len(dataset), dataset.name, dataset.has_masks, dataset.has_depth) == (4, root.name, True, False)
    assert dataset.depth_encoding is None
    for got in (dataset[2], dataset.read(2, draw=5), dataset.read_many([0, 2], [3, 4])[1]):
        np.testing.assert_array_equal(got.image, third["images"])
        np.testing.assert_array_equal(got.mask, third["masks"])
        np.testing.assert_array_equal(got.ignore, third["ignore"] > 0)
        assert got.inverse_depth is None
    assert dataset.stems.tolist() == ["img000001", "img000002", "img000003", "img000004"]


def test_without_a_manifest_splits_are_unknown(make_dataset: Callable[..., Path]) -> None:
    dataset = FolderDataset(make_dataset(3, folders=("images", "masks")))
    assert dataset.splits.tolist() == ["", "", ""]
    assert dataset.positions("").tolist() == [0, 1, 2]
    assert dataset.positions("train", "val").tolist() == []


@pytest.mark.parametrize("dictionary", [False, True])
def test_splits_are_found_by_stem_in_any_order(make_dataset: Callable[..., Path], dictionary: bool) -> None:
    root = make_dataset(5, folders=("images", "masks"))
    order = [3, 0, 4, 2, 1]
    write_manifest(root, [SPLITS[n] for n in order], [f"img{n + 1:06d}" for n in order], dictionary)
    dataset = FolderDataset(root)
    assert dataset.splits.tolist() == [split or "" for split in SPLITS]
    assert dataset.positions("mixed", "test").tolist() == [0, 4]
    assert dataset.positions(*SPLIT_NAMES).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("stems", "got"),
    [
        ([], "no row for 'img000001'"),
        (["img000002"], "no row for 'img000001'"),
        (["img000001", "img000002", "img000002"], "'img000002' twice"),
        (["img000001", "img000002", None], "a row without a stem"),
        (["img000001", "img000002", "../img000003"], "'../img000003', which is no picture"),
        (["img000001", "img000002", "img000003", "img000004"], "'img000004', which is no picture"),
    ],
)
def test_a_manifest_of_other_pictures_is_refused(make_dataset: Callable[..., Path], stems: list[str], got: str) -> None:
    root = make_dataset(3, folders=("images", "masks"))
    write_manifest(root, ["train"] * len(stems), stems)
    with pytest.raises(QumadeError) as caught:
        FolderDataset(root)
    assert got in str(caught.value) and str(root / "manifest.parquet") in str(caught.value)


def test_a_pickled_dataset_works_in_another_process(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(5, folders=("images", "masks"))
    write_manifest(root, SPLITS)
    dataset = FolderDataset(root)
    arrived = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(arrived[4].image, dataset[4].image)
    assert arrived.splits.tolist() == dataset.splits.tolist()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(b"PAR1 nothing"), "cannot read"),
        (lambda path: os.mkfifo(path), "cannot read"),
        (lambda path: path.symlink_to("nowhere"), "cannot read"),
        (lambda path: path.mkdir(), "cannot read"),
        (lambda path: pq.write_table(pa.table({"stem": ["img000001"]}), path), "no column 'split'"),
        (
            lambda path: pq.write_table(
                pa.table({"stem": ["img000001", "img000002"], "split": ["trainval"] * 2}), path
            ),
            "'trainval'",
        ),
    ],
)
def test_a_wrong_manifest_is_refused_by_name(
    make_dataset: Callable[..., Path], spoil: Callable[[Path], None], words: str
) -> None:
    root = make_dataset(2, folders=("images", "masks"))
    spoil(root / "manifest.parquet")
    with pytest.raises(QumadeError, match=words) as caught:
        FolderDataset(root)
    assert str(root / "manifest.parquet") in str(caught.value)
    assert "\n" not in str(caught.value)
