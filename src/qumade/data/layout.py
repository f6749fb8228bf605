"""A dataset on disk: images/ with masks/, depth/ and ignore/ of equal file stems, with or without dataset.yaml.

`open_dataset` lists the folders and opens no picture; each `read_*` decodes one file and refuses a torn, wrong or
mismatched one by name.
"""

import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qumade.data.metadata import (
    UNDESCRIBED_DEPTH,
    DepthCode,
    Description,
    inverse_depth_table,
    read_description,
)
from qumade.errors import QumadeError
from qumade.io.decode import decode_bilevel, decode_grey, decode_rgb
from qumade.io.pictures import read_picture

__all__ = ["Dataset", "LabeledSample", "open_dataset"]

FOLDERS = ("images", "masks", "depth", "ignore")
SUFFIXES = (".jpg", ".jpeg", ".png")
DESKTOP_FILES = {"thumbs.db", "desktop.ini"}


@dataclass(frozen=True, eq=False)
class LabeledSample:
    """One sample as read: image uint8 [H, W, 3], mask coverage uint8 [H, W], inverse depth float32 [H, W] (0 infinitely
    far, NaN unknown), ignore bool [H, W]; None where the dataset has no such folder."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None
    inverse_depth: NDArray[np.float32] | None
    ignore: NDArray[np.bool_] | None


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset's files. Samples are chosen by position (0 .. len - 1, in the order of the stems) or by stem.

    It holds no open file and pickles cheaply, so that worker processes may read through it.
    """

    root: Path
    stems: NDArray[np.str_]  # sorted
    suffixes: dict[str, NDArray[np.str_]]  # folder -> the file suffix of each stem
    meta: Description | None  # dataset.yaml, where there is one

    def __len__(self) -> int:
        return len(self.stems)

    @property
    def has_masks(self) -> bool:
        return "masks" in self.suffixes

    @property
    def has_depth(self) -> bool:
        return "depth" in self.suffixes

    @property
    def has_ignore(self) -> bool:
        return "ignore" in self.suffixes

    @property
    def depth_code(self) -> DepthCode:
        """How depth/ codes inverse depth; without dataset.yaml: 8-bit, over the range of each picture."""
        return (self.meta and self.meta.depth) or UNDESCRIBED_DEPTH

    @property
    def manifest_path(self) -> Path | None:
        path = self.root / "manifest.parquet"
        return path if path.is_file() else None

    def index(self, key: int | str) -> int:
        """Return the position of a sample given by position (negative from the end) or stem; KeyError, IndexError."""
        if isinstance(key, str):
            position = int(np.searchsorted(self.stems, key))
            if position == len(self) or self.stems[position] != key:
                raise KeyError(f"no sample {key!r} in {self.root}")
            return position
        if not -len(self) <= key < len(self):
            raise IndexError(f"no sample {key} in {self.root}, which has {len(self)}")
        return int(key) % len(self)

    def path(self, folder: str, key: int | str) -> Path:
        """Return the path of a sample's file in `folder`; QumadeError where the dataset has no such folder."""
        if folder not in self.suffixes:
            raise QumadeError(f"Invalid dataset: got no folder {self.root / folder}; must exist to be read")
        position = self.index(key)
        return Path(f"{self.root}/{folder}/{self.stems[position]}{self.suffixes[folder][position]}")

    def take(self, positions: NDArray[np.integer] | slice) -> "Dataset":
        """Return the dataset of these samples only. Positions must ascend, so that stems stay sorted."""
        suffixes = {folder: values[positions] for folder, values in self.suffixes.items()}
        return replace(self, stems=self.stems[positions], suffixes=suffixes)

    def read_image(self, key: int | str) -> NDArray[np.uint8]:
        """Return the image, uint8 [H, W, 3] sRGB."""
        path = self.path("images", key)
        image = decode_rgb(read_picture(path), path)
        self._require_size(image.shape, path)
        return image

    def read_mask(self, key: int | str) -> NDArray[np.uint8]:
        """Return the mask, uint8 [H, W] coverage: 0 background, 255 object."""
        path = self.path("masks", key)
        mask = decode_grey(read_picture(path), path)
        self._require_size(mask.shape, path)
        if mask.dtype != np.uint8:
            raise QumadeError(f"Invalid mask: got 16 bits in {path}; must be 8-bit coverage, 255 the object")
        if self.meta is None and mask.max() == 1:
            raise QumadeError(f"Invalid mask: got only levels 0 and 1 in {path}; must be coverage, 255 the object")
        return mask.astype(np.uint8, copy=False)

    def read_depth_codes(self, key: int | str) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Return the stored grey levels of depth, uint8 or uint16 [H, W]; `depth_code` says what they mean."""
        path = self.path("depth", key)
        codes = decode_grey(read_picture(path), path)
        self._require_size(codes.shape, path)
        bits = codes.dtype.itemsize * 8
        if bits != self.depth_code.bits:
            if self.meta is None:
                must_be = f"8-bit, or {self.root / 'dataset.yaml'} must state the code (depth: code, bits, ...)"
            else:
                must_be = f"{self.depth_code.bits}-bit as {self.root / 'dataset.yaml'} says"
            raise QumadeError(f"Invalid depth: got {bits} bits in {path}; must be {must_be}")
        return codes

    def read_inverse_depth(self, key: int | str) -> NDArray[np.float32]:
        """Return inverse depth, float32 [H, W] in the unit of `depth_code`: 0 infinitely far, NaN unknown."""
        return inverse_depth_table(self.depth_code).astype(np.float32)[self.read_depth_codes(key)]

    def read_ignore(self, key: int | str) -> NDArray[np.bool_]:
        """Return the pixels that no loss and no metric counts, bool [H, W]."""
        path = self.path("ignore", key)
        ignore = decode_bilevel(read_picture(path), path)
        self._require_size(ignore.shape, path)
        return ignore

    def read(self, key: int | str) -> LabeledSample:
        """Return everything that the dataset has of a sample; QumadeError also where its pictures differ in size."""
        triple = LabeledSample(
            image=self.read_image(key),
            mask=self.read_mask(key) if self.has_masks else None,
            inverse_depth=self.read_inverse_depth(key) if self.has_depth else None,
            ignore=self.read_ignore(key) if self.has_ignore else None,
        )
        for folder, label in (("masks", triple.mask), ("depth", triple.inverse_depth), ("ignore", triple.ignore)):
            if label is not None:
                self.require_equal_size(key, triple.image.shape, folder, label.shape)
        return triple

    def require_equal_size(self, key: int | str, image: tuple[int, ...], folder: str, label: tuple[int, ...]) -> None:
        """Raise QumadeError where a sample's picture in `folder` has not the height and width of its image."""
        if label[:2] != image[:2]:
            wanted = f"{image[1]}x{image[0]} as {self.path('images', key)}"
            raise QumadeError(f"Invalid size: got {label[1]}x{label[0]} in {self.path(folder, key)}; must be {wanted}")

    def _require_size(self, shape: tuple[int, ...], path: Path) -> None:
        if self.meta is not None and self.meta.size is not None and shape[1::-1] != self.meta.size:
            width, height = self.meta.size
            wanted = f"{width}x{height} as {self.root / 'dataset.yaml'} says"
            raise QumadeError(f"Invalid size: got {shape[1]}x{shape[0]} in {path}; must be {wanted}")


