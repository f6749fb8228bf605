"""Inverse depth to grey levels and back. Every depth file that the package reads or writes goes through here."""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qumade.depth.encoding import DepthEncoding
from qumade.jit import compiled

__all__ = ["decode_depth", "encode_depth", "inverse_depth_table", "quantized_depth"]


def encode_depth(inverse_depth: NDArray[np.float32], encoding: DepthEncoding) -> tuple[NDArray[Any], int]:
    """Grey levels [H, W] of inverse depth float32 [H, W], uint8 or uint16; and how many pixels are clipped: a full
    level or more nearer than the nearest level.

    Metres encode unknown depth (NaN) as 0. Other encodings have no level for it; NaN becomes the farthest.
    """
    if encoding.depth_scale is not None:
        with np.errstate(divide="ignore"):
            scaled = np.float32(encoding.depth_scale) / inverse_depth
        known = np.clip(np.rint(scaled), 1, 65535)
        return np.where(np.isnan(inverse_depth), 0, known).astype(np.uint16), 0
    largest = (1 << encoding.bits) - 1
    if isinstance(encoding.range, tuple):
        far, near = encoding.range
    else:
        far, near = float(inverse_depth.min()), float(inverse_depth.max())
        near = near if near > far else far + 1.0
    levels = np.empty(inverse_depth.shape, np.uint8 if encoding.bits == 8 else np.uint16)
    factor = np.float32(largest / (near - far))
    values = np.ascontiguousarray(inverse_depth, np.float32).ravel()
    clipped = _quantise(values, np.float32(far), factor, np.float32(largest), levels.ravel())
    return levels, int(clipped)


def decode_depth(levels: NDArray[Any], encoding: DepthEncoding) -> NDArray[np.float32]:
    """Inverse depth float32 [H, W] of grey levels uint8 or uint16 [H, W]: 0 infinitely far, NaN unknown. The inverse of
    `encode_depth` up to half a level; of "image" ranges the share of each picture's own range, in [0, 1]."""
    decoded = np.empty(levels.shape, np.float32)
    _look_up(np.ascontiguousarray(levels).ravel(), inverse_depth_table(encoding), decoded.ravel())
    return decoded


def quantized_depth(inverse_depth: NDArray[np.float32], encoding: DepthEncoding) -> NDArray[np.float32]:
    """Inverse depth as a reader gets it from a lossless file: encoded and decoded again."""
    return decode_depth(encode_depth(inverse_depth, encoding)[0], encoding)


@functools.lru_cache(maxsize=8)
def inverse_depth_table(encoding: DepthEncoding) -> NDArray[np.float64]:
    """The inverse depth of every level, float64 [256 or 65536]: 0 infinitely far, NaN unknown; read-only."""
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
    """levels = round((values - far) * factor) within 0 and largest; returns how many lie a full level above it."""
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
    """values = table[levels], several times quicker than numpy does it for bytes."""
    for n in range(len(levels)):
        values[n] = table[levels[n]]
