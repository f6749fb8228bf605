"""Writes a shard: its tar, its rows of the manifest, and last its hash file."""

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qumade.data.shard_files import SHARDS, ShardEntry, json_member, located, sample_members, write_hash_file
from qumade.errors import QumadeError
from qumade.io.storage import LocalFiles, Storage
from qumade.io.tar import END

__all__ = ["ShardWriter"]


class ShardWriter:
    """Takes the samples of one shard in any order, and writes them in another.

    They wait in a temporary file without a name, in the dataset's folder or, for an object store, in the system's
    folder for temporary files. So memory holds only a few samples.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        folder = storage.root / SHARDS if isinstance(storage, LocalFiles) else Path(tempfile.gettempdir())
        self._folder = folder
        self._lengths: list[int] = []
        self._tables: list[pa.Table] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._spool = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        except OSError as error:
            raise self._unwritable(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._spool.close()

    def add(self, rows: pa.Table, parts: Sequence[Sequence[tuple[str, bytes]]]) -> None:
        """Add samples: their rows of the manifest, and for each the extensions and contents of its files."""
        pieces = []
        for row, files in zip(rows.to_pylist(), parts, strict=True):
            pieces.append(sample_members(row["stem"], [*files, ("json", json_member(row))]))
        try:
            self._spool.write(b"".join(pieces))
        except OSError as error:
            raise self._unwritable(error) from error
        self._lengths += map(len, pieces)
        self._tables.append(rows)

    def write(
        self, name: str, split: str | None, order: NDArray[np.int64], recipe: str, counts: Mapping[str, int]
    ) -> ShardEntry:
        """Write the shard with its samples in `order`, positions in the order in which they were added.

        Raises QumadeError naming the file that cannot be written.
        """
        lengths = np.array(self._lengths, np.int64)
        starts = np.cumsum(lengths) - lengths
        tar, tar_bytes = hashlib.sha256(), 0
        self._spool.flush()
        with self._storage.new(f"{SHARDS}/{name}.tar") as file:
            for position in order.tolist():
                content = os.pread(self._spool.fileno(), int(lengths[position]), int(starts[position]))
                tar.update(content)
                tar_bytes += file.write(content)
            tar.update(END)
            tar_bytes += file.write(END)
        rows = pa.concat_tables(self._tables).combine_chunks().take(pa.array(order))
        parquet = _parquet(located(rows, lengths[order].tolist()))
        with self._storage.new(f"{SHARDS}/{name}.parquet") as file:
            file.write(parquet)
        entry = ShardEntry(
            name=name,
            split=split or "",
            samples=len(order),
            tar_bytes=tar_bytes,
            parquet_bytes=len(parquet),
            tar_sha256=tar.hexdigest(),
            parquet_sha256=hashlib.sha256(parquet).hexdigest(),
            recipe=recipe,
            counts=dict(counts),
        )
        with self._storage.new(entry.hash_file) as file:
            file.write(write_hash_file(entry))
        return entry

    def _unwritable(self, error: OSError) -> QumadeError:
        return QumadeError(f"Invalid output: cannot write into {self._folder}: {error.strerror or error}")


def _parquet(rows: pa.Table) -> bytes:
    buffer = BytesIO()
    pq.write_table(rows.combine_chunks(), buffer, compression="zstd", row_group_size=max(1, len(rows)))
    return buffer.getvalue()
