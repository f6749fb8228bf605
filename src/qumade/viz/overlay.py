"""A mask drawn over its photo: a light tint and an outline, so that both stay visible."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["OUTLINE", "boundary", "mask_overlay"]

OUTLINE = (0, 255, 110)
TINT = 0.3
THRESHOLD = 0.5


def mask_overlay(image: NDArray[np.uint8], mask: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return a photo, uint8 [H, W, 3], with the pixels of a mask, [H, W] in 0..1, tinted where it is at least 0.5, and
    their boundary drawn."""
    inside = mask >= THRESHOLD
    colours = image.astype(np.float32)
    colours[inside] = (1 - TINT) * colours[inside] + TINT * np.array(OUTLINE, np.float32)
    colours[boundary(inside)] = OUTLINE
    drawn: NDArray[np.uint8] = np.clip(colours + 0.5, 0, 255).astype(np.uint8)
    return drawn


def boundary(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the inside pixels next to an outside one, bool [H, W]; the edge of the image is no boundary."""
    padded = np.pad(inside, 1, mode="edge")
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~core
