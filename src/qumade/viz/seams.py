"""Enlarged parts of a sample where an object meets its background: there, composites betray themselves."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qumade.viz.overlay import boundary

__all__ = ["SEAMS", "seams"]

SEAMS = 2
ENLARGED = 4


def seams(image: NDArray[np.uint8], mask: NDArray[np.uint8], side: int) -> list[Image.Image]:
    """Return square parts of an image, uint8 [H, W, 3], four times as large, `side` pixels wide or less: around the
    highest point of the seam of the mask, uint8 [H, W], and around the lowest, where the object stands. Nothing
    without a seam."""
    rows, columns = np.nonzero(boundary(mask >= 128))
    if not len(rows):
        return []
    height, width = mask.shape
    part = max(1, min(side // ENLARGED, height, width))
    shown = []
    for row in (rows.min(), rows.max()):
        column = int(np.median(columns[rows == row]))
        top = int(np.clip(row - part // 2, 0, height - part))
        left = int(np.clip(column - part // 2, 0, width - part))
        cut = Image.fromarray(np.ascontiguousarray(image[top : top + part, left : left + part]))
        shown.append(cut.resize((ENLARGED * part, ENLARGED * part), Image.Resampling.NEAREST))
    return shown
