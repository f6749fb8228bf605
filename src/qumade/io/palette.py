"""The palettes of label maps: the colours of Pascal VOC, and those of a file."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qumade.io.encode import png_bytes
from qumade.io.pictures import read_picture

__all__ = ["palette_image", "palette_png", "read_palette", "voc_palette"]


def voc_palette() -> NDArray[np.uint8]:
    """Return the colour of each value, uint8 [256, 3].

    The bits of a value are spread over red, green and blue in turn, lowest first, from the highest bit of the colour
    down (M. Everingham et al., "The Pascal visual object classes challenge", IJCV 2010, development kit).
    """
    values, colours = np.arange(256), np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((values >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def palette_png(values: NDArray[np.uint8]) -> bytes:
    """Return a label map uint8 [H, W] as the bytes of a PNG in the colours of `voc_palette`."""
    return png_bytes(palette_image(values), 1)


def palette_image(values: NDArray[np.uint8]) -> Image.Image:
    """Return a label map uint8 [H, W] as a palette picture in the colours of `voc_palette`."""
    image = Image.fromarray(values)
    image.putpalette(voc_palette().ravel().tolist())
    return image


def read_palette(path: Path) -> NDArray[np.uint8] | None:
    """Return the colours of the values of a PNG that decodes, uint8 [values, 3]; None for one without a palette."""
    data = read_picture(path)
    at = 8  # after the signature: chunks of length, kind, data and checksum
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if kind == b"PLTE":
            colours = np.frombuffer(data[at + 8 : at + 8 + length], np.uint8)
            return colours[: len(colours) // 3 * 3].reshape(-1, 3)
        at += 12 + length
    return None
