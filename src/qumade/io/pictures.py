"""Picture files on disk: list, hash and read them. `qumade.io.decode` turns the bytes into arrays."""

import errno
import hashlib
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from io import FileIO
from pathlib import Path
from typing import Any

from qumade.errors import AssetError, QumadeError
from qumade.io.files import open_regular
from qumade.io.listing import counted, is_leftover, named, others

__all__ = [
    "SUFFIXES",
    "UnusablePicture",
    "content_hash",
    "left_out",
    "list_pictures",
    "one_line",
    "printable",
    "read_picture",
    "require_text",
]

_HEIF = (".heic", ".heif") if find_spec("pi_heif") else ()
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".avif", *_HEIF)

_MAX_BYTES = 1 << 29  # no picture within the limit of pixels needs more
_A_PICTURE = "be a whole picture"


class UnusablePicture(QumadeError):
    """A picture that cannot be used, and why.

    `path` is the file, `reason` a short code word, `got` what was found and `allowed` what it must be ("be a PNG").
    `detail` joins the two without the file's name; the message is one line that names the file. Code words of
    `qumade.io`: "missing", "unreadable" (the system refuses it), "empty" (no bytes), "type" (another type of file or
    another kind of picture), "truncated", "damaged", "bomb" (too many pixels or bytes), "turned" (EXIF orientation),
    "name" (not UTF-8).
    """

    def __init__(self, path: Path, reason: str, got: str, allowed: str, what: str = "picture") -> None:
        self.path, self.reason, self.got, self.allowed, self.what = path, reason, got, allowed, what
        self.detail = f"got {got}; must {allowed}"
        self.message = f"Invalid {what}: got {got} in {printable(path)}; must {allowed}"
        super().__init__(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.reason, self.got, self.allowed, self.what)


def printable(path: Path) -> str:
    """The absolute path on one line: file names may hold line breaks, control characters and undecodable bytes."""
    return one_line(str(path.absolute()))


def one_line(text: str) -> str:
    """A name as one line that every terminal and file can hold: as it is if it can be printed, else escaped."""
    return text if text.isprintable() else ascii(text)[1:-1]


def require_text(path: Path) -> None:
    """Raise UnusablePicture for a file whose name is not UTF-8: manifests and reports could not hold it."""
    try:
        path.name.encode()
    except UnicodeEncodeError as error:
        raise UnusablePicture(path, "name", "a name that is not UTF-8", "be renamed") from error


def list_pictures(folder: Path) -> list[Path]:
    """Files of a folder with a picture's suffix (one of SUFFIXES in any case), sorted by name.

    Subfolders, hidden files and what systems leave in folders are not listed. A broken link is listed; reading it then
    names it. Raises QumadeError where the folder is missing, no folder, or cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise AssetError(f"Invalid folder: got {found} at {printable(folder)}; must be a folder of pictures")
    try:
        return sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in SUFFIXES and not is_leftover(path.name) and not path.is_dir()
        )
    except OSError as error:
        raise AssetError(
            f"Invalid folder: got '{error.strerror}' for {printable(folder)}; must be a folder that can be read"
        ) from error


def left_out(folder: Path, pictures: Collection[Path]) -> str | None:
    """A line that counts the entries of a folder besides its pictures, names the first, and says how to use them; None
    if there are none. What systems leave in folders does not count."""
    names = others(folder, pictures)
    if not names:
        return None
    hints = []
    if any(name.endswith("/") for name in names):
        hints.append("; sub-folders are not read")
    if any(name.lower().endswith((".heic", ".heif")) for name in names):
        hints.append("; HEIC needs: pip install 'qumade[heif]'")
    count = counted(len(names), "entry is", "entries are")
    return f"{count} left out, not named as pictures: {named(names)}{''.join(hints)}"


def read_picture(path: Path) -> bytes:
    """Return the bytes of a picture file. Raises UnusablePicture if it is missing, unreadable, empty, above 512 MiB or
    not a regular file."""
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _MAX_BYTES:
            raise UnusablePicture(path, "bomb", f"{size} bytes", f"have at most {_MAX_BYTES}")
        return file.readall()


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits. Raises UnusablePicture if it cannot be read."""
    with _opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[FileIO]:
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise UnusablePicture(path, "empty", "0 bytes", _A_PICTURE)
            yield file
    except FileNotFoundError as error:
        raise UnusablePicture(path, "missing", "no file", _A_PICTURE) from error
    except OSError as error:
        reason = "type" if error.errno == errno.EINVAL else "unreadable"
        raise UnusablePicture(path, reason, f"'{error.strerror}'", _A_PICTURE) from error
