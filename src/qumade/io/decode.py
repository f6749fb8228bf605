"""Pictures of a dataset from bytes to arrays: JPEG and PNG, torn and hostile files refused by name.

Pixels are taken as they are stored. A picture that asks to be turned when shown (EXIF) is refused, since its labels
may have been drawn either way round.
"""

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from qumade.errors import QumadeError

__all__ = ["decode_bilevel", "decode_grey", "decode_rgb"]

MAX_PIXELS = 1 << 26  # 8192 x 8192: refused before any memory is taken for the pixels
COLOUR_TOLERANCE = 8  # how far apart the channels of a grey picture saved as RGB may lie: codecs round

JPEG_MAGIC = b"\xff\xd8"
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_END = b"IEND\xaeB`\x82"
EXIF_ORIENTATION = 0x0112


def decode_rgb(data: bytes, path: Path) -> NDArray[np.uint8]:
    """Return a colour picture as uint8 [H, W, 3]; grey ones get three equal channels. `path` is for the messages."""
    if data.startswith(JPEG_MAGIC):
        if _jpeg_colorspace(data, path) in ("CMYK", "YCCK"):
            return np.asarray(_pillow(data, path, "JPEG").convert("RGB"))
        return _jpeg(data, path, "RGB")
    picture = _png(data, path)
    if picture.mode.startswith("I"):
        raise _refusal(path, "a 16-bit picture", "8-bit colour or grey")
    if picture.has_transparency_data:
        rgba = np.asarray(picture.convert("RGBA"))
        if rgba[:, :, 3].min() != 255:
            raise _refusal(path, "transparent pixels", "an opaque picture")
    return np.asarray(picture.convert("RGB"))


def decode_grey(data: bytes, path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return a grey picture [H, W], also one saved as RGB: uint8, or uint16 of a 16-bit PNG; one bit becomes 0, 255."""
    if data.startswith(JPEG_MAGIC):
        colorspace = _jpeg_colorspace(data, path)
        if colorspace in ("CMYK", "YCCK"):
            raise _refusal(path, f"a {colorspace} picture", "grey")
        if colorspace != "Gray":
            _require_neutral(_jpeg(data, path, "RGB"), path)
        return _jpeg(data, path, "GRAY")[:, :, 0]
    picture = _png(data, path)
    if picture.mode.startswith("I"):
        return np.asarray(picture).astype(np.uint16, copy=False)
    if data[24] == 16:  # Pillow keeps the high byte of 16-bit colour only
        raise _refusal(path, "a 16-bit colour PNG", "grey")
    if picture.has_transparency_data:
        raise _refusal(path, "a PNG with an alpha channel", "grey without one")
    if picture.mode in ("1", "L"):
        return np.asarray(picture.convert("L"))
    rgb = np.asarray(picture.convert("RGB"))
    _require_neutral(rgb, path)
    return rgb[:, :, 1].copy()


def decode_bilevel(data: bytes, path: Path) -> NDArray[np.bool_]:
    """Return a picture of black (0) and white (255) only as bool [H, W]."""
    grey = decode_grey(data, path)
    if grey.dtype != np.uint8 or not np.isin(grey, (0, 255)).all():
        raise _refusal(path, "grey levels", "black and white only (a 1-bit PNG)")
    return np.equal(grey, 255)


def _require_neutral(rgb: NDArray[np.uint8], path: Path) -> None:
    spread = int(np.ptp(rgb, axis=2).max(initial=0))
    if spread > COLOUR_TOLERANCE:
        raise _refusal(path, f"colours (channels {spread} levels apart)", "grey, or grey saved as RGB")


def _jpeg_colorspace(data: bytes, path: Path) -> str:
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise _refusal(path, f"a torn or damaged JPEG ({error})", "a whole one") from error
    _require_size(width, height, path)
    if b"Exif\0\0" in data[:64]:
        _require_upright(_pillow(data, path, "JPEG"), path)
    return str(colorspace)


def _jpeg(data: bytes, path: Path, colorspace: str) -> NDArray[np.uint8]:
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace)
    except ValueError as error:
        raise _refusal(path, f"a torn or damaged JPEG ({error})", "a whole one") from error
    return pixels


def _png(data: bytes, path: Path) -> Image.Image:
    if not data:
        raise _refusal(path, "an empty file", "a JPEG or PNG picture")
    if not data.startswith(PNG_MAGIC) or len(data) < 33 or data[12:16] != b"IHDR":
        raise _refusal(path, "neither JPEG nor PNG", "one of them")
    if PNG_END not in data:
        raise _refusal(path, "a torn PNG (its end is missing)", "a whole one")
    width, height = struct.unpack(">II", data[16:24])
    _require_size(width, height, path)
    picture = _pillow(data, path, "PNG")
    _require_upright(picture, path)
    return picture


def _pillow(data: bytes, path: Path, format_name: str) -> Image.Image:
    try:
        if format_name == "PNG":  # checks the sums, which loading the pixels does not
            Image.open(io.BytesIO(data), formats=[format_name]).verify()
        picture = Image.open(io.BytesIO(data), formats=[format_name])
        picture.load()
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise _refusal(path, f"a torn or damaged {format_name} ({error})", "a whole one") from error
    return picture


def _require_upright(picture: Image.Image, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # broken EXIF says nothing of the orientation
        orientation = picture.getexif().get(EXIF_ORIENTATION, 1)
    if orientation != 1:
        raise _refusal(path, f"EXIF orientation {orientation}", "stored upright, as its labels are")


def _require_size(width: int, height: int, path: Path) -> None:
    if not 0 < width * height <= MAX_PIXELS:
        raise _refusal(path, f"{width}x{height} pixels", f"at most {MAX_PIXELS} pixels")


def _refusal(path: Path, got: str, must_be: str) -> QumadeError:
    return QumadeError(f"Invalid picture: got {' '.join(got.split())} in {path.absolute()}; must be {must_be}")
