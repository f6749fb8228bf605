"""Reading and writing whole files: reads are bounded, and a written file gets its name only when it is whole.

Until then it lies beside its place under a temporary name. A process that was killed leaves such files behind;
`is_temporary` recognises them and `remove_temporary_files` removes them.
"""

import ctypes
import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from qumade.errors import ConfigError, QumadeError

__all__ = [
    "cache_folder",
    "ends_with",
    "is_temporary",
    "new_file",
    "new_folder",
    "only_one",
    "open_regular",
    "read_bytes",
    "remove_temporary_files",
    "sync_filesystem",
    "write_bytes",
    "write_in_folder",
]

_TEMPORARY = re.compile(r"\.tmp-\d+-.+", re.DOTALL)
_LONGEST_NAME = 200  # bytes; file systems allow 255
_PARTIAL, _WHOLE = ".partial", ".whole"  # inside a folder that is being made


def cache_folder() -> Path:
    """Return the folder of what can be computed again: $XDG_CACHE_HOME/qumade, else ~/.cache/qumade (XDG Base
    Directory). Raises ConfigError for a user without a home folder, as in some containers."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if Path(given).is_absolute():  # relative: invalid there
        return Path(given) / "qumade"
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises RuntimeError
    if not Path(home).is_absolute():
        raise ConfigError("Invalid XDG_CACHE_HOME: got none, nor a home folder; must be the absolute path of a folder")
    return Path(home) / ".cache" / "qumade"


def open_regular(path: Path) -> FileIO:
    """Open a regular file for unbuffered reading. Raises OSError, with EINVAL for a folder, a pipe or a device: opening
    a pipe would block until another process writes to it."""
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return FileIO(opened, "rb")
    except BaseException:
        os.close(opened)
        raise


def read_bytes(path: Path, at_most: int, error_class: type[QumadeError] = QumadeError) -> bytes:
    """Return the content of a regular file. Raises `error_class` where it is missing, unreadable or larger than
    `at_most` bytes."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > at_most:
                raise error_class(f"Invalid file: got {size} bytes in {path.absolute()}; must be at most {at_most}")
            return file.readall()
    except OSError as error:
        raise error_class(f"Invalid file: cannot read {path.absolute()}: {error.strerror}") from error


def write_bytes(
    path: Path, data: bytes, *, durable: bool = False, error_class: type[QumadeError] = QumadeError
) -> None:
    """Write a whole file and replace an older one. Arguments and errors: see `new_file`."""
    with new_file(path, durable=durable, error_class=error_class) as file:
        file.write(data)


@contextmanager
def new_folder(path: Path, error_class: type[QumadeError] = QumadeError) -> Iterator[Path]:
    """Yield an empty folder inside `path`, whose entries move into `path` at the end of the block: until then `path`
    holds nothing else. If the block fails, all of it is removed; what a killed process left is removed first.

    Raises `error_class` where `path` exists and is not an empty folder.
    """
    path = path.absolute()
    part, whole = path / _PARTIAL, path / _WHOLE
    if whole.is_dir():  # a process was killed while it moved them
        _move_up(whole)
    if path.exists() and (not path.is_dir() or any(entry.name != _PARTIAL for entry in path.iterdir())):
        raise error_class(f"Invalid output: got {path}, which is not empty; must be a new or empty folder")
    new = not path.exists()
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        part.rename(whole)
        _move_up(whole)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        if new:
            with suppress(OSError):
                path.rmdir()
        raise


def _move_up(folder: Path) -> None:
    for entry in folder.iterdir():
        entry.rename(folder.parent / entry.name)
    folder.rmdir()


@contextmanager
def new_file(path: Path, *, durable: bool = False, error_class: type[QumadeError] = QumadeError) -> Iterator[BinaryIO]:
    """Open a file for writing. It gets its name at the end of the block and then replaces an older file.

    With `durable` the block ends when the disk holds the file and its name, so a power cut cannot undo it. If the block
    fails, the older file stays and no temporary file remains. Raises `error_class`, naming the file, if it cannot be
    written; other errors of the block pass through.
    """
    path = path.absolute()
    temporary = path.with_name(_temporary_name(path.name))
    try:
        with temporary.open("wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
        if durable:
            _sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            raise error_class(f"Invalid output: cannot write {path}: {error.strerror or error}") from error
        raise


def write_in_folder(folder: int, name: str, data: bytes) -> None:
    """Write a whole file into an open folder. Names relative to the folder save the path lookup, which matters for
    samples. Raises OSError; no temporary file remains."""
    temporary = _temporary_name(name)
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666, dir_fd=folder)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
    finally:
        os.close(file)
    os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


def sync_filesystem(file: int) -> None:
    """Waits until all data written to the file system of an open file is on disk. Raises OSError."""
    try:
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError):  # not Linux
        os.sync()
        return
    if syncfs(file) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def ends_with(path: Path, end: bytes) -> bool:
    """Return whether these are the last bytes of a regular file: the end marker of a picture that was written wholly.
    Raises OSError."""
    with open_regular(path) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - len(end)))
        return file.read(len(end)) == end


def is_temporary(name: str) -> bool:
    """Return whether this is the name of a file that was not finished."""
    return _TEMPORARY.fullmatch(name) is not None


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files of killed processes from a folder that no other process writes to."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        left = [Path(entry.path) for entry in entries if is_temporary(entry.name)]
    for path in left:
        path.unlink(missing_ok=True)


@contextmanager
def only_one(folder: Path, doing: str) -> Iterator[None]:
    """Make a folder, and refuse one in which another process is `doing` (as "training"); the system frees the lock of
    one that was killed, and what it has not finished is removed. A new folder is removed again if what follows fails
    before it has written into it."""
    new = not folder.exists()
    if not new and not folder.is_dir():
        raise QumadeError(f"Invalid --out: got the file {folder}; must be a folder")
    folder.mkdir(parents=True, exist_ok=True)
    opened = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise QumadeError(
                f"Invalid --out: another process is {doing} into {folder}; wait for it or stop it"
            ) from None
        remove_temporary_files(folder)
        yield
    except BaseException:
        if new:
            with suppress(OSError):  # not empty
                folder.rmdir()
        raise
    finally:
        os.close(opened)


def _temporary_name(name: str) -> str:
    # A name that is too long for the prefix is replaced by its hash.
    tail = name if len(os.fsencode(name)) <= _LONGEST_NAME else hashlib.sha256(os.fsencode(name)).hexdigest()
    # Threads, processes and machines that write the same file at once must not share a temporary one.
    return f".tmp-{os.getpid()}-{os.urandom(4).hex()}-{tail}"


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
