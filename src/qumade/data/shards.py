"""Datasets in tar shards, on disk or in an object store, read like those in a folder."""

import copy
import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qumade.data.block_cache import BlockCache
from qumade.data.dataset import SPLIT_NAMES, LabeledSample
from qumade.data.folder import FolderDataset
from qumade.data.manifest import read_rows
from qumade.data.metadata import METADATA, Metadata
from qumade.data.shard_files import INDEX, INDEX_BYTES, SHARDS, extension, parse_index
from qumade.errors import DatasetError
from qumade.io.config import DATASET_BYTES, parse_model, parse_yaml
from qumade.io.files import cache_folder, write_bytes
from qumade.io.storage import LocalFiles, is_url, open_storage, read_whole
from qumade.io.tar import read_members

__all__ = ["ShardDataset", "is_sharded"]

_BLOCK = 256  # samples that are fetched together from an object store
_READERS = 16
_LARGEST_SAMPLE = 1 << 30
_ROWS_OF_SHARDS = 192  # shards whose stems and places are kept in memory: as many as training reads from at once
_PLACES = ["stem", "tar_offset", "tar_bytes"]


class _Rows(NamedTuple):
    """Stem of each sample of a shard, and where it starts and ends in the tar."""

    stems: NDArray[np.str_]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]


def is_sharded(path: Path | str) -> bool:
    """Return whether a path is that of shards: a URL, or a folder with the index of shards."""
    return is_url(path) or (Path(path) / INDEX).is_file()


