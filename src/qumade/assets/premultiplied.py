"""Cut-outs whose colours were multiplied by alpha, as compositing programs keep them: drawn as they are, the object
gets a dark rim."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["looks_premultiplied", "straight"]

SOFT = (25, 230)  # alpha of the rim
SOLID = 250
NEAR_PX = 3  # how far from the rim its own colour is looked for
LEAST_LIGHT = 64  # darker objects do not tell
LEAST_PIXELS = 20
MOST_ABOVE = 0.02  # share of rim pixels that are brighter than their alpha allows


def looks_premultiplied(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> bool:
    """Return whether the rim of an object, rgb [H, W, 3] and alpha [H, W], is as dark as its alpha is low.

    No premultiplied colour is brighter than its alpha, and the rim's is alpha times that of the object beside it. Of a
    rim in straight colours it is that of the object.
    """
    soft = (alpha >= SOFT[0]) & (alpha <= SOFT[1])
    light = np.maximum(np.maximum(rgb[..., 0], rgb[..., 1]), rgb[..., 2])  # max(2) takes ten times as long
    if np.count_nonzero(soft) < LEAST_PIXELS or np.mean(light[soft] > alpha[soft] + 2.0) > MOST_ABOVE:
        return False
    beside = ndimage.maximum_filter(np.where(alpha >= SOLID, light, np.uint8(0)), 2 * NEAR_PX + 1)
    rim = soft & (beside >= LEAST_LIGHT)
    if np.count_nonzero(rim) < LEAST_PIXELS:
        return False
    ratio, share = light[rim] / beside[rim], alpha[rim] / 255
    return bool(np.median(np.abs(ratio - share)) < 0.5 * np.median(np.abs(ratio - 1)))


def straight(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return premultiplied colours uint8 [H, W, 3] divided by alpha [H, W]; black where alpha is 0."""
    share = np.maximum(alpha, 1)[..., None] / 255
    return np.where(alpha[..., None] > 0, np.clip(np.rint(rgb / share), 0, 255), 0).astype(np.uint8)
