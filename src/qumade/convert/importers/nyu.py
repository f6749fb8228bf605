"""NYU Depth v2, labelled frames: one MATLAB 7.3 file (HDF5) of images, depths in metres, labels and their names.

N. Silberman, P. Kohli, D. Hoiem, R. Fergus, "Indoor segmentation and support inference from RGBD images", ECCV 2012.
MATLAB is column-major, so its H x W x 3 x N array is [N, 3, W, H] in HDF5.
"""

import io
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from qumade.assets.label_names import table_of_names
from qumade.convert.importers.records import (
    ClassIds,
    Labels,
    Record,
    Source,
    choose_classes,
    labels_of_ids,
    require_records,
)
from qumade.depth.encoding import METRES_16_BIT
from qumade.errors import DatasetError
from qumade.extras import needs
from qumade.io.decode import MAX_PIXELS
from qumade.io.files import read_bytes
from qumade.io.pictures import printable

__all__ = ["read_nyu"]

FILE = "nyu_depth_v2_labeled.mat"
MAX_FRAMES = 1 << 20
MAX_NAME = 256
MAX_CLASSES = 1 << 16
MAX_SPLITS_BYTES = 1 << 20


def read_nyu(root: Path, classes: Collection[str] = ()) -> Source:
    """Return the frames of `root`, the .mat file or its folder; masks only if `classes` are given.

    splits.mat in the same folder lists train and test. Label 0 is unlabelled; depth 0 is unknown.
    """
    path = root / FILE if root.is_dir() else root
    if not path.is_file():
        raise DatasetError(f"Invalid dataset: got no file {printable(path)}; must be {FILE} or the folder with it")
    with _opened(path) as file:
        frames, _, width, height = _field(file, path, "images", np.uint8, (None, 3, None, None)).shape
        if width * height > MAX_PIXELS or frames > MAX_FRAMES:
            got = f"{frames} frames of {width}x{height} pixels"
            raise DatasetError(f"Invalid dataset: got {got} in {printable(path)}; must be fewer")
        _field(file, path, "depths", np.floating, (frames, width, height))
        ids = None
        if classes:
            _field(file, path, "labels", np.integer, (frames, width, height))
            names = _names(file, path)
            table = table_of_names(dict(enumerate(names, 1)))
            known = frozenset(range(len(names) + 1))
            ids = ClassIds(choose_classes(table, classes, path), frozenset({0}), named=known, table=FILE)
    splits = _splits(path.with_name("splits.mat"), frames)
    records = [
        Record(
            f"nyu_{number:04d}",
            splits.get(number, ""),
            partial(_image, path, number - 1),
            f"{path.name}#{number}",
            partial(_read, path, number - 1, ids),
        )
        for number in range(1, frames + 1)
    ]
    folders = ("masks", "depth", "ignore") if classes else ("depth",)
    found = require_records(records, root, FILE)
    splits_path = path.with_name("splits.mat")
    inputs = (path, splits_path) if splits_path.is_file() else (path,)
    return Source("nyu", path.parent, found, folders, tuple(classes), METRES_16_BIT, inputs=inputs)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with needs("imports", "this dataset"):
        import h5py
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DatasetError(f"Invalid dataset: got an unreadable HDF5 file {printable(path)} ({reason})") from error


def _field(file: Any, path: Path, name: str, kind: Any, shape: tuple[int | None, ...]) -> Any:
    """Return an HDF5 dataset of the file with this type and shape (None: any) without reading its values."""
    import h5py

    link = file.get(name, getlink=True)
    found: Any = file.get(name) if isinstance(link, h5py.HardLink) else None  # links may point to other files
    fits = isinstance(found, h5py.Dataset) and found.ndim == len(shape) and np.issubdtype(found.dtype, kind)
    if not fits or not all(a in (None, b) for a, b in zip(shape, found.shape, strict=True)) or found.external:
        got = f"{found.dtype} {found.shape}" if isinstance(found, h5py.Dataset) else "nothing"
        wanted = f"[{', '.join('*' if side is None else str(side) for side in shape)}]"
        raise DatasetError(f"Invalid dataset: got {got} as {name} in {printable(path)}; must be an array {wanted}")
    return found


def _names(file: Any, path: Path) -> list[str]:
    """Return the class names of labels 1, 2, ... from a cell array: each cell refers to an array of characters."""
    import h5py

    cells = _field(file, path, "names", np.object_, (None, None))
    if cells.size > MAX_CLASSES:
        raise DatasetError(f"Invalid dataset: got {cells.size} names in {printable(path)}; must be up to {MAX_CLASSES}")
    names = []
    for reference in cells[()].ravel():
        characters = file[reference]
        if not isinstance(characters, h5py.Dataset) or not 0 < characters.size <= MAX_NAME:
            raise DatasetError(f"Invalid dataset: got an invalid name in {printable(path)}; must be text")
        names.append("".join(map(chr, np.asarray(characters[()], np.uint16).ravel())))
    return names


def _splits(path: Path, frames: int) -> dict[int, str]:
    """Return the split of each frame by its number from 1; empty if the file does not exist.

    Raises DatasetError for a number that no frame has, and for one on both sides: the test would be trained on.
    """
    if not path.exists():
        return {}
    data = read_bytes(path, MAX_SPLITS_BYTES)
    try:
        content = loadmat(io.BytesIO(data), variable_names=["trainNdxs", "testNdxs"])
        parts = {"train": content["trainNdxs"], "test": content["testNdxs"]}
        listed = [(int(number), split) for split, numbers in parts.items() for number in np.ravel(numbers)]
    except Exception as error:  # a damaged file fails in many ways
        wanted = "a MATLAB file of trainNdxs and testNdxs"
        raise DatasetError(
            f"Invalid splits: got {type(error).__name__} in {printable(path)}; must be {wanted}"
        ) from error
    outside = [number for number, _ in listed if not 1 <= number <= frames]
    splits = dict(listed)
    both = sorted({number for number, split in listed if splits[number] != split})
    if outside or both:
        got = f"frame {outside[0]}" if outside else f"frame {both[0]} in train and test"
        raise DatasetError(
            f"Invalid splits: got {got} in {printable(path)}; must be numbers from 1 to {frames}, each on one side"
        )
    return splits


def _image(path: Path, index: int) -> NDArray[np.uint8]:
    with _opened(path) as file:
        return np.ascontiguousarray(file["images"][index].transpose(2, 1, 0))


def _read(path: Path, index: int, classes: ClassIds | None, shape: tuple[int, int]) -> Labels:
    with _opened(path) as file:
        metres = file["depths"][index].T.astype(np.float32)
        ids = None if classes is None else file["labels"][index].T.astype(np.int32)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(metres > 0, 1 / metres, np.float32(np.nan)).astype(np.float32)
    labels = Labels() if ids is None or classes is None else labels_of_ids(ids, classes, path)
    return replace(labels, inverse_depth=inverse)
