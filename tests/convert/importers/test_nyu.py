from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from qumade.convert.importers.nyu import FILE, read_nyu
from qumade.convert.importers.writer import read_image, write_import
from qumade.data.opening import open_dataset
from qumade.errors import QumadeError

h5py = pytest.importorskip("h5py")

# MATLAB's H x W x 3 x N, H x W x N
RNG = np.random.default_rng(3)
IMAGES = RNG.integers(0, 256, (4, 5, 3, 2), np.uint8)
DEPTHS = RNG.uniform(0.7, 9.9, (4, 5, 2)).astype(np.float32)
LABELS = RNG.integers(0, 4, (4, 5, 2)).astype(np.uint16)
NAMES = ["book", "chair", "night stand"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Writes a file like MATLAB 7.3: reversed order of indices, and a cell array of references to UTF-16 text."""
    with h5py.File(tmp_path / FILE, "w") as file:
        file["images"], file["depths"], file["labels"] = IMAGES.T, DEPTHS.T, LABELS.T
        cells = file.create_dataset("names", (1, len(NAMES)), h5py.ref_dtype)
        for number, name in enumerate(NAMES):
            text = file.create_dataset(f"#refs#/{number}", data=np.array([[ord(c)] for c in name], np.uint16))
            cells[0, number] = text.ref
    return tmp_path


def test_frames_are_upright_and_depth_is_in_metres(root: Path, tmp_path: Path) -> None:
    source = read_nyu(root)
    assert [each.stem for each in source.records] == ["nyu_0001", "nyu_0002"]
    assert source.folders == ("depth",)
    for number, record in enumerate(source.records):
        np.testing.assert_array_equal(read_image(record)[0], IMAGES[..., number])
        np.testing.assert_allclose(record.read_labels((4, 5)).inverse_depth, 1 / DEPTHS[..., number], rtol=1e-6)
    write_import(source, tmp_path / "out", workers=1, progress=False)
    dataset = open_dataset(tmp_path / "out")
    np.testing.assert_array_equal(dataset.read_image(1), IMAGES[..., 1])
    np.testing.assert_allclose(1 / dataset.read_inverse_depth(1), DEPTHS[..., 1], atol=0.5 / 256 + 1e-5)


def test_classes_by_name(root: Path) -> None:
    source = read_nyu(root / FILE, ("chair", "night stand"))
    labels = source.records[1].read_labels((4, 5))
    assert source.folders == ("masks", "depth", "ignore") and labels.mask is not None
    np.testing.assert_array_equal(labels.mask == 255, LABELS[..., 1] >= 2)
    np.testing.assert_array_equal(labels.ignore, LABELS[..., 1] == 0)
    with pytest.raises(QumadeError, match=r"got 'car' .*must be one of book, chair, night stand"):
        read_nyu(root, ("car",))


def test_splits_come_from_the_matlab_file_next_to_it(root: Path) -> None:
    assert [each.split for each in read_nyu(root).records] == ["", ""]
    savemat(root / "splits.mat", {"trainNdxs": np.array([[2]]), "testNdxs": np.array([[1]])})
    assert [each.split for each in read_nyu(root).records] == ["test", "train"]
    for train, test, got in (
        ([[1, 2]], [[2]], "frame 2 in train and test"),
        ([[0]], [[1]], "frame 0"),
        ([[3]], [[1]], "frame 3"),
    ):
        savemat(root / "splits.mat", {"trainNdxs": np.array(train), "testNdxs": np.array(test)})
        with pytest.raises(
            QumadeError, match=rf"Invalid splits: got {got} in .*splits.mat; must be numbers from 1 to 2"
        ):
            read_nyu(root)
    (root / "splits.mat").write_bytes(b"torn")
    with pytest.raises(QumadeError, match=r"Invalid splits: .*splits.mat"):
        read_nyu(root)


def test_unknown_depth_stays_unknown(root: Path) -> None:
    with h5py.File(root / FILE, "r+") as file:
        file["depths"][0, 0, 0], file["depths"][0, 1, 0] = 0, np.nan
    inverse = read_nyu(root).records[0].read_labels((4, 5)).inverse_depth
    assert inverse is not None and np.isnan(inverse).sum() == 2


def test_unknown_and_damaged_files_are_named(root: Path, tmp_path: Path) -> None:
    path = root / FILE
    data = path.read_bytes()
    for content in (b"", b"MATLAB 5.0 MAT-file", data[: len(data) // 2]):
        path.write_bytes(content)
        with pytest.raises(QumadeError, match=FILE):
            read_nyu(root)
    path.unlink()
    with pytest.raises(QumadeError, match=f"got no file .*{FILE}"):
        read_nyu(root)


def test_links_to_other_files_are_not_followed(root: Path) -> None:
    with h5py.File(root / "other.h5", "w") as other:
        other["secret"] = DEPTHS.T
    with h5py.File(root / FILE, "r+") as file:
        del file["depths"]
        file["depths"] = h5py.ExternalLink("other.h5", "secret")
    with pytest.raises(QumadeError, match="got nothing as depths"):
        read_nyu(root)


def test_wrong_shapes_are_named(root: Path) -> None:
    with h5py.File(root / FILE, "r+") as file:
        del file["depths"]
        file["depths"] = DEPTHS
    with pytest.raises(QumadeError, match=r"as depths in .*; must be an array \[2, 5, 4\]"):
        read_nyu(root)
