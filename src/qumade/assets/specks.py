"""Tell an object from specks and haze around it, which an eraser, a network or a codec left.

Box, contact and size of a cut-out are those of the object. Its parts are the connected parts of alpha >= 128. A part
is a speck if it reaches out of the box of the larger ones and is tiny (below 0.2 % of the largest part), or small and
far from them (below 2 %, by more than 5 % of the box's longer side). Around the box stays a margin for soft edges.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from qumade.assets.coverage import OPAQUE

__all__ = ["FAINT", "Box", "CleanAlpha", "clean_alpha"]

FAINT = 8  # lower alpha is residue of an eraser or a codec: invisible, but it would enlarge the object's box
TINY, SMALL, FAR = 0.002, 0.02, 0.05
MARGIN_PX, MARGIN = 3, 0.02  # of the box's longer side: a soft edge
HALO_PX = 2  # around a speck
EIGHT = np.ones((3, 3), bool)

Mask = NDArray[np.bool_]


class Box(NamedTuple):
    """Pixels left <= u < right, top <= v < bottom."""

    left: int
    top: int
    right: int
    bottom: int


class CleanAlpha(NamedTuple):
    """Alpha uint8 [H, W] without specks, the box of the object with its soft edge, the number of specks and of their
    pixels, and of the faint pixels outside the box."""

    alpha: NDArray[np.uint8]
    box: Box
    specks: int
    speck_px: int
    haze_px: int


def clean_alpha(alpha: NDArray[np.uint8]) -> CleanAlpha:
    """Find the object in an alpha uint8 [H, W] with at least one pixel of 128."""
    parts, count = ndimage.label(alpha >= OPAQUE, EIGHT)
    boxes = [Box(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(parts)]
    specks = _specks(parts, boxes) if count > 1 else []
    kept = _around([box for number, box in enumerate(boxes) if number not in specks])
    speck_px = 0
    if specks:
        dropped = np.isin(parts, [number + 1 for number in specks])
        speck_px = int(np.count_nonzero(dropped))
        halo = ndimage.binary_dilation(dropped, EIGHT, HALO_PX)
        halo[kept.top : kept.bottom, kept.left : kept.right] = False
        alpha = np.where(halo, np.uint8(0), alpha)
    visible = alpha >= FAINT
    margin = max(MARGIN_PX, round(MARGIN * max(kept.right - kept.left, kept.bottom - kept.top)))
    around = np.zeros_like(visible)
    around[max(0, kept.top - margin) : kept.bottom + margin, max(0, kept.left - margin) : kept.right + margin] = True
    haze_px = int(np.count_nonzero(visible & ~around))
    return CleanAlpha(alpha, _box_of(visible & around), len(specks), speck_px, haze_px)


def _specks(parts: NDArray[np.int32], boxes: list[Box]) -> list[int]:
    """Return the numbers of the parts that are specks."""
    sizes = np.bincount(parts.ravel(), minlength=len(boxes) + 1)[1:]
    largest = sizes.max()
    large = sizes >= SMALL * largest
    kept = _around([box for box, keep in zip(boxes, large, strict=True) if keep])
    outside = [number for number, box in enumerate(boxes) if not large[number] and _reaches_out(box, kept)]
    if not outside:
        return []
    far = FAR * max(kept.right - kept.left, kept.bottom - kept.top)
    away_px = ndimage.distance_transform_edt(~np.isin(parts, np.flatnonzero(large) + 1))
    nearest = ndimage.minimum(away_px, parts, np.array(outside) + 1)
    return [
        number
        for number, distance in zip(outside, nearest, strict=True)
        if sizes[number] < TINY * largest or distance > far
    ]


def _reaches_out(box: Box, kept: Box) -> bool:
    return box.left < kept.left or box.top < kept.top or box.right > kept.right or box.bottom > kept.bottom


def _around(boxes: list[Box]) -> Box:
    left, top, right, bottom = zip(*boxes, strict=True)
    return Box(min(left), min(top), max(right), max(bottom))


def _box_of(inside: Mask) -> Box:
    columns, rows = np.flatnonzero(inside.any(axis=0)), np.flatnonzero(inside.any(axis=1))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
