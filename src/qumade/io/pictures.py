"""Reading picture files that nobody has vetted: JPEG, PNG and WebP in any colour mode, into plain uint8 arrays.

Whatever is wrong with a file ends in `UnusablePicture`, which names it; nothing else is raised for what a file
contains.
"""

import hashlib
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from qumade.errors import QumadeError

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "UnusablePicture",
    "content_hash",
    "list_pictures",
    "picture_format",
    "printable",
    "read_gray",
    "read_rgb",
    "read_rgba",
]

MAX_PIXELS = 100_000_000
"""Larger pictures are refused before they are decoded: a few hundred bytes can claim gigabytes."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

_FORMATS = ("JPEG", "PNG", "WEBP")
_ALLOWED = "be a whole JPEG, PNG or WebP picture"
_SIZE_ALLOWED = f"have at most {MAX_PIXELS // 1_000_000} megapixels"
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")
_EXIF_ORIENTATION = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnusablePicture(QumadeError):
    """A picture that cannot be used, and why.

    `path` is the file, `reason` a short code word, `detail` what was found and what is allowed without the file's name,
    `message` one line for people that names it. Code words of this module: "missing", "unreadable" (the system refuses
    it), "empty" (no bytes), "type" (no JPEG, PNG or WebP), "truncated", "damaged", "bomb" (too many pixels).
    """

    def __init__(self, path: Path, reason: str, got: str, allowed: str, *, what: str = "picture") -> None:
        self.path = path
        self.reason = reason
        self.detail = f"got {got}; must {allowed}"
        self.message = f"Invalid {what}: got {got} in {printable(path)}; must {allowed}"
        super().__init__(self.message)


def printable(path: Path) -> str:
    """The absolute path on one line: file names may hold line breaks, control characters and undecodable bytes."""
    text = str(path.absolute())
    return text if text.isprintable() else ascii(text)[1:-1]


def list_pictures(folder: Path) -> list[Path]:
    """Files of a folder with a picture's suffix (JPEG, PNG, WebP in any case), sorted by name.

    Sub-folders and hidden files are left out; a broken link is listed, so that whoever reads it can name it.
    Raises QumadeError where the folder is missing, no folder, or cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise QumadeError(
            f"Invalid folder: got {found} at {printable(folder)}; must be a folder of JPEG, PNG or WebP pictures"
        )
    try:
        return sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not path.is_dir()
        )
    except OSError as error:
        raise QumadeError(
            f"Invalid folder: got '{error.strerror}' for {printable(folder)}; must be a folder that can be read"
        ) from error


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """The picture as uint8 [H, W, 3] sRGB, upright (EXIF rotation applied); transparency is dropped.

    Grey, palette, CMYK, 1-bit and 16-bit pictures are converted; of an animation the first frame is taken.
    Raises UnusablePicture.
    """
    return read_rgba(path)[0]