def open_dataset(path: Path | str, *, allow_incomplete: bool = False) -> Dataset:
    """List the dataset in a folder, or raise QumadeError naming what is missing, extra or wrong.

    Pictures are listed, not opened. A dataset whose making was broken off is refused; with `allow_incomplete` the
    samples that are there in every folder are taken. Without dataset.yaml a depth folder is read as 8-bit inverse
    depth, each picture over its own range, and a warning says so.
    """
    root = Path(path).absolute()
    if not (root / "images").is_dir():
        raise QumadeError(f"Invalid dataset: got no folder {root / 'images'}; must hold the images of the dataset")
    description_path = root / "dataset.yaml"
    meta = read_description(description_path) if os.path.lexists(description_path) else None
    partial = meta is not None and not meta.complete
    if partial and not allow_incomplete:
        finish = f"must be finished first: run the same command with --out {root} again"
        raise QumadeError(f"Invalid dataset: got complete: false in {description_path}; {finish}")

    listings = {folder: _list(root / folder, partial) for folder in _folders(root, meta)}
    stems = listings["images"][0]
    if partial:
        for other, _ in listings.values():
            stems = np.intersect1d(stems, other, assume_unique=True)
    suffixes = {}
    for folder, (found, found_suffixes) in listings.items():
        if partial:
            found_suffixes = found_suffixes[np.isin(found, stems, assume_unique=True)]
        elif not np.array_equal(found, stems):
            raise _unequal_stems(root, folder, stems, found)
        suffixes[folder] = found_suffixes
    if len(stems) == 0:
        raise QumadeError(f"Invalid dataset: got no picture in {root / 'images'}; must hold at least one")
    if meta is not None and meta.complete and meta.samples is not None and meta.samples != len(stems):
        wanted = f"{meta.samples} as {description_path} says"
        raise QumadeError(f"Invalid dataset: got {len(stems)} pictures in {root / 'images'}; must be {wanted}")
    if "depth" in suffixes and (meta is None or meta.depth is None):
        if meta is not None:
            raise QumadeError(f"Invalid dataset.yaml: key depth is missing in {description_path}; must be given")
        warnings.warn(
            f"no dataset.yaml in {root}: depth is taken as 8-bit inverse depth, each picture over its own range",
            stacklevel=2,
        )
    return Dataset(root, stems, suffixes, meta)


