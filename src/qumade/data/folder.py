"""Datasets in a folder: files with equal stems, an optional dataset.yaml, and splits from the manifest."""

import copy
import functools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qumade.assets.coverage import coverage_problem
from qumade.data.class_maps import ObjectClasses, class_map_of
from qumade.data.dataset import SPLIT_NAMES, LabeledSample, positions_of
from qumade.data.layout import list_dataset
from qumade.data.manifest import MANIFEST, read_manifest
from qumade.data.manifest_check import match_rows
from qumade.data.metadata import METADATA, read_metadata
from qumade.depth.codec import decode_depth
from qumade.depth.encoding import UNDESCRIBED_DEPTH, DepthEncoding
from qumade.errors import DatasetError
from qumade.io.decode import decode_bilevel, decode_grey, decode_rgb
from qumade.io.pictures import one_line, read_picture

__all__ = ["FolderDataset"]

_log = logging.getLogger(__name__)


class FolderDataset:
    """The samples of a DATA_PATH, decoded when they are read. A sample is addressed by position (0 .. len - 1, in the
    order of the stems) or by stem; splits come from manifest.parquet if the dataset has one.

    Opening lists the folders and decodes nothing. Each `read_*` decodes one file; it raises QumadeError naming a file
    that is torn, wrong or of another size. The dataset holds no open file and is cheap to pickle, so worker processes
    can read through it. Without dataset.yaml, depth/ is read as 8-bit inverse depth, each image over its own range,
    and the log says so once.

    Raises QumadeError naming what is missing, extra or wrong, and for a dataset that is incomplete.
    """

    _object_classes: ObjectClasses | None = None  # read with the first class map

    def __init__(self, path: Path | str) -> None:
        self.root = Path(path).absolute()
        self.name = one_line(self.root.name)
        metadata_path = self.root / METADATA
        self.metadata = read_metadata(metadata_path) if os.path.lexists(metadata_path) else None
        if self.metadata is not None and not self.metadata.complete:
            finish = f"must be finished first: run the same command with --out {self.root} again"
            raise DatasetError(f"Invalid dataset: got complete: false in {metadata_path}; {finish}")
        self._stems, self.suffixes = list_dataset(self.root, self.metadata)
        if self.has_depth and (self.metadata is None or self.metadata.depth is None):
            if self.metadata is not None:
                raise DatasetError(f"Invalid dataset.yaml: key depth is missing in {metadata_path}; must be given")
            _note_undescribed_depth(self.root)
        self._split_codes = _read_splits(self.manifest_path, self._stems)

    def __len__(self) -> int:
        return len(self._stems)

    def __getitem__(self, position: int) -> LabeledSample:
        return self.read(position)

    @property
    def stems(self) -> NDArray[np.str_]:
        """The file stem of each sample, in the order of the positions."""
        return self._stems

    @property
    def splits(self) -> NDArray[np.str_]:
        """The split of each sample, one of SPLIT_NAMES."""
        return np.array(SPLIT_NAMES)[self._split_codes]

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
    def has_instances(self) -> bool:
        return "instances" in self.suffixes

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the objects; none if they are of one class without a name."""
        return () if self.metadata is None else self.metadata.classes

    @property
    def depth_encoding(self) -> DepthEncoding | None:
        """How depth/ encodes inverse depth; None without depth/."""
        return self._encoding if self.has_depth else None

    @property
    def _encoding(self) -> DepthEncoding:
        return (self.metadata and self.metadata.depth) or UNDESCRIBED_DEPTH

    @property
    def manifest_path(self) -> Path | None:
        path = self.root / MANIFEST
        return path if os.path.lexists(path) else None  # reading names one that is a pipe or a broken link

    def positions(self, *names: str) -> NDArray[np.int64]:
        """Return the positions of the samples in these splits, ascending; see SPLIT_NAMES."""
        return positions_of(self._split_codes, names)

    def index(self, key: int | str) -> int:
        """Return the position of a sample given by position (negative from the end) or stem.

        Raises KeyError for an unknown stem and IndexError for a position out of range.
        """
        if isinstance(key, str):
            position = int(np.searchsorted(self._stems, key))
            if position == len(self) or self._stems[position] != key:
                raise KeyError(f"no sample {key!r} in {self.root}")
            return position
        if not -len(self) <= key < len(self):
            raise IndexError(f"no sample {key} in {self.root}, which has {len(self)}")
        return int(key) % len(self)

    def path(self, folder: str, key: int | str) -> Path:
        """Return the path of a sample's file in `folder`. Raises QumadeError if the dataset has no such folder."""
        if folder not in self.suffixes:
            raise DatasetError(f"Invalid dataset: got no folder {self.root / folder}; must exist to be read")
        position = self.index(key)
        return Path(f"{self.root}/{folder}/{self._stems[position]}{self.suffixes[folder][position]}")

    def file_name(self, folder: str, key: int | str) -> str:
        """Return the name of a sample's file in `folder`. Raises QumadeError if the dataset has no such folder."""
        return self.path(folder, key).name

    def content(self, folder: str, key: int | str) -> bytes:
        """Return the bytes of a sample's file in `folder`. Raises QumadeError as `path`, and if it cannot be read."""
        return read_picture(self.path(folder, key))

    def take(self, positions: NDArray[np.integer] | slice) -> Self:
        """Return a dataset of these samples only. Positions must ascend to keep the stems sorted."""
        taken = copy.copy(self)
        taken._stems, taken._split_codes = self._stems[positions], self._split_codes[positions]
        taken.suffixes = {folder: values[positions] for folder, values in self.suffixes.items()}
        taken._object_classes = None
        return taken

    def read_image(self, key: int | str) -> NDArray[np.uint8]:
        """Return the image, uint8 [H, W, 3] sRGB."""
        path = self.path("images", key)
        image = decode_rgb(self.content("images", key), path)
        self._require_size(image.shape, path)
        return image

    def read_mask(self, key: int | str) -> NDArray[np.uint8]:
        """Return the mask, uint8 [H, W] coverage: 0 background, 255 object."""
        path = self.path("masks", key)
        data = self.content("masks", key)
        found = decode_grey(data, path)
        self._require_size(found.shape, path)
        if found.dtype != np.uint8:
            raise DatasetError(f"Invalid mask: got 16 bits in {path}; must be 8-bit coverage, 255 the object")
        mask = found.astype(np.uint8, copy=False)
        # Masks that this package wrote are coverage, whatever they look like.
        problem = None if self.metadata else coverage_problem(mask, lossy=data.startswith(b"\xff\xd8"))
        if problem is not None:
            raise DatasetError(f"Invalid mask: got {problem} in {path}; must be coverage, 255 the object")
        return mask

    def read_depth_levels(self, key: int | str) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Return the stored grey levels of depth, uint8 or uint16 [H, W]; `depth_encoding` says what they mean."""
        path = self.path("depth", key)
        codes = decode_grey(self.content("depth", key), path)
        self._require_size(codes.shape, path)
        bits = codes.dtype.itemsize * 8
        if bits != self._encoding.bits:
            if self.metadata is None:
                must_be = f"8-bit, or {self.root / METADATA} must state the code (depth: code, bits, ...)"
            else:
                must_be = f"{self._encoding.bits}-bit as {self.root / METADATA} says"
            raise DatasetError(f"Invalid depth: got {bits} bits in {path}; must be {must_be}")
        return codes

    def read_inverse_depth(self, key: int | str) -> NDArray[np.float32]:
        """Return inverse depth, float32 [H, W] in the unit of `depth_encoding`: 0 infinitely far, NaN unknown."""
        return decode_depth(self.read_depth_levels(key), self._encoding)

    def read_ignore(self, key: int | str) -> NDArray[np.bool_]:
        """Return the pixels that losses and metrics leave out, bool [H, W]."""
        path = self.path("ignore", key)
        ignore = decode_bilevel(self.content("ignore", key), path)
        self._require_size(ignore.shape, path)
        return ignore

    def read_instances(self, key: int | str) -> NDArray[np.uint16]:
        """Return which object each pixel shows, uint16 [H, W]: 0 none, k row k of the sample's objects in the
        manifest."""
        path = self.path("instances", key)
        numbers = decode_grey(self.content("instances", key), path)
        self._require_size(numbers.shape, path)
        return numbers.astype(np.uint16, copy=False)

    def read_class_map(self, key: int | str) -> NDArray[np.uint8]:
        """Return which class each pixel shows, uint8 [H, W]: 0 none, k the k-th of `classes`."""
        if self._object_classes is None:
            if self.manifest_path is None:
                raise DatasetError(f"Invalid dataset: got no {self.root / MANIFEST}; must have it for its objects")
            self._object_classes = ObjectClasses.read(self.manifest_path, self.stems, self.classes)
        numbers, own = self.read_instances(key), self._object_classes.of(self.index(key))
        if numbers.max(initial=0) > len(own):
            raise DatasetError(
                f"Invalid instances: got number {numbers.max()} in {self.path('instances', key)}; must be at most "
                f"{len(own)}, as its row of {self.manifest_path} has objects"
            )
        return class_map_of(numbers, own)

    def read(self, key: int | str, draw: int = 0) -> LabeledSample:
        """Return a sample with all labels that the dataset has. `draw` has no effect.

        Raises QumadeError as `read_*`, and if image and labels differ in size.
        """
        sample = LabeledSample(
            image=self.read_image(key),
            mask=self.read_mask(key) if self.has_masks else None,
            inverse_depth=self.read_inverse_depth(key) if self.has_depth else None,
            ignore=self.read_ignore(key) if self.has_ignore else None,
            class_map=self.read_class_map(key) if self.has_instances and len(self.classes) > 1 else None,
        )
        labels = {"masks": sample.mask, "depth": sample.inverse_depth, "ignore": sample.ignore}
        for folder, label in (labels | {"instances": sample.class_map}).items():
            if label is not None:
                self.require_equal_size(key, sample.image.shape, folder, label.shape)
        return sample

    def read_many(
        self, positions: Sequence[int], draws: Sequence[int] | None = None, variants: Sequence[int] | None = None
    ) -> list[LabeledSample]:
        """Return the samples at these positions. `draws` and `variants` have no effect."""
        return [self[position] for position in positions]

    def require_equal_size(self, key: int | str, image: tuple[int, ...], folder: str, label: tuple[int, ...]) -> None:
        """Raise QumadeError if a sample's file in `folder` differs from its image in height or width."""
        if label[:2] != image[:2]:
            wanted = f"{image[1]}x{image[0]} as {self.path('images', key)}"
            raise DatasetError(f"Invalid size: got {label[1]}x{label[0]} in {self.path(folder, key)}; must be {wanted}")

    def _require_size(self, shape: tuple[int, ...], path: Path) -> None:
        if self.metadata is not None and self.metadata.size is not None and shape[1::-1] != self.metadata.size:
            width, height = self.metadata.size
            wanted = f"{width}x{height} as {self.root / METADATA} says"
            raise DatasetError(f"Invalid size: got {shape[1]}x{shape[0]} in {path}; must be {wanted}")


