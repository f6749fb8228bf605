"""Separable filters of small pictures, and rounding to bytes. Compiled."""

import math

import numpy as np
from numpy.typing import NDArray

from qumade.jit import compiled

__all__ = ["box_taps", "filtered", "gaussian_taps", "rounded"]

_REACH = 3.0  # the Gaussian is cut off at this many standard deviations
_ROUNDING = np.float32(0.5)


def gaussian_taps(sigma_px: float) -> NDArray[np.float32]:
    """Return the taps of a Gaussian float32 [2 n + 1], which add up to 1. One tap means that nothing changes."""
    reach = math.ceil(_REACH * sigma_px) if sigma_px >= 0.2 else 0  # below, the neighbours weigh less than 4e-6
    weights = [math.exp(-0.5 * (n / sigma_px) ** 2) if reach else 1.0 for n in range(-reach, reach + 1)]
    return np.array([weight / math.fsum(weights) for weight in weights], np.float32)


def box_taps(half_px: float) -> NDArray[np.float32]:
    """Return the taps of a mean over 2 `half_px` pixels; the outermost are counted in part."""
    reach = math.ceil(half_px - 0.5)
    weights = [max(0.0, min(n + 0.5, half_px) - max(n - 0.5, -half_px)) for n in range(-reach, reach + 1)]
    return np.array([weight / math.fsum(weights) for weight in weights], np.float32)


@compiled(nogil=True)
def filtered(planes, taps):  # type: ignore[no-untyped-def]
    """Return planes [H, W, C] filtered by `taps` in both directions, float32. Pixels of the edge are repeated."""
    rows, columns, channels = planes.shape
    reach, length = len(taps) // 2, columns * channels
    line = np.empty((columns + 2 * reach) * channels, np.float32)
    across = np.zeros((rows, length), np.float32)
    result = np.zeros((rows, length), np.float32)
    flat = planes.reshape(rows, length)
    # Slices of known length let the compiler use vector instructions.
    for y in range(rows):
        given, middle = flat[y], line[reach * channels : reach * channels + length]
        for n in range(length):
            middle[n] = np.float32(given[n])
        for n in range(reach * channels):
            line[n] = middle[n % channels]
            line[n + reach * channels + length] = middle[length - channels + n % channels]
        target = across[y]
        for tap in range(len(taps)):
            weight, source = taps[tap], line[tap * channels : tap * channels + length]
            for n in range(length):
                target[n] += weight * source[n]
    for y in range(rows):
        target = result[y]
        for tap in range(len(taps)):
            weight, source = taps[tap], across[min(max(y + tap - reach, 0), rows - 1)]
            for n in range(length):
                target[n] += weight * source[n]
    return result.reshape(rows, columns, channels)


@compiled(nogil=True)
def rounded(planes):  # type: ignore[no-untyped-def]
    """Return float32 planes [H, W, C] of 0 to 255 as uint8, rounded."""
    result = np.empty(planes.shape, np.uint8)
    source, target = planes.reshape(-1), result.reshape(-1)
    for n in range(len(source)):
        target[n] = np.uint8(np.int32(source[n] + _ROUNDING))
    return result
