"""Files in a local folder or in an object store, under one interface. A file is visible only when it is whole.

A local file gets its name when it is complete. In an object store a file appears when its upload is complete; it is
collected in a temporary file before, so that a failed upload can be repeated.
"""

import os
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, TypeVar

from qumade.errors import DatasetError, QumadeError
from qumade.io.files import is_temporary, new_file, open_regular
from qumade.io.pictures import one_line
from qumade.io.store_errors import PACKAGES, explained, is_final, one_line_of

__all__ = ["Entry", "LocalFiles", "RemoteFiles", "Storage", "absolute", "is_url", "open_storage", "read_whole"]

_ATTEMPTS = 4
_FIRST_WAIT_S = 0.2
_PART_BYTES = 16 * 2**20

# What the listings of the usual file systems say that changes with the content of a file.
_VERSIONS = (
    "ETag", "etag", "md5Hash", "generation", "VersionId",
    "LastModified", "last_modified", "updated", "mtime", "created",
)  # fmt: skip

Result = TypeVar("Result")


class Entry(NamedTuple):
    """A file in a listing: its size in bytes, -1 for a folder, and a text that changes with its content, "" where the
    storage says none."""

    size: int
    version: str


class Storage(Protocol):
    """A folder of files. Names are relative, with slashes. Errors are QumadeErrors of one line that name the file."""

    @property
    def url(self) -> str:
        """The absolute path or the URL of the folder."""

    def where(self, name: str) -> str:
        """Return the absolute path or the URL of a file, for messages."""

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Return the names in a folder with their sizes in bytes, -1 for folders; none if it does not exist."""

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes `start` to `stop` - 1 of a file, all by default; fewer where it ends before."""

    def exists(self, name: str) -> bool:
        """Return whether a file exists."""

    def new(self, name: str) -> Any:
        """Return a context that opens a file for writing. It appears, whole, at the end of the block, and not at all if
        the block fails."""


def is_url(path: Path | str) -> bool:
    """Return whether this is the URL of a folder or file in a storage, such as s3://bucket/name."""
    return isinstance(path, str) and "://" in path


def absolute(path: Path | str) -> str:
    """Return a URL as it is, and any other path as the absolute path."""
    return str(path) if is_url(path) else os.path.abspath(path)


def open_storage(path: Path | str) -> Storage:
    """Return the storage at a local path or at a URL such as s3://bucket/name or memory://name.

    Raises QumadeError for a scheme that no installed package knows.
    """
    if not is_url(path):
        return LocalFiles(Path(os.path.abspath(path)))
    scheme, _, rest = str(path).partition("://")
    if scheme in ("file", "local"):
        return LocalFiles(Path(os.path.abspath(rest)))
    storage = RemoteFiles(f"{scheme}://{rest.rstrip('/')}")
    _ = storage.filesystem
    return storage


def read_whole(storage: Storage, name: str, at_most: int) -> bytes:
    """Return a small file. Raises QumadeError if it is larger than `at_most` bytes, or cannot be read."""
    data = storage.read(name, 0, at_most + 1)
    if len(data) > at_most:
        raise DatasetError(
            f"Invalid file: got more than {at_most} bytes in {storage.where(name)}; must be at most that"
        )
    return data


