"""Build image pyramids of cut-outs in premultiplied alpha for the pixel kernel."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["LEVEL_STEP", "Pyramid", "build_pyramid"]

LEVEL_STEP = math.sqrt(2.0)
"""Each level is smaller than the one before by this factor. Bilinear sampling hardly aliases up to it."""


class Pyramid(NamedTuple):
    """Levels of one cut-out in one array, each with a transparent border of one pixel.

    `pixels` uint16 [total, 4]: red, green and blue times alpha, then alpha, each 0 to 65535. With sixteen bits the
    coverage of a soft edge survives premultiplying, shrinking and blending to within half an 8-bit level.
    `levels` int64 [levels, 3]: start in `pixels`, then width and height without the border. `width`, `height`: size of
    the original cut-out. `relief` float32 [height, width]: signed metres along the view axis behind the contact; [0, 0]
    for a flat object.
    """

    pixels: NDArray[np.uint16]
    levels: NDArray[np.int64]
    width: int
    height: int
    relief: NDArray[np.float32]


def build_pyramid(rgba: NDArray[np.uint8], largest_px: float, relief: NDArray[np.float32] | None = None) -> Pyramid:
    """Build the pyramid of a straight-alpha cut-out uint8 [H, W, 4].

    `largest_px` is the longest side at which the cut-out will be drawn; levels that only larger sizes need are left
    out. `relief` is float32 [H, W], or None for a flat object. Each level is resized from the full-resolution
    premultiplied colours, so the colour under transparent pixels never bleeds into the boundary.
    """
    height, width = rgba.shape[:2]
    premultiplied = rgba.astype(np.float32) * np.float32(257.0)
    premultiplied[..., :3] *= premultiplied[..., 3:] / np.float32(65535.0)
    planes = [Image.fromarray(np.ascontiguousarray(premultiplied[..., channel])) for channel in range(4)]
    first = max(0, math.floor(math.log(max(width, height) / largest_px, LEVEL_STEP)))
    last = max(first, math.floor(math.log(max(width, height), LEVEL_STEP)))
    pixels, levels, start = [], [], 0
    for level in range(first, last + 1):
        factor = LEVEL_STEP**level
        size = max(1, math.ceil(width / factor)), max(1, math.ceil(height / factor))
        # The Hamming filter never overshoots. Pillow's box filter takes whole pixels only: it shifts edges by up to
        # half a pixel between two sizes and passes fine patterns at full contrast.
        shrunk = planes if level == 0 else [plane.resize(size, Image.Resampling.HAMMING) for plane in planes]
        bordered = np.zeros((size[1] + 2, size[0] + 2, 4), np.uint16)
        bordered[1:-1, 1:-1] = np.clip(np.rint(np.stack([np.asarray(plane) for plane in shrunk], -1)), 0, 65535)
        pixels.append(bordered.reshape(-1, 4))
        levels.append((start, *size))
        start += len(pixels[-1])
    flat = np.zeros((0, 0), np.float32)
    return Pyramid(
        np.concatenate(pixels), np.array(levels, np.int64), width, height, flat if relief is None else relief
    )
