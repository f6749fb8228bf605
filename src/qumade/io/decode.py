"""Decode pictures from untrusted bytes. Truncated, damaged or hostile files raise `UnusablePicture`, naming the file.

The size is read from the header first, so a few hundred bytes that claim gigabytes take no memory. A damaged file is
refused even if a viewer would show most of it.

There are two policies for EXIF orientation. Assets and photos are turned upright, as viewers show them (`read_rgb`,
`read_rgba`, `read_gray`, `read_levels`). Pictures of a dataset must be stored upright (`decode_rgb`, `decode_grey`,
`decode_bilevel`), because their labels may have been drawn before or after turning. Values outside 1 to 8 mean upright.
"""

import io
import re
import struct
import threading
import warnings
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from qumade.io.pictures import UnusablePicture, read_picture

__all__ = [
    "CONVERTED",
    "MAX_PIXELS",
    "PNG_END",
    "Format",
    "decode_bilevel",
    "decode_grey",
    "decode_rgb",
    "read_gray",
    "read_levels",
    "read_rgb",
    "read_rgba",
]

MAX_PIXELS = 100_000_000
"""Larger pictures are refused before any memory is taken for their pixels."""

Format = Literal["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "BMP", "PPM"]
PHOTOS: tuple[Format, ...] = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")
CONVERTED: tuple[Format, ...] = (*PHOTOS[2:], "BMP", "PPM")
"""Formats of photos of which a dataset holds PNG copies."""
Rotation = Literal["applied", "refused"]
Level = TypeVar("Level", np.uint8, np.uint16)
Levels = NDArray[np.uint8] | NDArray[np.uint16]

_COLOUR_TOLERANCE = 8  # levels between the channels of a grey picture that was saved as RGB: codecs round
_READERS: dict[Format, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "TIFF": TiffImageFile,
    "AVIF": AvifImageFile,
    "BMP": BmpImageFile,
    "PPM": PpmImageFile,
}
PNG_END = b"IEND\xaeB`\x82"
_EXIF_ORIENTATION = 0x0112
_MAY_BE_TURNED = re.compile(rb"Exif\0\0|eXIf|EXIF|[Oo]rientation")  # EXIF of the three formats, and XMP


def decode_rgb(data: bytes, path: Path, formats: tuple[Format, ...] = ("JPEG", "PNG")) -> NDArray[np.uint8]:
    """Decode the image of a sample, uint8 [H, W, 3]; grey becomes three equal channels. `path` is for messages.

    One of `formats`, stored upright, opaque; a PNG has 8 bits. Raises UnusablePicture.
    """
    found = _format(data, path, formats)
    if found == "PNG" and data[24:26] == b"\x10\x00":
        raise UnusablePicture(path, "type", "a 16-bit picture", "be 8-bit colour or grey")
    rgb, alpha = _rgba(data, path, found, "refused")
    if alpha is not None and alpha.min() != 255:
        raise UnusablePicture(path, "type", "transparent pixels", "be an opaque picture")
    return rgb


def decode_grey(data: bytes, path: Path) -> Levels:
    """Decode a label of a sample [H, W]: uint8, or uint16 from a 16-bit PNG; one bit becomes 0 and 255.

    JPEG or PNG, stored upright, grey or grey that was saved as RGB, without alpha. Raises UnusablePicture.
    """
    if _format(data, path, ("JPEG", "PNG")) == "JPEG":
        colorspace = _jpeg_colorspace(data, path)
        _orientation(data, path, "JPEG", "refused")
        if colorspace in ("CMYK", "YCCK"):
            raise UnusablePicture(path, "type", f"a {colorspace} picture", "be grey")
        if colorspace != "Gray":
            _require_neutral(_jpeg(data, path, "RGB"), path)
        return _jpeg(data, path, "GRAY")[:, :, 0]
    picture = _pillow(data, path, "PNG")
    _orientation(data, path, "PNG", "refused")
    if picture.mode.startswith("I"):
        return _gray16(picture)
    if data[24] == 16:  # Pillow keeps only the high byte of 16-bit colour
        raise UnusablePicture(path, "type", "a 16-bit colour PNG", "be grey")
    if picture.has_transparency_data:
        raise UnusablePicture(path, "type", "a PNG with an alpha channel", "be grey without one")
    if picture.mode in ("1", "L"):
        return np.asarray(picture.convert("L"))
    rgb = np.asarray(picture.convert("RGB"))
    _require_neutral(rgb, path)
    return rgb[:, :, 1].copy()


def decode_bilevel(data: bytes, path: Path) -> NDArray[np.bool_]:
    """Decode a label of only black (0) and white (255), bool [H, W]. Otherwise like `decode_grey`."""
    grey = decode_grey(data, path)
    if grey.dtype != np.uint8 or not np.isin(grey, (0, 255)).all():
        raise UnusablePicture(path, "type", "grey levels", "be black and white only (a 1-bit PNG)")
    return np.equal(grey, 255)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read a picture as uint8 [H, W, 3] sRGB, turned upright, without transparency.

    JPEG, PNG, WebP, TIFF, AVIF or HEIF. Grey, palette, CMYK, 1-bit and 16-bit pictures are converted; an animation
    gives its first frame.
    Raises UnusablePicture.
    """
    return read_rgba(path)[0]


def read_rgba(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Read colour uint8 [H, W, 3] like `read_rgb`, and straight alpha uint8 [H, W], None if the file has no alpha.

    Transparent palette entries and a transparent colour count as alpha. Raises UnusablePicture.
    """
    data = read_picture(path)
    return _rgba(data, path, _format(data, path), "applied")


def read_gray(path: Path) -> tuple[NDArray[np.uint8], Format]:
    """Read a grey picture as uint8 [H, W], turned upright; also return the format by content, not by suffix.

    Grey that was saved as RGB is unchanged. Raises UnusablePicture, also for colours and for transparent pixels: what
    they mean is not known.
    """
    data = read_picture(path)
    found = _format(data, path)
    rgb, alpha = _rgba(data, path, found, "applied")
    if alpha is not None and alpha.min() != 255:
        raise UnusablePicture(path, "type", "transparent pixels", "be grey without an alpha channel")
    _require_neutral(rgb, path)
    return np.array(Image.fromarray(rgb).convert("L")), found


def read_levels(path: Path) -> Levels:
    """Read the stored values of a PNG [H, W], turned upright: uint8 or uint16 grey, or palette indices.

    Grey of fewer than 8 bits is refused: decoders stretch it to 0..255, which changes the values. Raises
    UnusablePicture.
    """
    data = read_picture(path)
    _format(data, path, ("PNG",))
    bits, colour = (data[24], data[25]) if len(data) > 25 else (0, 0)
    if not (colour == 3 or (colour == 0 and bits in (8, 16))):
        kind = {0: "grey", 2: "RGB", 4: "grey with alpha", 6: "RGBA"}.get(colour, f"colour type {colour}")
        raise UnusablePicture(path, "type", f"{bits}-bit {kind}", "be 8 or 16-bit grey or a palette")
    picture = _pillow(data, path, "PNG")
    orientation = _orientation(data, path, "PNG", "applied")
    if picture.mode.startswith("I"):
        return _turned(_gray16(picture), orientation)
    return _turned(np.asarray(picture), orientation)


def _format(data: bytes, path: Path, allowed: tuple[Format, ...] = PHOTOS) -> Format:
    found: Format | None = None
    if data.startswith(b"\xff\xd8"):
        found = "JPEG"
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        found = "PNG"
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        found = "WEBP"
    elif data.startswith((b"II*\0", b"MM\0*")):
        found = "TIFF"
    elif data[4:8] == b"ftyp":
        found = _brand(data)
    elif data.startswith(b"BM"):
        found = "BMP"
    elif re.match(rb"P[1-6]\s", data):
        found = "PPM"
    wanted = f"be a whole {' or '.join(allowed)} picture"
    if not data:
        raise UnusablePicture(path, "empty", "an empty file", wanted)
    if found not in allowed:
        raise UnusablePicture(path, "type", "another type of file" if found is None else f"a {found} file", wanted)
    return found


def _brand(data: bytes) -> Format | None:
    """Which of the formats in an ISO media file: its first brands say so."""
    brands = [data[at : at + 4] for at in (8, *range(16, min(int.from_bytes(data[:4]), 64), 4))]
    if any(brand in (b"avif", b"avis") for brand in brands):
        return "AVIF"
    return "HEIF" if any(brand in (b"heic", b"heix", b"heif", b"mif1") for brand in brands) else None


def _reader(found: Format, path: Path) -> type[ImageFile.ImageFile]:
    """Pillow's reader of a format. HEIF, the format of iPhones, needs a package of its own."""
    if found != "HEIF":
        return _READERS[found]
    try:
        from pi_heif import HeifImageFile
    except ImportError:
        allowed = "be JPEG, PNG, WebP, TIFF or AVIF; HEIF needs: pip install 'qumade[heif]'"
        raise UnusablePicture(path, "type", "a HEIF file", allowed) from None
    reader: type[ImageFile.ImageFile] = HeifImageFile
    return reader


def _rgba(
    data: bytes, path: Path, found: Format, rotation: Rotation
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    if found == "JPEG":
        colorspace = _jpeg_colorspace(data, path)
        orientation = _orientation(data, path, "JPEG", rotation)
        if colorspace in ("CMYK", "YCCK"):
            _jpeg(data, path, "CMYK")  # refuses damage; Pillow does not, but converts the inks
            return _turned(np.array(_pillow(data, path, "JPEG").convert("RGB")), orientation), None
        return _turned(_jpeg(data, path, "RGB"), orientation), None
    picture = _pillow(data, path, found)
    orientation = _orientation(data, path, found, rotation)
    if picture.mode.startswith("I"):
        gray16 = _gray16(picture)
        key = picture.info.get("transparency")
        gray = _turned(_rounded(gray16), orientation)
        alpha = np.where(gray16 == key, 0, 255).astype(np.uint8) if isinstance(key, int) else None
        return np.repeat(gray[..., None], 3, axis=2), None if alpha is None else _turned(alpha, orientation)
    if picture.has_transparency_data:
        if "transparency" in picture.info and found == "PNG" and data[24] == 16:
            # Pillow keeps 8 of the 16 bits, so several colours would become transparent.
            got = "16-bit colour with one colour declared transparent"
            raise UnusablePicture(path, "type", got, "be 8-bit or have an alpha channel")
        pixels = _turned(np.asarray(picture.convert("RGBA")), orientation)
        return np.ascontiguousarray(pixels[..., :3]), np.ascontiguousarray(pixels[..., 3])
    return _turned(np.array(picture.convert("RGB")), orientation), None


def _jpeg_colorspace(data: bytes, path: Path) -> str:
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise _damaged(path, "JPEG", error) from error
    _require_size(width, height, path)
    return str(colorspace)


def _jpeg(data: bytes, path: Path, colorspace: str) -> NDArray[np.uint8]:
    """Decode with simplejpeg: the pixels equal Pillow's in half the time, and unlike Pillow it refuses damaged data."""
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace)
    except ValueError as error:
        raise _damaged(path, "JPEG", error) from error
    return pixels


def _pillow(data: bytes, path: Path, found: Format) -> Image.Image:
    """Decode with Pillow's reader itself, not Image.open, whose size limit is a global of the process."""
    if found == "PNG" and (PNG_END not in data or len(data) < 33):
        raise UnusablePicture(path, "truncated", "truncated data (a PNG without its end)", "be a whole PNG")
    if found == "WEBP":  # Pillow's WebP reader allocates the pixels when it opens a file
        _require_size(*_webp_size(data), path)
    try:
        with _quiet_pillow:
            reader = _reader(found, path)
            picture = reader(io.BytesIO(data))
            _require_size(*picture.size, path)
            if found == "PNG":
                picture.verify()  # decoding ignores checksums; verify leaves the reader unusable
                picture = reader(io.BytesIO(data))
            if picture.mode in ("F", "I") and found == "TIFF":
                raise UnusablePicture(path, "type", "a TIFF of 32-bit numbers", "have 8 or 16 bits")
            picture.load()
            if picture.mode == "P" and b"PLTE" not in data:
                raise ValueError("a palette picture without its palette")
            return picture
    except UnusablePicture:
        raise
    except Exception as error:  # Pillow raises errors of many classes for damaged files
        raise _damaged(path, found, error) from error


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height from the first chunk (RFC 9649); 1x1 for a broken header, which the decoder refuses later."""
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        return 1, 1
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", body[6:10])
    return width & 0x3FFF, height & 0x3FFF


def _gray16(picture: Image.Image) -> NDArray[np.uint16]:
    """Pixels of a 16-bit grey PNG: mode "I;16", or "I" as older Pillows call it."""
    levels = np.asarray(picture)
    return levels if levels.dtype == np.uint16 else levels.clip(0, 65535).astype(np.uint16)


def _rounded(gray16: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return ((gray16.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _orientation(data: bytes, path: Path, found: Format, rotation: Rotation) -> int:
    """Return the EXIF orientation, 1 to 8, of a picture that decodes; 1 if it is missing, damaged or out of range."""
    if found in ("JPEG", "PNG", "WEBP") and not _MAY_BE_TURNED.search(data):  # most need no second reader
        return 1
    if found == "HEIF" or (found == "TIFF" and rotation == "applied"):
        return 1  # their readers turn the pixels
    try:
        with _quiet_pillow:
            orientation = _reader(found, path)(io.BytesIO(data)).getexif().get(_EXIF_ORIENTATION)
    except Exception:  # damaged metadata raises many errors; viewers ignore it too
        return 1
    if not isinstance(orientation, int) or not 2 <= orientation <= 8:
        return 1
    if rotation == "refused":
        got = f"EXIF orientation {orientation}"
        raise UnusablePicture(path, "turned", got, "be stored upright, as its labels are")
    return orientation


def _turned(pixels: NDArray[Level], orientation: int) -> NDArray[Level]:
    """Pixels [H, W, ...] as a viewer shows them: EXIF 2.32, tag 0x0112."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _require_neutral(rgb: NDArray[np.uint8], path: Path) -> None:
    spread = int(np.ptp(rgb, axis=2).max(initial=0))
    if spread > _COLOUR_TOLERANCE:
        got = f"colours (channels {spread} levels apart)"
        raise UnusablePicture(path, "type", got, "be grey, or grey saved as RGB")


def _require_size(width: int, height: int, path: Path) -> None:
    if not 0 < width * height <= MAX_PIXELS:
        allowed = f"have 1 to {MAX_PIXELS // 1_000_000} megapixels"
        raise UnusablePicture(path, "bomb", f"{width}x{height} pixels", allowed)


def _damaged(path: Path, found: Format, error: Exception) -> UnusablePicture:
    said = " ".join(str(error).split()) or type(error).__name__
    torn = "truncated" in said.lower() or "premature end" in said.lower()
    reason, got = ("truncated", "truncated data") if torn else ("damaged", "damaged data")
    return UnusablePicture(path, reason, f"{got} ({said})", f"be a whole {found}")


class _QuietPillow:
    """Keeps Pillow's warnings (odd EXIF) from the user, who can do nothing about them.

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
