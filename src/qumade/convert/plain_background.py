"""Cut an object out of a picture with a plain background, such as paper or a studio's wall, without a network.

The background is what is joined to the picture's edge and has nearly its colours. Everything else is the object.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["NotPlain", "plain_background_alpha"]

_EDGE_SHARE = 0.03  # of the shorter side: the frame that shows the background
_PLAIN = 0.75  # share of the frame that must have its usual colour: the object may reach over the rest
_SPREADS = 4.0  # of the frame's colours, within which a pixel is background
_LEAST, _MOST = 12.0, 45.0  # levels: noise of JPEG at least; a wider band of colours is no plain background
_OBJECT = 0.01, 0.9  # share of the picture
_SLIT_SHARE = 0.02  # of the shorter side: narrower gaps are parts of the object that have the paper's colour
_SOFT_PX = 0.7


class NotPlain(ValueError):
    """The background of a picture is not plain; the message says why, without the file."""


def plain_background_alpha(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the alpha of the largest object in a picture uint8 [H, W, 3] with a plain background, uint8 [H, W].

    Raises NotPlain if the picture's edge has many colours, or if nothing or nearly everything would be left.
    """
    colours = ndimage.gaussian_filter(rgb.astype(np.float32), (1, 1, 0))
    height, width = rgb.shape[:2]
    frame = np.ones((height, width), np.bool_)
    wide = max(2, round(_EDGE_SHARE * min(height, width)))
    frame[wide:-wide, wide:-wide] = False
    usual = np.median(colours[frame], axis=0)
    distance = np.abs(colours - usual).max(axis=2)
    spread = 1.4826 * float(np.median(distance[frame]))
    limit = max(_LEAST, _SPREADS * spread)
    if limit > _MOST or (distance[frame] <= limit).mean() < _PLAIN:
        raise NotPlain("its edge has several colours, so the background is not plain")
    alike = distance <= limit
    patches, _ = ndimage.label(alike)
    at_edge = np.unique(patches[frame & alike])
    thing = ndimage.binary_opening(~np.isin(patches, at_edge[at_edge > 0]), iterations=1)
    parts, count = ndimage.label(thing, structure=np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    share = sizes.max() / thing.size
    if not _OBJECT[0] <= share <= _OBJECT[1]:
        raise NotPlain(f"its largest object would cover {share:.1%} of it, not {_OBJECT[0]:.0%} to {_OBJECT[1]:.0%}")
    inside = _closed(parts == sizes.argmax(), max(1, round(_SLIT_SHARE * min(height, width))))
    alpha: NDArray[np.uint8] = np.rint(255 * ndimage.gaussian_filter(inside.astype(np.float32), _SOFT_PX)).astype(
        np.uint8
    )
    return alpha


def _closed(inside: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Return a region without gaps narrower than twice the reach, and without holes."""
    padded = np.pad(inside, reach)
    closed = ndimage.binary_closing(padded, ndimage.generate_binary_structure(2, 1), iterations=reach)
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(closed)[reach:-reach, reach:-reach]
    return filled
