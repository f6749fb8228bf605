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


def haze_shares(density: float, far: float) -> NDArray[np.float32]:
    """Return the share of haze at inverse depths n 4 / 512, in multiples of that of the nearest ground: float32 [513].

    The share at distance d is 1 - exp(-density d) (H. Koschmieder, 1924); distances beyond `far` count as `far`.
    """
    distances = [far] + [min(far, _STEPS / (_NEAREST * n)) for n in range(1, _STEPS + 1)]
    return np.array([1 - math.exp(-density * distance) for distance in distances], np.float32)


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
    for y in range(rows - 1, -1, -1):
        for x in range(columns):
            position = (inverse_depth[y, x] - level) * factor
            if position == position:
                position = min(max(position, np.float32(0.0)), last)
                below[x] = position
            else:
                position = below[x]
            n = min(int(position), _STEPS - 1)
            share = shares[n] + (shares[n + 1] - shares[n]) * (position - np.float32(n))
            for channel in range(3):
                value = np.float32(image[y, x, channel])
                image[y, x, channel] = np.uint8(value + (light[channel] - value) * share + np.float32(0.5))
