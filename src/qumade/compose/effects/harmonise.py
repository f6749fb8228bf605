"""Fit a layer to the photo around it: mean and contrast of its colours, and its sharpness."""

import math

import numpy as np
from numpy.typing import NDArray

from qumade.compose.effects.filters import filtered, gaussian_taps
from qumade.jit import compiled

__all__ = ["edge_blur_px", "harmonised", "recoloured", "surroundings"]

_LEAST_PIXELS = 16
_LEAST_WINDOW = 12
_SHARE = 0.75  # half the side of the window around a contact, as a share of the longer side of the object
_GAINS = 0.5, 2.0  # limits of the change of contrast
_OPAQUE, _FULL = np.float32(254.0), np.float32(255.0)
_LARGEST_BLUR_PX = 2.0


def harmonised(
    pixels: NDArray[np.float32], photo: NDArray[np.uint8], strength: float
) -> NDArray[np.float32]:  # fmt: skip
    """Return the pixels of a layer [h, w, 4], fitted by `strength` in [0, 1] to a window of a photo uint8 [H, W, 3].

    Blurs the layer, never sharpens it. Layers or windows of a few pixels have no statistics: they change nothing.
    """
    if strength <= 0 or min(photo.shape[:2]) < 4:
        return pixels
    own, around = _layer_statistics(pixels), _photo_statistics(photo)
    if own[0] < _LEAST_PIXELS:
        return pixels
    fitted: NDArray[np.float32] = recoloured(pixels, own[1:4], own[4:7], around[1:4], around[4:7], strength)
    blur_px = math.sqrt(max(0.0, edge_blur_px(*around[7:].tolist()) ** 2 - edge_blur_px(*own[7:].tolist()) ** 2))
    taps = gaussian_taps(strength * min(blur_px, _LARGEST_BLUR_PX))
    if len(taps) > 1:
        fitted = filtered(fitted, taps)
    return fitted


def surroundings(
    photo: NDArray[np.uint8], contact: tuple[float, float], size: tuple[float, float]
) -> NDArray[np.uint8]:
    """Return the window of a photo [H, W, 3] around the contact (u, v) of an object of `size` (width, height)."""
    rows, columns, _ = photo.shape
    half = max(_LEAST_WINDOW, _SHARE * max(size))
    left, right = (int(min(max(contact[0] + side, 0), columns)) for side in (-half, half))
    top, bottom = (int(min(max(contact[1] + side, 0), rows)) for side in (-half, half))
    return photo[top:bottom, left:right]


def edge_blur_px(one: float, two: float) -> float:
    """Return the Gaussian blur of an edge whose squared differences over one and two pixels sum to `one` and `two`.

    For a step blurred with standard deviation s, the sum over a pixels is E|D + a| - E|D|, where D is normal with
    standard deviation sqrt(2) s: the energy distance of two normal distributions. The ratio of both sums falls from 1/2
    for a sharp edge to 1/4; it does not depend on the contrast. Noise and texture count as sharp.
    """
    return float(np.interp(-one / two, _RATIOS, _BLURS)) if two > 0 else 0.0


def _edge_energy(blur_px: float, distance: float) -> float:
    spread = math.sqrt(2) * blur_px
    gauss = spread * math.sqrt(2 / math.pi)
    return gauss * (math.exp(-0.5 * (distance / spread) ** 2) - 1) + distance * math.erf(
        distance / (spread * math.sqrt(2))
    )


_BLURS = np.linspace(0.05, 3.0, 60)
_RATIOS = np.array([-_edge_energy(blur, 1) / _edge_energy(blur, 2) for blur in _BLURS])


@compiled(nogil=True)
def _photo_statistics(photo):  # type: ignore[no-untyped-def]
    """Return number of pixels, mean and standard deviation of each channel, and sums of squared differences of green
    over one and two columns."""
    found = np.zeros(9)
    rows, columns, _ = photo.shape
    for y in range(rows):
        values = photo[y].reshape(-1)
        for channel in range(3):
            total, squares = np.int64(0), np.int64(0)
            for x in range(columns):
                value = np.int64(values[3 * x + channel])
                total += value
                squares += value * value
            found[1 + channel] += total
            found[4 + channel] += squares
        one, two = np.int64(0), np.int64(0)
        for x in range(2, columns):
            value = np.int64(values[3 * x + 1])
            one += (value - np.int64(values[3 * x - 2])) ** 2
            two += (value - np.int64(values[3 * x - 5])) ** 2
        found[7] += one
        found[8] += two
    found[0] = rows * columns
    _finish(found)
    return found


@compiled(nogil=True)
def _layer_statistics(pixels):  # type: ignore[no-untyped-def]
    """Return the same over the opaque pixels of a layer."""
    found = np.zeros(9)
    for y in range(pixels.shape[0]):
        run = 0  # opaque pixels in a row
        for x in range(pixels.shape[1]):
            if pixels[y, x, 3] < _OPAQUE:
                run = 0
                continue
            run += 1
            found[0] += 1
            for channel in range(3):
                value = float(pixels[y, x, channel])
                found[1 + channel] += value
                found[4 + channel] += value * value
            if run >= 3:
                value = float(pixels[y, x, 1])
                found[7] += (value - pixels[y, x - 1, 1]) ** 2
                found[8] += (value - pixels[y, x - 2, 1]) ** 2
    _finish(found)
    return found


@compiled(nogil=True)
def _finish(found):  # type: ignore[no-untyped-def]
    """Turn sums into means and standard deviations, in place."""
    count = max(found[0], 1.0)
    for channel in range(3):
        mean = found[1 + channel] / count
        found[1 + channel] = mean
        found[4 + channel] = np.sqrt(max(found[4 + channel] / count - mean * mean, 0.0))


@compiled(nogil=True)
def recoloured(pixels, mean, spread, wanted_mean, wanted_spread, strength):  # type: ignore[no-untyped-def]
    """Return a layer whose colours are moved by `strength` from one mean and standard deviation per channel to another.

    The contrast of all channels changes by one factor of at most 2: a yellow object on grey ground would otherwise get
    blue wheels. See E. Reinhard et al., "Color transfer between images", 2001.
    """
    ratio = np.sqrt(np.sum(wanted_spread**2) / max(np.sum(spread**2), 1e-9))
    factor = 1.0 + strength * (min(max(ratio, _GAINS[0]), _GAINS[1]) - 1.0)
    gain, offset = np.float32(factor), np.empty(3, np.float32)
    for channel in range(3):
        offset[channel] = mean[channel] * (1.0 - factor) + strength * (wanted_mean[channel] - mean[channel])
    result = np.zeros_like(pixels)
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            alpha = pixels[y, x, 3]
            if alpha > np.float32(0.0):
                share = alpha / _FULL
                for channel in range(3):
                    value = pixels[y, x, channel] / share * gain + offset[channel]
                    result[y, x, channel] = min(max(value, np.float32(0.0)), _FULL) * share
                result[y, x, 3] = alpha
    return result