def read_rgba(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Colour uint8 [H, W, 3] as of `read_rgb`, and straight alpha uint8 [H, W]; None where the file has none.

    A palette's transparent entries and a transparent colour count as alpha. Raises UnusablePicture.
    """
    with _opened(path) as image:
        gray16 = _gray16(image)
        if gray16 is not None:
            gray = np.asarray(_upright(image, Image.fromarray(_to_8_bit(gray16))))
            key = image.info.get("transparency")
            alpha = None
            if isinstance(key, int):
                opaque = Image.fromarray(np.where(gray16 == key, 0, 255).astype(np.uint8))
                alpha = np.asarray(_upright(image, opaque))
            return np.repeat(gray[..., None], 3, axis=2), alpha
        if image.has_transparency_data:
            if "transparency" in image.info and any("16B" in str(tile) for tile in image.tile):
                # Pillow keeps 8 of the 16 bits, after which the transparent colour can no longer be told.
                got = "16-bit colour with one colour declared transparent"
                raise UnusablePicture(path, "type", got, "be 8-bit or have an alpha channel")
            pixels = np.asarray(_upright(image, image.convert("RGBA")))
            return np.ascontiguousarray(pixels[..., :3]), np.ascontiguousarray(pixels[..., 3])
        return np.array(_upright(image, image.convert("RGB"))), None


def read_gray(path: Path) -> NDArray[np.uint8]:
    """The picture as uint8 [H, W] grey, upright; colour becomes ITU-R 601 luma, transparency is dropped.

    Grey that was saved as RGB comes back unchanged. Raises UnusablePicture.
    """
    with _opened(path) as image:
        gray16 = _gray16(image)
        if gray16 is not None:
            return np.array(_upright(image, Image.fromarray(_to_8_bit(gray16))))
        # By way of RGB, which a palette, CMYK and grey with alpha all reach without loss of the shown colour.
        return np.array(_upright(image, image.convert("RGB").convert("L")))


def picture_format(path: Path) -> str:
    """ "JPEG", "PNG" or "WEBP", told from the content and not from the suffix. Raises UnusablePicture."""
    with _opened(path) as image:
        return "JPEG" if image.format == "MPO" else str(image.format)


def content_hash(path: Path) -> str:
    """SHA-256 of the file's bytes as 64 hexadecimal digits. Raises UnusablePicture where it cannot be read."""
    with _named_failures(path), _regular_file(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """The picture with its header read and its size checked; every failure in the block is an UnusablePicture."""
    with (
        _named_failures(path),
        _quiet_pillow,
        _regular_file(path).open("rb") as file,
        Image.open(file, formats=_FORMATS) as image,
    ):
        if image.width * image.height > MAX_PIXELS:
            raise UnusablePicture(path, "bomb", f"{image.width}x{image.height} pixels", _SIZE_ALLOWED)
        yield image


def _upright(source: Image.Image, pixels: Image.Image) -> Image.Image:
    """Pixels turned as the source's EXIF orientation says; called once they are decoded, for PNG keeps EXIF last."""
    try:
        orientation = source.getexif().get(_EXIF_ORIENTATION)
    except Exception:  # damaged metadata fails in as many ways as there are tags; viewers ignore it as well
        return pixels
    return pixels.transpose(_TRANSPOSE[orientation]) if orientation in _TRANSPOSE else pixels


def _gray16(image: Image.Image) -> NDArray[np.uint16] | None:
    """Pixels of a 16-bit grey PNG ("I;16", and "I" as older Pillows call it), None for every other mode."""
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return None
    return np.asarray(image).clip(0, 65535).astype(np.uint16)


def _to_8_bit(gray16: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return ((gray16.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _regular_file(path: Path) -> Path:
    """The path, if it is a file with bytes in it: opening a pipe would wait for ever."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise UnusablePicture(path, "type", "no regular file", _ALLOWED)
    if status.st_size == 0:
        raise UnusablePicture(path, "empty", "0 bytes", _ALLOWED)
    return path


@contextmanager
def _named_failures(path: Path) -> Iterator[None]:
    """Turns whatever a hostile file makes Pillow raise into an UnusablePicture that names the file."""
    try:
        yield
    except UnusablePicture:
        raise
    except Image.DecompressionBombError as error:
        raise UnusablePicture(path, "bomb", "too many pixels", _SIZE_ALLOWED) from error
    except Exception as error:  # OSError, SyntaxError, ValueError, struct.error, zlib.error, MemoryError and others
        raise UnusablePicture(path, *_diagnosis(path, error), _ALLOWED) from error


def _diagnosis(path: Path, error: Exception) -> tuple[str, str]:
    """Code word and words for what is wrong with a file that failed with an error."""
    if isinstance(error, FileNotFoundError):
        return "missing", "no file"
    if isinstance(error, OSError) and error.errno is not None:
        return "unreadable", f"'{error.strerror}'"
    if isinstance(error, UnidentifiedImageError):
        return ("damaged", "a damaged header") if _begins_like_a_picture(path) else ("type", "another type of file")
    if "truncated" in str(error).lower():
        return "truncated", "truncated data"
    return "damaged", "damaged data"


def _begins_like_a_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(16).startswith(_SIGNATURES)
    except OSError:  # gone in the meantime
        return False


class _QuietPillow:
    """Keeps Pillow's warnings (odd EXIF, large pictures) from the user, who can do nothing about them.

    `warnings.catch_warnings` alone saves and restores one global list, so overlapping threads would leave it wrong:
    here the first thread in saves it and the last one out restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._saved.__exit__(None, None, None)


_quiet_pillow = _QuietPillow()