def _folders(root: Path, meta: Description | None) -> list[str]:
    present = [folder for folder in FOLDERS if (root / folder).is_dir()]
    if meta is not None and meta.folders is not None:
        for folder in FOLDERS:
            listed = folder in meta.folders
            if listed != (folder in present):
                got, must = ("a folder", "not exist") if not listed else ("no folder", "exist")
                wanted = f"must {must} as {root / 'dataset.yaml'} says (folders)"
                raise QumadeError(f"Invalid dataset: got {got} {root / folder}; {wanted}")
    if "masks" not in present and "depth" not in present:
        raise QumadeError(f"Invalid dataset: got neither masks/ nor depth/ in {root}; must have one of them or both")
    return present


def _list(folder: Path, partial: bool) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Return the sorted stems of a folder's pictures and the suffix of each."""
    try:
        with os.scandir(folder) as entries:
            files = {entry.name: entry.is_file() for entry in entries}
    except OSError as error:
        raise QumadeError(f"Invalid dataset: cannot list {folder}: {error.strerror}") from error
    names = [name for name, is_file in files.items() if is_file and name.lower().endswith(SUFFIXES) and name[0] != "."]
    if len(names) < len(files) and not partial:
        for name in sorted(files.keys() - set(names)):
            if not name.startswith(".") and name.lower() not in DESKTOP_FILES:
                wanted = f"a file ending in {', '.join(SUFFIXES)}"
                raise QumadeError(f"Invalid dataset: got {folder / name}; must be {wanted}")
    if not names:
        return np.array([], np.str_), np.array([], np.str_)
    # whole arrays at once: there may be half a million names
    stems, dots, endings = np.strings.rpartition(np.array(names, dtype=np.str_), ".")
    order = np.argsort(stems)
    stems, suffixes = stems[order], np.strings.add(dots, endings)[order]
    twice = np.flatnonzero(stems[1:] == stems[:-1])
    if len(twice):
        first = int(twice[0])
        both = " and ".join(sorted(str(suffix) for suffix in suffixes[first : first + 2]))
        raise QumadeError(f"Invalid dataset: got {folder / str(stems[first])} as {both}; must be one picture a stem")
    return stems, suffixes


def _unequal_stems(root: Path, folder: str, stems: NDArray[np.str_], found: NDArray[np.str_]) -> QumadeError:
    missing, extra = np.setdiff1d(stems, found), np.setdiff1d(found, stems)
    if len(missing):
        got = f"no picture {root / folder / str(missing[0])}.*"
        must_be = f"as in {root / 'images'} ({len(missing)} missing)"
    else:
        got = f"{root / folder / str(extra[0])}.*, for which {root / 'images'} has none"
        must_be = f"of equal stems ({len(extra)} too many)"
    return QumadeError(f"Invalid dataset: got {got}; must be {must_be}")
