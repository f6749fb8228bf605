"""Encode arrays and images as the bytes of PNG files."""

import io
from typing import Any

from numpy.typing import NDArray
from PIL import Image

__all__ = ["png_bytes"]


def png_bytes(pixels: NDArray[Any] | Image.Image, compress_level: int = 6) -> bytes:
    """Return an image, or pixels [H, W] or [H, W, C] of uint8, uint16 or bool, as the bytes of a PNG file.

    `compress_level` is zlib's, from 0 to 9. The levels above 1 take several times as long and save a tenth of the size.
    """
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, "png", compress_level=compress_level)
    return buffer.getvalue()
