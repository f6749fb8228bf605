"""Random numbers as a pure function of (seed, stream, index): Philox4x64-10.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. It keeps a
counter instead of a state: any sample can be drawn alone, in any order, on any machine. Only
integer arithmetic is used.
"""

from enum import IntEnum

import numpy as np
from numba import uint64

from qumade.jit import compiled

__all__ = ["Stream", "resampled_seed", "uniforms"]


class Stream(IntEnum):
    """The purpose of a random number. Values define every dataset: never reuse or renumber them."""

    CROP = 0
    OBJECT_COUNT = 1
    FOREGROUND = 2
    PLACEMENT = 3
    SPLIT_BACKGROUND = 4
    SPLIT_FOREGROUND = 5
    POLICY = 7
    STANDING = 8
    RESAMPLE = 9
    EPOCH = 10
    AUGMENTATION = 11
    EFFECT_OBJECT = 20
    EFFECT_SAMPLE = 21
    DISTRACTOR = 22
    SPLIT_DISTRACTOR = 23
    NOISE = 24
    LAYOUT = 25
    ROW = 26
    SHARD = 30
    STREAMING = 31


_M0, _M1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_W0, _W1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
_LOW, _HALF, _DROP = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(11)
_TO_UNIT = 2.0**-53


@compiled(inline="always")
def _high(x, y):  # type: ignore[no-untyped-def]
    """Return the upper 64 bits of the 128-bit product."""
    x0, x1, y0, y1 = x & _LOW, x >> _HALF, y & _LOW, y >> _HALF
    middle = x1 * y0 + ((x0 * y0) >> _HALF)
    other = x0 * y1 + (middle & _LOW)
    return x1 * y1 + (middle >> _HALF) + (other >> _HALF)


@compiled()
def uniforms(seed, stream, index, item, attempt):  # type: ignore[no-untyped-def]
    """Return four floats in [0, 1) for the counter (index, item, attempt, 0) under the key (seed, stream)."""
    c0, c1, c2, c3 = uint64(index), uint64(item), uint64(attempt), uint64(0)
    k0, k1 = uint64(seed), uint64(stream)
    for _ in range(10):
        c0, c1, c2, c3 = _high(_M1, c2) ^ c1 ^ k0, _M1 * c2, _high(_M0, c0) ^ c3 ^ k1, _M0 * c0
        k0 += _W0
        k1 += _W1
    return (
        float(c0 >> _DROP) * _TO_UNIT,
        float(c1 >> _DROP) * _TO_UNIT,
        float(c2 >> _DROP) * _TO_UNIT,
        float(c3 >> _DROP) * _TO_UNIT,
    )


def resampled_seed(seed: int, draw: int) -> int:
    """Return the seed of the draw-th placement of all samples; for draw 0, the seed itself."""
    if draw == 0:
        return seed
    return int(uniforms(seed, int(Stream.RESAMPLE), draw, 0, 0)[0] / _TO_UNIT)
