"""Encode inverse depth as grey levels and decode it. Every depth file of a dataset passes through this module."""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qumade.depth.encoding import DepthEncoding
from qumade.jit import compiled

__all__ = ["decode_depth", "encode_depth", "inverse_depth_table", "quantized_depth"]


def encode_depth(inverse_depth: NDArray[np.float32], encoding: DepthEncoding) -> tuple[NDArray[Any], int]:
    """Encode inverse depth float32 [H, W] as grey levels [H, W], uint8 or uint16, and count the clipped pixels.

    A pixel is clipped if it is nearer than the nearest level by a full level or more. Metres encode unknown depth (NaN)
    as 0. Other encodings have no level for it: NaN becomes the farthest level.
    """
    if encoding.depth_scale is not None:
        infinite = np.full(inverse_depth.shape, np.inf, np.float32)  # also for -0.0, whose quotient is negative
        scaled = np.divide(np.float32(encoding.depth_scale), inverse_depth, out=infinite, where=inverse_depth > 0)
        known = np.clip(np.rint(scaled), 1, 65535)
        return np.where(np.isnan(inverse_depth), 0, known).astype(np.uint16), 0
    largest = (1 << encoding.bits) - 1
    if isinstance(encoding.range, tuple):
        far, near = encoding.range
    else:
        far, near = (float(f.reduce(inverse_depth, axis=None)) for f in (np.fmin, np.fmax))  # both skip NaN
        near = near if near > far else far + 1.0
    levels = np.empty(inverse_depth.shape, np.uint8 if encoding.bits == 8 else np.uint16)
    factor = np.float32(largest / (near - far))
    values = np.ascontiguousarray(inverse_depth, np.float32).ravel()
    clipped = _quantise(values, np.float32(far), factor, np.float32(largest), levels.ravel())
    return levels, int(clipped)


def decode_depth(levels: NDArray[Any], encoding: DepthEncoding) -> NDArray[np.float32]:
    """Decode grey levels uint8 or uint16 [H, W] to inverse depth float32 [H, W]: 0 infinitely far, NaN unknown.

    This inverts `encode_depth` to within half a level. With range "image" the result is relative to each image's own
    range, in [0, 1].
    """
    decoded = np.empty(levels.shape, np.float32)
    _look_up(np.ascontiguousarray(levels).ravel(), inverse_depth_table(encoding), decoded.ravel())
    return decoded


def quantized_depth(inverse_depth: NDArray[np.float32], encoding: DepthEncoding) -> NDArray[np.float32]:
    """Encode inverse depth and decode it again, as a round trip through a lossless file does."""
    return decode_depth(encode_depth(inverse_depth, encoding)[0], encoding)


@functools.lru_cache(maxsize=8)
def inverse_depth_table(encoding: DepthEncoding) -> NDArray[np.float64]:
    """Return the inverse depth of every level, float64 [256 or 65536], read-only: 0 infinitely far, NaN unknown."""
    levels = np.arange(1 << encoding.bits, dtype=np.float64)
    if encoding.depth_scale is not None:
        table = np.full(levels.shape, np.nan)
        table[1:] = encoding.depth_scale / levels[1:]
        table[-1] = 0.0
    else:
        far, near = encoding.range if isinstance(encoding.range, tuple) else (0.0, 1.0)
        table = far + (near - far) * (levels / levels[-1])
    table.flags.writeable = False
    return table


@compiled(nogil=True)
def _quantise(values, far, factor, largest, levels):  # type: ignore[no-untyped-def]
    """Set levels = round((values - far) * factor) within 0 and largest; return how many exceed it by a full level."""
    clipped = 0
    for n in range(len(values)):
        level = (values[n] - far) * factor + np.float32(0.5)
        if np.isnan(level):
            levels[n] = 0
            continue
        clipped += level >= largest + np.float32(1.0)
        levels[n] = levels.dtype.type(max(np.float32(0.0), min(level, largest)))
    return clipped


@compiled(nogil=True)
def _look_up(levels, table, values):  # type: ignore[no-untyped-def]
    """Set values = table[levels], several times faster than numpy does it for bytes."""
    for n in range(len(levels)):
        values[n] = table[levels[n]]