class ShardDataset(FolderDataset):
    """The samples of a dataset in shards, addressed by position, in the order of the shards, or by stem.

    Opening reads dataset.yaml and index.json only. `shard_sizes` are the samples of each shard, int64 [shards]. For a
    URL `root` is a local folder, which holds what was fetched; blocks of samples are cached there (see BlockCache).
    Otherwise as FolderDataset.
    """

    _cache: BlockCache | None

    def __init__(self, path: Path | str) -> None:
        self.storage = open_storage(path)
        self.name = self.storage.url.rpartition("/")[2]
        where = self.storage.where(METADATA)
        self.metadata: Metadata = parse_model(
            Metadata,
            parse_yaml(read_whole(self.storage, METADATA, DATASET_BYTES), METADATA, where),
            where,
            what=METADATA,
        )
        if not self.metadata.complete:
            finish = f"must be finished first: run the same command with --out {self.storage.url} again"
            raise DatasetError(f"Invalid dataset: got complete: false in {where}; {finish}")
        if self.metadata.shards is None or not self.metadata.folders:
            raise DatasetError(f"Invalid dataset: got no shards or no folders in {where}; must have both")
        index = read_whole(self.storage, INDEX, INDEX_BYTES)
        self.shards = parse_index(index, self.storage.where(INDEX))
        if isinstance(self.storage, LocalFiles):
            self.root, self._cache = self.storage.root, None
        else:
            # Of this content: what was measured on other shards at the same URL does not hold for these.
            self.root = cache_folder() / hashlib.sha256(self.storage.url.encode() + index).hexdigest()[:32]
            self.root.mkdir(parents=True, exist_ok=True)
            self._cache = BlockCache(self.storage)
        self.shard_sizes = np.array([entry.samples for entry in self.shards], np.int64)
        total = int(self.shard_sizes.sum())
        if self.metadata.samples != total or not total:
            raise DatasetError(
                f"Invalid dataset: got {total} samples in {self.storage.where(INDEX)}; must be "
                f"{self.metadata.samples} as {where} says, and at least one"
            )
        codes = [self._split_code(entry.split) for entry in self.shards]
        self._split_codes = np.repeat(np.array(codes, np.int8), self.shard_sizes)
        self._ends = np.cumsum(self.shard_sizes)
        self._positions: NDArray[np.int64] | None = None
        # The suffix of all samples, without an array of them.
        self.suffixes = {
            folder: np.broadcast_to(np.array(code.suffix), (total,)) for folder, code in self.metadata.folders.items()
        }
        self._extensions = {extension(folder, code.suffix) for folder, code in self.metadata.folders.items()} | {"json"}
        self._rows: OrderedDict[int, _Rows] = OrderedDict()
        self._last: tuple[int, dict[str, bytes]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_rows": OrderedDict(), "_last": None}

    def __len__(self) -> int:
        return len(self._split_codes)

    @property
    def stems(self) -> NDArray[np.str_]:
        """The file stem of each sample, in the order of the positions. Reads the rows of every shard."""
        if "_all_stems" not in self.__dict__:
            stems = np.concatenate([self._rows_of(number).stems for number in range(len(self.shards))])
            self._all_stems = stems if self._positions is None else stems[self._positions]
        return self._all_stems

    @property
    def manifest_path(self) -> Path:
        """The folder of the manifest's parts, which `read_manifest` reads."""
        if isinstance(self.storage, LocalFiles):
            return self.root / SHARDS
        for number in range(len(self.shards)):
            self._parquet(number)
        return self.root / "manifest"

    def index(self, key: int | str) -> int:
        if not isinstance(key, str):
            return super().index(key)
        found = np.flatnonzero(self.stems == key)
        if not len(found):
            raise KeyError(f"no sample {key!r} in {self.storage.url}")
        return int(found[0])

    def path(self, folder: str, key: int | str) -> Path:
        """Return where a sample's file is, as TAR/MEMBER, for messages."""
        number, row = self._place(self.index(key))
        self._require(folder)
        stem = self._rows_of(number).stems[row]
        return Path(f"{self.storage.where(self.shards[number].tar)}/{stem}.{self.extension(folder)}")

    def file_name(self, folder: str, key: int | str) -> str:
        """Return the name that a sample's file has in a folder of files."""
        number, row = self._place(self.index(key))
        self._require(folder)
        return f"{self._rows_of(number).stems[row]}{self.metadata.folders[folder].suffix}"  # type: ignore[index]

    def extension(self, folder: str) -> str:
        """Return what the name of a folder's file ends in, as "mask.jpg"."""
        self._require(folder)
        return extension(folder, self.metadata.folders[folder].suffix)  # type: ignore[index]

    def content(self, folder: str, key: int | str) -> bytes:
        extension = self.extension(folder)
        members = self.members(self.index(key))
        if extension not in members:
            raise DatasetError(f"Invalid shard: got no {self.path(folder, key)}; must be there")
        return members[extension]

    def members(self, position: int) -> dict[str, bytes]:
        """Return the files of a sample by their extensions, with its row of the manifest as json."""
        last = self._last
        if last is not None and last[0] == position:
            return last[1]
        number, row = self._place(position)
        rows, entry = self._rows_of(number), self.shards[number]
        start, stop = int(rows.starts[row]), int(rows.stops[row])
        if self._cache is None:
            data = self.storage.read(entry.tar, start, stop)
        else:
            first = row - row % _BLOCK
            data = self._cache.read(entry.tar_sha256, entry.tar, self._block(rows, first), start, stop)
            if first + _BLOCK < entry.samples:
                self._cache.expect(entry.tar_sha256, entry.tar, self._block(rows, first + _BLOCK))
        source, prefix = self.storage.where(entry.tar), f"{rows.stems[row]}."
        if len(data) < stop - start:
            raise DatasetError(f"Invalid tar: got too few bytes in {source}; must have {entry.tar_bytes}")
        found = {}
        for name, content in read_members(data, source):
            if not name.startswith(prefix):
                raise DatasetError(f"Invalid shard: got {name!r} in {source}; must be a file of {prefix[:-1]}")
            found[name.removeprefix(prefix)] = content
        if not found.keys() <= self._extensions:
            extra = min(found.keys() - self._extensions)
            raise DatasetError(
                f"Invalid {METADATA}: got no folder of {prefix}{extra}, which {source} holds, in "
                f"{self.storage.where(METADATA)}; must name every kind of file"
            )
        self._last = position, found
        return found

    def take(self, positions: NDArray[np.integer] | slice) -> Self:
        taken = copy.copy(self)
        base = np.arange(len(self)) if self._positions is None else self._positions
        taken._positions, taken._split_codes = base[positions], self._split_codes[positions]
        taken.suffixes = {folder: values[positions] for folder, values in self.suffixes.items()}
        taken._rows, taken._last, taken._object_classes = OrderedDict(), None, None
        taken.__dict__.pop("_all_stems", None)
        return taken

    def read(self, key: int | str, draw: int = 0) -> LabeledSample:
        return super().read(self.index(key), draw)

    def read_many(
        self, positions: Sequence[int], draws: Sequence[int] | None = None, variants: Sequence[int] | None = None
    ) -> list[LabeledSample]:
        if self._cache is not None and len(positions) > 1:
            shards = {self._place(position)[0] for position in positions}
            with ThreadPoolExecutor(_READERS) as pool:  # each lane of a training is in another block
                list(pool.map(self._rows_of, shards))
                list(pool.map(self._fetch_block, positions))
        return super().read_many(positions)

    def _fetch_block(self, position: int) -> None:
        number, row = self._place(position)
        rows, entry = self._rows_of(number), self.shards[number]
        if self._cache is not None:
            self._cache.fetch(entry.tar_sha256, entry.tar, self._block(rows, row - row % _BLOCK))

    def rows(self) -> Iterator[pa.Table]:
        """Yield the rows of the manifest, shard by shard, with the places in the tar."""
        yield from map(self.rows_of_shard, range(len(self.shards)))

    def rows_of_shard(self, number: int) -> pa.Table:
        """Return the rows of one shard, in the order of its samples, with their places in the tar."""
        return self._table(number, None)

    def _split_code(self, split: str) -> int:
        if split not in SPLIT_NAMES:
            known = ", ".join(SPLIT_NAMES[1:])
            raise DatasetError(f"Invalid split: got {split!r} in {self.storage.where(INDEX)}; must be one of {known}")
        return SPLIT_NAMES.index(split)

    def _require(self, folder: str) -> None:
        if folder not in self.suffixes:
            raise DatasetError(f"Invalid dataset: got no folder {folder} in {self.storage.url}; must exist to be read")

    def _place(self, position: int) -> tuple[int, int]:
        """Return the number of the shard that holds a sample, and its row there."""
        whole = position if self._positions is None else int(self._positions[position])
        number = int(np.searchsorted(self._ends, whole, "right"))
        return number, whole - int(self._ends[number] - self.shard_sizes[number])

    @staticmethod
    def _block(rows: _Rows, first: int) -> tuple[int, int]:
        return int(rows.starts[first]), int(rows.stops[min(first + _BLOCK, len(rows.stems)) - 1])

    def _rows_of(self, number: int) -> _Rows:
        found = self._rows.get(number)
        if found is not None:
            return found
        table = self._table(number, _PLACES)
        starts, lengths = (table[name].to_numpy().astype(np.int64) for name in _PLACES[1:])
        entry = self.shards[number]
        ends_well = len(table) == entry.samples and (lengths > 0).all() and (starts >= 0).all()
        if not ends_well or lengths.max() > _LARGEST_SAMPLE or (starts + lengths).max() > entry.tar_bytes:
            raise DatasetError(
                f"Invalid manifest: got places outside the tar in {self.storage.where(entry.parquet)}; must be as "
                "they were written"
            )
        rows = _Rows(np.array(table["stem"].to_pylist(), np.str_), starts, starts + lengths)
        self._rows[number] = rows
        if len(self._rows) > _ROWS_OF_SHARDS:
            self._rows.popitem(last=False)
        return rows

    def _table(self, number: int, columns: list[str] | None) -> pa.Table:
        where = self.storage.where(self.shards[number].parquet)
        parts = list(read_rows(BytesIO(self._parquet(number)), where, columns))
        if not parts:
            raise DatasetError(f"Invalid manifest: got no rows in {where}; must have {self.shards[number].samples}")
        return pa.concat_tables(parts)

    def _parquet(self, number: int) -> bytes:
        """Return the rows of a shard's samples; those of an object store are fetched once."""
        entry = self.shards[number]
        path = self.root / "manifest" / f"{entry.name}.parquet"
        if self._cache is not None and path.is_file():
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == entry.parquet_sha256:
                return data
        data = self.storage.read(entry.parquet)
        if hashlib.sha256(data).hexdigest() != entry.parquet_sha256:
            where = f"{self.storage.where(entry.parquet)}; must be those with the hash in {self.storage.where(INDEX)}"
            raise DatasetError(f"Invalid manifest: got other bytes in {where}")
        if self._cache is not None:
            path.parent.mkdir(exist_ok=True)
            write_bytes(path, data)
        return data
