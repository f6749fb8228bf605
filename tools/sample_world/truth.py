"""Depth, instances, relief and contact that agree with a mask to the pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sample_world.render import FINE, Array

__all__ = ["contact_of", "encode_depth", "encode_relief", "nearest_sample", "relief_of", "settle"]

DEPTH_SCALE = 256
BEYOND = 65535
RELIEF_SCALE, RELIEF_ZERO = 1024, 32768


def nearest_sample(values: NDArray, valid: NDArray[np.bool_]) -> NDArray:
    """Sample a map [FINE H, FINE W] at pixel centres [H, W], taking the nearest sample that is valid."""
    if not valid.any():
        raise ValueError("Invalid pass: no sample is valid; the object is not in the picture.")
    rows, columns = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    middle = slice(FINE // 2, None, FINE)
    return values[rows[middle, middle], columns[middle, middle]]


def settle(
    mask: NDArray[np.uint8], fine_depth: Array, fine_index: NDArray[np.int32]
) -> tuple[Array, NDArray[np.uint8]]:
    """Return depth in metres and the instance map for a coverage mask [H, W]: instance != 0 exactly where mask >= 128.

    Geometry has no anti-aliasing; where a pixel centre lies on the other side of a silhouette than most of the
    coverage, the nearest finer sample on the correct side is used.
    """
    on = mask >= 128
    depth = nearest_sample(fine_depth, fine_index == 0)
    instances = np.zeros(mask.shape, dtype=np.uint8)
    if on.any():
        instances[on] = nearest_sample(fine_index, fine_index > 0)[on]
        depth = np.where(on, nearest_sample(fine_depth, fine_index > 0), depth)
    return depth, instances


def encode_depth(depth_m: Array) -> NDArray[np.uint16]:
    """Encode depth in 16 bits: metres x 256, 65535 for anything farther."""
    codes = np.rint(np.where(np.isinf(depth_m), 1e9, depth_m) * DEPTH_SCALE)
    return np.clip(codes, 1, BEYOND).astype(np.uint16)


def contact_of(alpha: NDArray[np.uint8]) -> tuple[int, int]:
    """Return column and row of the contact pixel: the middle of the lowest row that is at least half opaque."""
    rows = np.flatnonzero((alpha >= 128).any(axis=1))
    columns = np.flatnonzero(alpha[rows[-1]] >= 128)
    return int((columns[0] + columns[-1] + 1) // 2), int(rows[-1])


def relief_of(alpha: NDArray[np.uint8], fine_depth: Array) -> tuple[Array, float]:
    """Return relief in metres [H, W] from the contact along the view axis, and the depth of the contact pixel.

    The boundary (0 < alpha < 128) takes the relief of the nearest opaque pixel; outside it is NaN.
    """
    depth = nearest_sample(fine_depth, np.isfinite(fine_depth))
    rows, columns = ndimage.distance_transform_edt(alpha < 128, return_distances=False, return_indices=True)
    depth = depth[rows, columns]
    column, row = contact_of(alpha)
    stand = float(depth[row, column])
    return np.where(alpha > 0, depth - stand, np.nan).astype(np.float32), stand


def encode_relief(relief_m: Array) -> NDArray[np.uint16]:
    """Encode relief in 16 bits: 32768 + metres x 1024, 0 outside the object."""
    codes = np.clip(np.rint(RELIEF_ZERO + np.nan_to_num(relief_m) * RELIEF_SCALE), 1, 65535)
    return np.where(np.isnan(relief_m), 0, codes).astype(np.uint16)
