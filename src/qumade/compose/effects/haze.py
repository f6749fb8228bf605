"""Haze: distant pixels fade to the colour of the air."""

import math

import numpy as np
from numpy.typing import NDArray

from qumade.jit import compiled

__all__ = ["haze_shares", "nearest_ground", "veil"]

_STEPS = 512
_NEAREST = 4.0  # inverse depth in multiples of that of the nearest ground, up to which shares are tabulated


def nearest_ground(inverse_depth: NDArray[np.float32], horizon_level: float) -> float:
    """Return the inverse depth at the lower edge of a depth map [H, W], relative to that at infinity.

    It is the median of the known values in the lowest row that has any; 0 if no pixel is nearer than infinity.
    """
    for row in inverse_depth[::-1]:
        known = row[row > horizon_level]  # False for NaN
        if known.size:
            return float(np.median(known)) - horizon_level
    return 0.0


@compiled(nogil=True)
def haze_shares(density, far):  # type: ignore[no-untyped-def]
    """Return the share of haze at inverse depths n 4 / 512, in multiples of that of the nearest ground: float32 [513].

    The share at distance d is 1 - exp(-density d) (H. Koschmieder, 1924); distances beyond `far` count as `far`.
    """
    shares = np.empty(_STEPS + 1, np.float32)
    for n in range(_STEPS + 1):
        distance = far if n == 0 else min(far, _STEPS / (_NEAREST * n))
        shares[n] = 1.0 - math.exp(-density * distance)
    return shares


@compiled(nogil=True)
def veil(image, inverse_depth, horizon_level, nearest, shares, light):  # type: ignore[no-untyped-def]
    """Mix an image uint8 [H, W, 3] with haze of colour `light` float32 [3], in place.

    `shares` is that of `haze_shares`. Pixels at infinity or beyond have the most haze. A pixel of unknown depth (NaN)
    counts as far as the next known pixel below it.
    """
    rows, columns = inverse_depth.shape
    factor = np.float32(_STEPS / (_NEAREST * nearest))
    level, last = np.float32(horizon_level), np.float32(_STEPS)
    below = np.full(columns, np.float32(_STEPS / _NEAREST))
    share = np.empty(3 * columns, np.float32)
    added = np.empty(3 * columns, np.float32)
    for y in range(rows - 1, -1, -1):
        depths = inverse_depth[y]
        for x in range(columns):
            position = (depths[x] - level) * factor
            if position == position:
                below[x] = min(max(position, np.float32(0.0)), last)
            position = below[x]
            n = min(int(position), _STEPS - 1)
            mixed = shares[n] + (shares[n + 1] - shares[n]) * (position - np.float32(n))
            for channel in range(3):
                share[3 * x + channel] = np.float32(1.0) - mixed
                added[3 * x + channel] = light[channel] * mixed + np.float32(0.5)
        values = image[y].reshape(-1)
        for n in range(3 * columns):
            values[n] = np.uint8(np.int32(np.float32(values[n]) * share[n] + added[n]))
