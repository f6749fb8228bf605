"""Parts of remote files on the local disk: each is fetched once, in blocks, and the oldest give way to new ones."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from qumade.errors import ConfigError, DatasetError
from qumade.io.files import cache_folder, is_temporary, write_bytes
from qumade.io.storage import Storage

__all__ = ["BlockCache"]

_READERS = 4
_LARGEST = 1 << 34


class BlockCache:
    """Ranges of a storage's files, kept in a folder that several processes share. It can be pickled.

    The blocks take at most about `limit_bytes`, those that were read last among them; QUMADE_CACHE_BYTES sets the
    default of 16 GiB. A key is the content's: a file that is replaced by another one has other keys.
    """

    def __init__(self, storage: Storage, folder: Path | None = None, limit_bytes: int | None = None) -> None:
        self._storage = storage
        self._folder = (folder or cache_folder()) / "blocks"
        self._limit_bytes = _limit() if limit_bytes is None else limit_bytes
        self._expected: set[Path] = set()

    def __getstate__(self) -> dict[str, Any]:
        return {**{name: value for name, value in self.__dict__.items() if name != "_ahead"}, "_expected": set()}

    def read(self, key: str, name: str, block: tuple[int, int], start: int, stop: int) -> bytes:
        """Return the bytes `start` to `stop` - 1 of a file, which lie within `block` (start, stop) of it."""
        path = self._path(key, block)
        for _ in range(3):
            try:
                with path.open("rb") as file:
                    file.seek(start - block[0])
                    found = file.read(stop - start)
            except FileNotFoundError:  # not yet fetched, or removed by another process since
                self._fetch(path, name, block)
                continue
            except OSError as error:
                raise DatasetError(f"Invalid cache: cannot read {path}: {error.strerror}") from error
            if len(found) == stop - start:
                return found
            path.unlink(missing_ok=True)  # cut off by a disk that was full
        raise DatasetError(
            f"Invalid file: got too few bytes from {self._storage.where(name)}; must be as it was written"
        )

    def fetch(self, key: str, name: str, block: tuple[int, int]) -> None:
        """Fetch a block, if it is not there. Threads and processes that want the same one wait for it."""
        path = self._path(key, block)
        if not path.exists():
            self._fetch(path, name, block)

    def expect(self, key: str, name: str, block: tuple[int, int]) -> None:
        """Fetch a block in the background, if it is not there."""
        path = self._path(key, block)
        if path not in self._expected and not path.exists():
            self._expected.add(path)
            self._ahead.submit(self._fetch_ahead, path, name, block)

    @cached_property
    def _ahead(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_READERS, "fetch")

    def _path(self, key: str, block: tuple[int, int]) -> Path:
        return self._folder / hashlib.sha256(f"{key} {block[0]} {block[1]}".encode()).hexdigest()

    def _fetch_ahead(self, path: Path, name: str, block: tuple[int, int]) -> None:
        try:
            self._fetch(path, name, block)
        finally:
            self._expected.discard(path)

    def _fetch(self, path: Path, name: str, block: tuple[int, int]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._alone(path):
            if path.exists():
                return
            content = self._storage.read(name, *block)
            self._make_room(len(content))
            write_bytes(path, content)

    @contextmanager
    def _alone(self, path: Path) -> Iterator[None]:
        """Keep others from fetching the same block; some blocks share a lock."""
        locks = self._folder.with_name("locks")
        locks.mkdir(exist_ok=True)
        with (locks / path.name[:2]).open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _make_room(self, more: int) -> None:
        found = []
        for entry in os.scandir(self._folder):
            with suppress(FileNotFoundError):  # another process makes room too
                if not is_temporary(entry.name):
                    stat = entry.stat()
                    found.append((max(stat.st_atime_ns, stat.st_mtime_ns), stat.st_size, entry.path))
        total = sum(size for _, size, _ in found) + more
        for _, size, path in sorted(found):
            if total <= self._limit_bytes:
                return
            Path(path).unlink(missing_ok=True)
            total -= size


def _limit() -> int:
    text = os.environ.get("QUMADE_CACHE_BYTES", str(_LARGEST))
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        raise ConfigError(f"Invalid QUMADE_CACHE_BYTES: got {text!r}; must be a number of bytes, such as 4e9") from None
