"""What has been drawn and is safe on the disk, and what drawing told: the memory of an unfinished dataset.

An append-only file of records, each with its checksum: a torn last one is passed over. Records are appended only after
the files they speak of have been synced, so that not even a power cut makes it promise what is not there.
"""

import ctypes
import errno
import os
import struct
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["Journal", "Results", "concatenate", "read_journal", "sync_filesystem"]

_HEADER = struct.Struct("<4sIII")  # magic, samples, objects a sample, CRC-32 of the body
_MAGIC = b"QMJ1"


@dataclass(frozen=True, eq=False)
class Results:
    """What only drawing could tell of samples: indices int64 [N], visible_fraction float32 [N, most objects], NaN
    where there is no such object, depth_clipped_px int32 [N]."""

    indices: NDArray[np.int64]
    visible_fraction: NDArray[np.float32]
    depth_clipped_px: NDArray[np.int32]

    def at(self, where: NDArray[np.integer] | slice) -> "Results":
        """The results at these positions."""
        return Results(self.indices[where], self.visible_fraction[where], self.depth_clipped_px[where])

    @staticmethod
    def empty(samples: int, objects: int) -> "Results":
        """Results of that many samples, yet to be filled."""
        return Results(
            np.zeros(samples, np.int64), np.full((samples, objects), np.nan, np.float32), np.zeros(samples, np.int32)
        )


def concatenate(parts: list[Results], objects: int) -> Results:
    """All results, ascending by index; of a sample drawn twice the first."""
    parts = [Results.empty(0, objects), *parts]
    joined = Results(
        np.concatenate([part.indices for part in parts]),
        np.concatenate([part.visible_fraction for part in parts]),
        np.concatenate([part.depth_clipped_px for part in parts]),
    )
    return joined.at(np.unique(joined.indices, return_index=True)[1])


def read_journal(path: Path, objects: int) -> list[Results]:
    """The whole records of a journal, up to the first that is torn; none where there is no journal."""
    data = path.read_bytes() if path.exists() else b""
    found, at = [], 0
    while at + _HEADER.size <= len(data):
        magic, samples, width, checksum = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        length = _body_bytes(samples, width)
        body = data[at : at + length]
        if magic != _MAGIC or width != objects or len(body) < length or zlib.crc32(body) != checksum:
            break
        visible_at, clipped_at = 8 * samples, (8 + 4 * width) * samples
        found.append(
            Results(
                np.frombuffer(body[:visible_at], "<i8"),
                np.frombuffer(body[visible_at:clipped_at], "<f4").reshape(samples, width),
                np.frombuffer(body[clipped_at:], "<i4"),
            )
        )
        at += length
    return found


class Journal:
    """Takes results as they come, syncs now and then in a thread of its own, and only then records them."""

    def __init__(self, path: Path, objects: int, interval_s: float = 10.0) -> None:
        self._interval_s = interval_s
        self._pending: list[Results] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._failure: Exception | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = sum(_HEADER.size + _body_bytes(r.indices.size, objects) for r in read_journal(path, objects))
        self._file = path.open("ab", buffering=0)
        self._file.truncate(whole)  # what follows a torn record could never be read
        self._thread = threading.Thread(target=self._run, name="qumade-journal", daemon=True)
        self._thread.start()

    def add(self, results: Results) -> None:
        """Takes results of samples whose files are written. Raises what a sync or a record failed with."""
        if self._failure is not None:
            raise self._failure
        with self._lock:
            self._pending.append(results)

    def close(self, *, sync: bool) -> None:
        """Ends; with `sync` everything taken is safe and recorded first, without it what is not yet is forgotten."""
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
                for column in (results.indices, results.visible_fraction, results.depth_clipped_px)
            )
            header = _HEADER.pack(_MAGIC, *results.visible_fraction.shape, zlib.crc32(body))
            records.append(header + body)
        content = b"".join(records)
        if self._file.write(content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)
        os.fsync(self._file.fileno())


def _body_bytes(samples: int, objects: int) -> int:
    return samples * (8 + 4 * objects + 4)


def sync_filesystem(file: int) -> None:
    """Waits until everything written to the file system of an open file is on its disk. Raises OSError."""
    try:
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError):  # not Linux
        os.sync()
        return
    if syncfs(file) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
