"""Whole files in and out: what is read is bounded, what is written appears under its name only when it is whole."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qumade.errors import QumadeError

__all__ = ["only_one", "read_bytes", "write_bytes"]


def read_bytes(path: Path, at_most: int) -> bytes:
    """Return the content of a file; QumadeError where it is missing, unreadable or larger than `at_most` bytes."""
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size > at_most:
                raise QumadeError(f"Invalid file: got {size} bytes in {path.absolute()}; must be at most {at_most}")
            return file.readall()
    except OSError as error:
        raise QumadeError(f"Invalid file: cannot read {path.absolute()}: {error.strerror}") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file beside its place, then move it there; QumadeError where that fails, leaving nothing behind."""
    path = path.absolute()
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise QumadeError(f"Invalid output: cannot write {path}: {error.strerror}") from error


@contextmanager
def only_one(folder: Path, doing: str) -> Iterator[None]:
    """Refuse a folder in which another process is `doing` (as "training"); the system frees the lock of one that was
    killed."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise QumadeError(f"Invalid --out: another process is {doing} into {folder}; wait for it or stop it") from None
    finally:
        os.close(opened)
