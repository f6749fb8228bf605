"""Whether a mask can be coverage: 255 where the object is, 0 elsewhere, and levels between only along its edge.

Files of other kinds look like masks too: maps of class ids, trimaps, masks of another range, inverted masks.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOSSY_BLACK", "LOSSY_WHITE", "OPAQUE", "coverage_problem", "flat_share", "looks_inverted"]

OPAQUE = 128  # coverage of at least one half: the pixel belongs to the object
LOSSY_BLACK, LOSSY_WHITE = 16, 239  # JPEG rings around hard edges by a few levels
SOFT_BLACK, SOFT_WHITE = 8, 247  # the flat ends of a soft edge
NOISE = 2  # levels between neighbours that are equal but for a codec

MOST_FLAT, MOST_FLAT_OF_FEW, FEW = 0.5, 0.05, 16  # shares of the non-zero pixels; number of levels
LEAST_FLAT_PX = 16  # fewer flat pixels tell nothing
BORDER = 0.95

Grey = NDArray[np.uint8]


def coverage_problem(levels: Grey, *, lossy: bool = False) -> str | None:
    """Return what a mask [H, W] looks like if it is no coverage, None if it may be. `lossy`: from a JPEG.

    In coverage, levels between 0 and 255 lie along edges. Areas of such a level are classes or codes.
    """
    low, high = (LOSSY_BLACK, LOSSY_WHITE) if lossy else (0, 255)
    if not ((levels > 0) & (levels < high)).any():
        return None
    counts = np.bincount(levels.ravel(), minlength=256)
    present = np.flatnonzero(counts[1:]) + 1
    if not lossy and len(present) > 2 * FEW:
        low, high = SOFT_BLACK, SOFT_WHITE
    if present[-1] < OPAQUE and (len(present) <= 3 or (lossy and counts[present[-1] // 2 + 1 :].sum() > LEAST_FLAT_PX)):
        return _looks(counts, present)
    flat = _flat(levels, low, high)
    count = np.count_nonzero(flat)
    if count < LEAST_FLAT_PX:
        return None
    share = count / max(1, int(counts[low + 1 :].sum()))
    held = np.bincount(levels[1:-1, 1:-1][flat], minlength=256)
    few = np.count_nonzero(held > 0.01 * count) <= FEW
    if share > MOST_FLAT or (few and share > MOST_FLAT_OF_FEW):
        return _looks(counts, present[(held[present] > 0.01 * count) | (counts[present] > 0.01 * levels.size)])
    return None


def flat_share(alpha: Grey) -> float:
    """Return the share of the visible pixels of an alpha [H, W] that lie in areas of a level between 0 and 255."""
    visible = np.count_nonzero(alpha)
    return float(np.count_nonzero(_flat(alpha, 0, 250)) / visible) if visible else 0.0


def looks_inverted(levels: Grey) -> bool:
    """Return whether a mask [H, W] covers all four edges of the picture, but not all of it."""
    opaque = levels >= OPAQUE
    edges = (opaque[0], opaque[-1], opaque[:, 0], opaque[:, -1])
    return bool(min(edge.mean() for edge in edges) >= BORDER and not opaque.all())


def _flat(levels: Grey, low: int, high: int) -> NDArray[np.bool_]:
    """Return which inner pixels [H - 2, W - 2] are between two levels, as are their four neighbours at equal level."""
    centre = levels[1:-1, 1:-1]
    flat = (centre > low) & (centre < high)
    if not flat.any():
        return flat
    signed = levels.astype(np.int16)
    for neighbour in (signed[:-2, 1:-1], signed[2:, 1:-1], signed[1:-1, :-2], signed[1:-1, 2:]):
        flat &= np.abs(neighbour - signed[1:-1, 1:-1]) <= NOISE
    return flat


def _looks(counts: NDArray[np.int64], levels: NDArray[np.int64]) -> str:
    shares = [f"{level} ({counts[level] / counts.sum():.1%})" for level in levels[:5].tolist()]
    more = f" and {len(levels) - 5} more" if len(levels) > 5 else ""
    return f"areas of level {', '.join(shares)}{more}, as in a map of class ids"