def _read_splits(manifest: Path | None, stems: NDArray[np.str_]) -> NDArray[np.int8]:
    """Return each stem's split as an index into SPLIT_NAMES: 0 if the manifest has no split for it."""
    if manifest is None:
        return np.zeros(len(stems), np.int8)
    nothing = pa.table({"stem": pa.array([], pa.string()), "split": pa.array([], pa.string())})
    groups = list(read_manifest(manifest, ["stem", "split"]))
    rows = pa.concat_tables(groups) if groups else nothing
    try:
        splits = rows["split"].cast(pa.string()).fill_null("")
        row_stems = rows["stem"].cast(pa.string())
    except pa.ArrowException as error:
        raise DatasetError(f"Invalid manifest: cannot read {manifest}: {' '.join(str(error).split())}") from None
    order = match_rows(stems, row_stems, str(manifest))
    encoded = splits.combine_chunks().dictionary_encode()
    numbers = []
    for name in encoded.dictionary.to_pylist():
        if name not in SPLIT_NAMES:
            raise DatasetError(
                f"Invalid split: got {name!r} in {manifest}; must be one of {', '.join(SPLIT_NAMES[1:])}"
            )
        numbers.append(SPLIT_NAMES.index(name))
    codes: NDArray[np.int8] = np.array(numbers, np.int8)[encoded.indices.to_numpy()][order]
    return codes


@functools.cache  # one note per folder, however often it is opened
def _note_undescribed_depth(root: Path) -> None:
    _log.warning("no dataset.yaml in %s: depth is read as 8-bit inverse depth, each image over its own range", root)