class LocalFiles:
    """A local folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def url(self) -> str:
        return str(self.root)

    def where(self, name: str) -> str:
        return str(self.root / name)

    def sizes(self, folder: str = "") -> dict[str, int]:
        try:
            with os.scandir(self.root / folder) as entries:
                return {
                    entry.name: -1 if entry.is_dir() else entry.stat().st_size
                    for entry in entries
                    if not is_temporary(entry.name)
                }
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise DatasetError(f"Invalid folder: cannot list {self.where(folder)}: {error.strerror}") from error

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        try:
            with open_regular(self.root / name) as file:
                length = os.fstat(file.fileno()).st_size - start if stop is None else stop - start
                parts = []
                while length > 0 and (part := os.pread(file.fileno(), length, start)):
                    parts.append(part)
                    start, length = start + len(part), length - len(part)
                return parts[0] if len(parts) == 1 else b"".join(parts)
        except OSError as error:
            raise DatasetError(f"Invalid file: cannot read {self.where(name)}: {error.strerror}") from error

    def exists(self, name: str) -> bool:
        return (self.root / name).is_file()

    @contextmanager
    def new(self, name: str) -> Iterator[BinaryIO]:
        path = self.root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise QumadeError(f"Invalid output: cannot make {path.parent}: {error.strerror}") from error
        with new_file(path, durable=True) as file:
            yield file


class RemoteFiles:
    """A folder in an object store, or in any other file system of fsspec. It can be pickled.

    Requests that fail for a reason that may pass (a busy server, a lost connection) are repeated a few times, after
    longer and longer waits.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url}

    @cached_property
    def filesystem(self) -> Any:
        """The file system of fsspec. Raises QumadeError for an unknown scheme, or one whose package is missing."""
        import fsspec

        scheme = self.url.partition("://")[0]
        if scheme not in fsspec.available_protocols() or "::" in self.url:  # chains of file systems are refused
            must = "must be one that fsspec knows, as s3, gs or az, and the URL without ::"
            raise QumadeError(f"Invalid URL: got scheme {scheme!r} in {one_line(self.url)}; {must}")
        if scheme in (*PACKAGES, "memory") and not re.match(r"[^/]", self.url.partition("://")[2]):
            raise QumadeError(f"Invalid URL: got no bucket in {one_line(self.url)}; must be {scheme}://BUCKET/NAME")
        try:
            return fsspec.core.url_to_fs(self.url)[0]
        except ImportError as error:
            known = scheme in PACKAGES
            install = f"install it with: pip install {PACKAGES[scheme]}" if known else "install the package it names"
            raise QumadeError(
                f"Invalid installation: got no package for {one_line(self.url)} ({one_line_of(error)}); {install}"
            ) from error
        except Exception as error:  # each backend raises exceptions of its own
            raise QumadeError(f"Invalid URL: cannot open {one_line(self.url)}: {explained(error, self.url)}") from error

    def where(self, name: str) -> str:
        return f"{self.url}/{name}" if name else self.url

    def sizes(self, folder: str = "") -> dict[str, int]:
        return {name: entry.size for name, entry in self.entries(folder).items()}

    def entries(self, folder: str = "") -> dict[str, Entry]:
        """Return the names in a folder with what the listing says of them; none if it does not exist."""
        url = self.where(folder)
        try:
            entries = self._repeated("list", url, lambda: self.filesystem.ls(url, detail=True, refresh=True))
        except _Missing:
            self._require_bucket()
            return {}
        own = self.filesystem._strip_protocol(url).rstrip("/")
        if len(entries) == 1 and entries[0]["name"].rstrip("/") == own and entries[0]["type"] == "file":
            raise DatasetError(f"Invalid folder: got a file at {one_line(url)}; must be a folder")
        return {
            entry["name"].rstrip("/").rpartition("/")[2]: _entry(url, entry)
            for entry in entries
            if entry["name"].rstrip("/") != own
        }

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        url = self.where(name)
        limits = {} if start == 0 and stop is None else {"start": start, "end": stop}
        content: bytes = self._repeated("read", url, lambda: self.filesystem.cat_file(url, **limits))
        return content

    def exists(self, name: str) -> bool:
        url = self.where(name)
        self.filesystem.invalidate_cache()
        return bool(self._repeated("read", url, lambda: self.filesystem.exists(url)))

    @contextmanager
    def new(self, name: str) -> Iterator[BinaryIO]:
        url = self.where(name)
        with tempfile.NamedTemporaryFile(prefix="qumade-") as file:
            yield file  # type: ignore[misc]
            file.flush()
            self._repeated("write", url, lambda: self.filesystem.put_file(file.name, url, **self._parts))

    @property
    def _parts(self) -> dict[str, int]:
        """The size of the parts of an upload, of which several are in memory at once, where it can be chosen."""
        return {"chunksize": _PART_BYTES} if self.url.startswith(("s3://", "gs://", "gcs://")) else {}

    def _require_bucket(self) -> None:
        """Raise QumadeError where not even the bucket is there. Other file systems make folders as they are needed."""
        filesystem = self.filesystem
        if not hasattr(filesystem, "split_path"):
            return
        bucket = filesystem._strip_protocol(self.url).partition("/")[0]
        try:
            self._repeated("list", self.url, lambda: filesystem.ls(bucket, refresh=True))
        except _Missing:
            raise DatasetError(f"Invalid URL: got no bucket {bucket!r} for {one_line(self.url)}; must exist") from None

    def _repeated(self, doing: str, url: str, request: Callable[[], Result]) -> Result:
        wait_s = _FIRST_WAIT_S
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return request()
            except Exception as error:  # each backend raises exceptions of its own
                missing = isinstance(error, FileNotFoundError)
                if missing and doing == "list":
                    raise _Missing(url) from error
                if is_final(error) or attempt == _ATTEMPTS:
                    what = "Invalid output" if doing == "write" else "Invalid file"
                    raise DatasetError(f"{what}: cannot {doing} {one_line(url)}: {explained(error, url)}") from error
            # Many workers that failed together must not return together.
            time.sleep(wait_s * random.uniform(0.5, 1.5))
            wait_s *= 2
        raise AssertionError("unreachable")


def _entry(url: str, entry: dict[str, Any]) -> Entry:
    if entry["type"] == "directory":
        return Entry(-1, "")
    if entry["size"] is None:
        raise DatasetError(f"Invalid URL: got a listing without sizes of files at {url}; must be in an object store")
    return Entry(int(entry["size"]), " ".join(str(entry[key]) for key in _VERSIONS if entry.get(key) is not None))


class _Missing(DatasetError):
    """A folder that is listed is not there."""
