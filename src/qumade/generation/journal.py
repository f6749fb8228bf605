"""The journal of an unfinished dataset: which samples are drawn and synced to disk, with their results.

It is an append-only file of records with checksums; a torn last record is skipped. A record is appended only after the
files that it lists have been synced, so even after a power cut the journal lists no file that is missing.
"""

import errno
import os
import struct
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qumade.errors import DatasetError
from qumade.io.files import read_bytes, sync_filesystem

__all__ = ["Journal", "Results", "concatenate", "read_journal"]

_HEADER = struct.Struct("<4sIII")  # magic, samples, objects per sample, CRC-32 of the body
_MAGIC = b"QMJ2"
_MOST_BYTES = 1 << 36


@dataclass(frozen=True, eq=False)
class Results:
    """Results that are known only after drawing: indices int64 [N]; visible_fraction float32 [N, most objects], NaN
    for objects that a sample does not have; depth_clipped_px int32 [N]; visible_box int32 [N, most objects, 4] as in
    `visible_boxes`, zeros without instance maps."""

    indices: NDArray[np.int64]
    visible_fraction: NDArray[np.float32]
    depth_clipped_px: NDArray[np.int32]
    visible_box: NDArray[np.int32]

    def at(self, where: NDArray[np.integer] | slice) -> "Results":
        """Returns the results at these positions."""
        return Results(
            self.indices[where], self.visible_fraction[where], self.depth_clipped_px[where], self.visible_box[where]
        )

    @staticmethod
    def empty(samples: int, objects: int) -> "Results":
        """Returns results of that many samples, to be filled in: zeros, and NaN for `visible_fraction`."""
        return Results(
            np.zeros(samples, np.int64),
            np.full((samples, objects), np.nan, np.float32),
            np.zeros(samples, np.int32),
            np.zeros((samples, objects, 4), np.int32),
        )


def concatenate(parts: list[Results], objects: int) -> Results:
    """Returns all results, ascending by index; the first result of a sample that was drawn twice."""
    parts = [Results.empty(0, objects), *parts]
    joined = Results(
        np.concatenate([part.indices for part in parts]),
        np.concatenate([part.visible_fraction for part in parts]),
        np.concatenate([part.depth_clipped_px for part in parts]),
        np.concatenate([part.visible_box for part in parts]),
    )
    return joined.at(np.unique(joined.indices, return_index=True)[1])


def read_journal(path: Path, objects: int) -> list[Results]:
    """Returns the complete records of a journal, up to the first torn one; none if there is no journal."""
    data = read_bytes(path, _MOST_BYTES, DatasetError) if os.path.lexists(path) else b""
    found, at = [], 0
    while at + _HEADER.size <= len(data):
        magic, samples, width, checksum = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        length = _body_bytes(samples, width)
        body = data[at : at + length]
        if magic != _MAGIC or width != objects or len(body) < length or zlib.crc32(body) != checksum:
            break
        visible_at, clipped_at, box_at = 8 * samples, (8 + 4 * width) * samples, (12 + 4 * width) * samples
        found.append(
            Results(
                np.frombuffer(body[:visible_at], "<i8"),
                np.frombuffer(body[visible_at:clipped_at], "<f4").reshape(samples, width),
                np.frombuffer(body[clipped_at:box_at], "<i4"),
                np.frombuffer(body[box_at:], "<i4").reshape(samples, width, 4),
            )
        )
        at += length
    return found


class Journal:
    """Collects results; a thread syncs the files at intervals and then records the results.

    `recorded`: the results that the file already held.
    """

    def __init__(self, path: Path, objects: int, interval_s: float = 10.0) -> None:
        self._interval_s = interval_s
        self._pending: list[Results] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._failure: Exception | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        self.recorded = read_journal(path, objects)
        whole = sum(_HEADER.size + _body_bytes(r.indices.size, objects) for r in self.recorded)
        self._file = path.open("ab", buffering=0)
        self._file.truncate(whole)  # records after a torn one could never be read
        self._thread = threading.Thread(target=self._run, name="qumade-journal", daemon=True)
        self._thread.start()

    def add(self, results: Results) -> None:
        """Adds results of samples whose files are written. Raises the error of an earlier sync or record."""
        if self._failure is not None:
            raise self._failure
        with self._lock:
            self._pending.append(results)

    def close(self, *, sync: bool) -> None:
        """Closes the journal. `sync` first syncs and records all results; otherwise pending ones are lost."""
        self._stop.set()
        if sync:
            self._thread.join()
            if self._failure is not None:
                raise self._failure
            self._record()
            self._file.close()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                self._record()
            except OSError as error:
                self._failure = error
                return

    def _record(self) -> None:
        with self._lock:
            taken, self._pending = self._pending, []
        if not taken:
            return
        sync_filesystem(self._file.fileno())
        records = []
        for results in taken:
            body = b"".join(
                np.ascontiguousarray(column).tobytes()
                for column in (
                    results.indices,
                    results.visible_fraction,
                    results.depth_clipped_px,
                    results.visible_box,
                )
            )
            header = _HEADER.pack(_MAGIC, *results.visible_fraction.shape, zlib.crc32(body))
            records.append(header + body)
        content = b"".join(records)
        if self._file.write(content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)
        os.fsync(self._file.fileno())


def _body_bytes(samples: int, objects: int) -> int:
    return samples * (8 + 4 * objects + 4 + 16 * objects)
