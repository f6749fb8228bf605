"""A cut-out as a layer of its own, before it is blended: its edge, its colours, its sharpness can be changed first."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from qumade.compose.effects.filters import box_taps, filtered, gaussian_taps
from qumade.compose.kernel import paste
from qumade.compose.pyramid import Pyramid
from qumade.effects import Blend
from qumade.jit import compiled

__all__ = ["MARGIN", "Layer", "blended_edge", "cut_layer", "lay", "lay_photo"]

MARGIN = 6
"""Transparent pixels around the cut-out's box, into which it may be blurred."""

_HALF, _FULL = np.float32(127.5), np.float32(255.0)


class Layer(NamedTuple):
    """`pixels` float32 [h, w, 4]: red, green and blue times alpha / 255, then alpha, all 0 to 255. The upper left
    corner is at pixel (`x`, `y`) of the image, beyond whose edges the layer may reach."""

    pixels: NDArray[np.float32]
    x: int
    y: int


def cut_layer(
    pyramid: Pyramid,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    depth: float,
    occluder: NDArray[np.float32],
    horizon_level: float,
) -> Layer:
    """Return a cut-out as it would be pasted into `box` (left, top, width, height) of an image of `size` (width,
    height), without what the background hides. For the other arguments see `paste`."""
    left, top, width, height = box
    x0, x1 = _with_margin(left, width, size[0])
    y0, y1 = _with_margin(top, height, size[1])
    shape = max(1, y1 - y0), max(1, x1 - x0)
    if occluder.size:
        rows = np.clip(np.arange(y0, y0 + shape[0]), 0, size[1] - 1)
        columns = np.clip(np.arange(x0, x0 + shape[1]), 0, size[0] - 1)
        occluder = occluder[np.ix_(rows, columns)]
    colour, alpha = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8)
    paste(
        colour, alpha, np.zeros(shape, np.float32), np.zeros(shape, np.uint8), np.zeros(2, np.int64),
        occluder, horizon_level, pyramid.pixels, pyramid.levels, pyramid.relief, 1,
        np.float64(left - x0), np.float64(top - y0), np.float64(width), np.float64(height), np.float32(depth),
    )  # fmt: skip
    return Layer(_joined(colour, alpha), x0, y0)


def _with_margin(start: float, length: float, limit: int) -> tuple[int, int]:
    first, last = int(start) - MARGIN - 1, int(start + length) + MARGIN + 2
    return max(first, -MARGIN), min(last, limit + MARGIN)


def blended_edge(pixels: NDArray[np.float32], blend: Blend, edge_px: float) -> NDArray[np.float32]:
    """Return the pixels of a layer with another edge.

    hard: opaque where alpha is at least one half, transparent elsewhere. feather: alpha falls linearly to 0 over the
    last `edge_px` pixels inside a straight edge; parts that are thinner than `edge_px` keep their alpha. soften: alpha
    is blurred with standard deviation `edge_px`, and the colours are extended beyond the edge.
    """
    if blend == "hard":
        return _hard(pixels)  # type: ignore[no-any-return]
    if blend == "feather" and edge_px > 0:
        mean = filtered(np.ascontiguousarray(pixels[..., 3:]), box_taps(edge_px))[..., 0]
        # Over a thin part the mean is low everywhere. What counts is how far it is below that of the part's middle.
        middle = ndimage.maximum_filter(mean, 2 * math.ceil(edge_px) + 1, mode="nearest")
        return _feathered(pixels, mean, middle)  # type: ignore[no-any-return]
    if blend == "soften":
        return _softened(pixels, filtered(pixels, gaussian_taps(edge_px)))  # type: ignore[no-any-return]
    return pixels


@compiled(nogil=True)
def _joined(colour, alpha):  # type: ignore[no-untyped-def]
    rows, columns = alpha.shape
    pixels = np.empty((rows, columns, 4), np.float32)
    for y in range(rows):
        for x in range(columns):
            for channel in range(3):
                pixels[y, x, channel] = colour[y, x, channel]
            pixels[y, x, 3] = alpha[y, x]
    return pixels


@compiled(nogil=True)
def _hard(pixels):  # type: ignore[no-untyped-def]
    result = np.zeros_like(pixels)
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            alpha = pixels[y, x, 3]
            if alpha >= _HALF:
                for channel in range(4):
                    result[y, x, channel] = pixels[y, x, channel] * (_FULL / alpha)
    return result


@compiled(nogil=True)
def _feathered(pixels, mean, middle):  # type: ignore[no-untyped-def]
    """At distance d inside a straight edge, the mean of alpha over the width 2 w is (1 + d / w) / 2, and 1 in the
    middle."""
    least = np.float32(1e-3)
    result = np.empty_like(pixels)
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            share = np.float32(2.0) * mean[y, x] / max(middle[y, x], least) - np.float32(1.0)
            share = min(max(share, np.float32(0.0)), np.float32(1.0))
            for channel in range(4):
                result[y, x, channel] = pixels[y, x, channel] * share
    return result


@compiled(nogil=True)
def _softened(pixels, blurred):  # type: ignore[no-untyped-def]
    """Where the layer was opaque it keeps its colours; elsewhere it takes the blurred colours of its surroundings."""
    result = np.empty_like(pixels)
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            alpha = blurred[y, x, 3] / _FULL
            beyond = np.float32(1.0) - pixels[y, x, 3] / _FULL
            for channel in range(3):
                result[y, x, channel] = alpha * pixels[y, x, channel] + beyond * blurred[y, x, channel]
            result[y, x, 3] = blurred[y, x, 3]
    return result


@compiled(nogil=True)
def lay_photo(image, photo, pixels, x0, y0, right, down, present):  # type: ignore[no-untyped-def]
    """Blend a photo, from `right` and `down` pixels away, over an image in place, with the alpha of a layer.

    Where the photo ends nothing is drawn, nor from or onto the pixels in `present` bool [H, W], or [0, 0] for none.
    """
    rows, columns, _ = image.shape
    for y in range(max(0, -y0, -y0 - down), min(pixels.shape[0], rows - y0, rows - y0 - down)):
        for x in range(max(0, -x0, -x0 - right), min(pixels.shape[1], columns - x0, columns - x0 - right)):
            share = pixels[y, x, 3] / _FULL
            to_y, to_x = y + y0, x + x0
            from_y, from_x = to_y + down, to_x + right
            if share > np.float32(0.0) and not (present.size > 0 and (present[to_y, to_x] or present[from_y, from_x])):
                for channel in range(3):
                    before = np.float32(image[to_y, to_x, channel])
                    value = before + (np.float32(photo[from_y, from_x, channel]) - before) * share
                    image[to_y, to_x, channel] = np.uint8(value + np.float32(0.5))


@compiled(nogil=True)
def lay(image, pixels, x0, y0):  # type: ignore[no-untyped-def]
    """Blend a layer over an image uint8 [H, W, 3] in place: source over destination, rounded."""
    rows, columns, _ = image.shape
    for y in range(max(0, -y0), min(pixels.shape[0], rows - y0)):
        for x in range(max(0, -x0), min(pixels.shape[1], columns - x0)):
            through = np.float32(1.0) - pixels[y, x, 3] / _FULL
            if through < np.float32(1.0):
                for channel in range(3):
                    value = pixels[y, x, channel] + np.float32(image[y + y0, x + x0, channel]) * through
                    image[y + y0, x + x0, channel] = np.uint8(min(max(value, np.float32(0)) + np.float32(0.5), _FULL))
