"""A drawn sample as the bytes of its files."""

import io
import struct
import zlib
from importlib.metadata import version
from typing import Any, Literal, NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, features

from qumade.assets.catalog import Catalog, DepthKind
from qumade.compose.sample import Sample
from qumade.data.metadata import DepthCode, inverse_depth_table
from qumade.jit import compiled
from qumade.recipe import Recipe

__all__ = [
    "Encoded",
    "coded_depth",
    "composite_depth_code",
    "depth_code",
    "encode_depth",
    "encode_sample",
    "folder_codes",
]

_QUALITY = {"images": 90, "masks": 95, "depth": 95}
_PNG_LEVEL = 1  # larger levels cost several times the time for a tenth of the size
_NEAR = {"metric": 0.5, "scaled": 1.5, "affine": 1.0}
_DEPTH_SCALE = 256.0  # the KITTI convention


class Encoded(NamedTuple):
    """The files of a sample, by folder; and how many depth pixels were nearer than the nearest code."""

    files: dict[str, bytes]
    depth_clipped_px: int


def depth_code(recipe: Recipe, catalog: Catalog) -> DepthCode:
    """How layered depth is written for this recipe; one code for the whole dataset."""
    return _depth_code(recipe, catalog.depth_kind, catalog.depth_source)


def composite_depth_code(recipe: Recipe, kind: DepthKind, teacher_sha256: str) -> DepthCode:
    """How depth of a kind is written that a teacher predicts from each composite."""
    code = _depth_code(recipe, kind, "composite")
    # Factor and shift of affine predictions differ from picture to picture: there is no range for all of them.
    span = "image" if kind == "affine" else code.range
    return code.model_copy(update={"range": span, "teacher_sha256": teacher_sha256})


def _depth_code(recipe: Recipe, kind: DepthKind, source: str) -> DepthCode:
    bits: Literal[8, 16] = 8 if recipe.encoding == "jpeg" else 16
    if kind == "metric" and bits == 16:
        return DepthCode(kind=kind, source=source, code="metres", bits=16, depth_scale=_DEPTH_SCALE)
    near = recipe.depth_near or _NEAR[kind]
    span: tuple[float, float] | Literal["image"] = (0.0, near) if recipe.depth_quantization == "dataset" else "image"
    return DepthCode(kind=kind, source=source, code="inverse", bits=bits, range=span)


def folder_codes(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """Format and codec settings of each folder, as dataset.yaml records them."""
    if recipe.encoding == "jpeg":
        encoder = f"simplejpeg {version('simplejpeg')}"
        codes = {
            folder: {"suffix": ".jpg", "format": "jpeg", "quality": quality, "encoder": encoder}
            for folder, quality in _QUALITY.items()
        }
        codes["images"]["subsampling"] = "420"
        return codes | _ignore_code(recipe)
    return {folder: _png_code() for folder in _QUALITY} | _ignore_code(recipe)


def _ignore_code(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """ignore/ is there where label maps tell what backgrounds show already, and the recipe has it ignored."""
    ignored = recipe.labels is not None and recipe.target and recipe.present == "ignore"
    return {"ignore": _png_code() | {"encoder": f"zlib {zlib.ZLIB_RUNTIME_VERSION}"}} if ignored else {}


def _png_code() -> dict[str, Any]:
    encoder = f"pillow {version('pillow')}, zlib {features.version('zlib')}"
    return {"suffix": ".png", "format": "png", "compress_level": _PNG_LEVEL, "encoder": encoder}


def encode_sample(sample: Sample, code: DepthCode | None, encoding: str) -> Encoded:
    """Encodes a sample, without its depth where that has no code; pure. `encoding` as in Recipe."""
    if encoding == "jpeg":
        files = {
            "images": simplejpeg.encode_jpeg(sample.image, _QUALITY["images"], "RGB", "420"),
            "masks": simplejpeg.encode_jpeg(sample.mask[..., None], _QUALITY["masks"], "GRAY", "444"),
        }
    else:
        files = {"images": _png(sample.image), "masks": _png(sample.mask)}
    depth = Encoded({}, 0) if code is None else encode_depth(sample.inverse_depth, code, encoding)
    files |= depth.files
    if sample.ignore is not None:
        files["ignore"] = _bilevel_png(sample.ignore)
    return Encoded(files, depth.depth_clipped_px)


def encode_depth(inverse_depth: NDArray[np.float32], code: DepthCode, encoding: str) -> Encoded:
    """Encodes inverse depth [H, W] alone, as the file of depth/; pure."""
    codes, clipped = _depth_codes(inverse_depth, code)
    if encoding == "jpeg":
        return Encoded({"depth": simplejpeg.encode_jpeg(codes[..., None], _QUALITY["depth"], "GRAY", "444")}, clipped)
    return Encoded({"depth": _png(codes)}, clipped)


def coded_depth(inverse_depth: NDArray[np.float32], code: DepthCode) -> NDArray[np.float32]:
    """Inverse depth [H, W] rounded to the code and back: what a reader gets of a file without losses; pure."""
    codes, _ = _depth_codes(inverse_depth, code)
    decoded = np.empty(codes.shape, np.float32)
    _look_up(codes.ravel(), inverse_depth_table(code), decoded.ravel())
    return decoded


def _png(pixels: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png", compress_level=_PNG_LEVEL)
    return buffer.getvalue()


def _bilevel_png(pixels: NDArray[np.bool_]) -> bytes:
    """A 1-bit grey PNG (ISO/IEC 15948) of pixels [H, W], rows unfiltered. A tenth of the time that Pillow takes, which
    would be near half of a sample's."""
    height, width = pixels.shape
    lines = np.zeros((height, 1 + (width + 7) // 8), np.uint8)
    lines[:, 1:] = np.packbits(pixels, axis=1)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), _PNG_LEVEL)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
        for kind, data in parts
    )


def _depth_codes(inverse_depth: NDArray[np.float32], code: DepthCode) -> tuple[NDArray[Any], int]:
    """Grey levels of inverse depth [H, W], and how many pixels were nearer than the nearest one."""
    if code.code == "metres":
        with np.errstate(divide="ignore"):
            metres = np.float32(_DEPTH_SCALE) / inverse_depth
        known = np.clip(np.rint(metres), 1, 65535)
        return np.where(np.isnan(metres), 0, known).astype(np.uint16), 0
    largest = len(inverse_depth_table(code)) - 1
    if isinstance(code.range, tuple):
        far, near = code.range
    else:
        far, near = float(inverse_depth.min()), float(inverse_depth.max())
        near = near if near > far else far + 1.0
    codes = np.empty(inverse_depth.shape, np.uint8 if code.bits == 8 else np.uint16)
    factor = np.float32(largest / (near - far))
    clipped = _quantise(inverse_depth.ravel(), np.float32(far), factor, np.float32(largest), codes.ravel())
    return codes, int(clipped)


@compiled(nogil=True)
def _quantise(values, far, factor, largest, codes):  # type: ignore[no-untyped-def]
    """codes = round((values - far) * factor) within 0 and largest; returns how many lie a full level above it."""
    clipped = 0
    for n in range(len(values)):
        level = (values[n] - far) * factor + np.float32(0.5)
        clipped += level >= largest + np.float32(1.0)
        codes[n] = codes.dtype.type(max(np.float32(0.0), min(level, largest)))
    return clipped


@compiled(nogil=True)
def _look_up(codes, table, values):  # type: ignore[no-untyped-def]
    """values = table[codes], several times quicker than numpy does it for bytes."""
    for n in range(len(codes)):
        values[n] = table[codes[n]]
