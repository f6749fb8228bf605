"""Depth of a photo from its label map alone: ground lies flat, sky is infinitely far, and all else stands upright where
it meets the ground.

A facade, a tree or a car is taken for a vertical surface: its inverse depth is that of the ground at its foot, all the
way up. Where something hides the foot, it is interpolated between the parts that show it, for the inverse depth of a
plane is linear along a row.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from qumade.assets.label_names import alike, resolve_ids
from qumade.assets.label_scheme import LabelScheme
from qumade.assets.labels import target_pixels
from qumade.geometry import GroundPlane, inverse_depth_map

__all__ = ["farthest_ground", "things_depth", "upright_prior"]

FARTHEST = 50.0
"""Distance, in multiples of that at the lower edge, beyond which a foot is not believed: the horizon is a few pixels
off in every photo."""
MOST_PX = 512
LEAST_GROUND = 5e-4  # share of the photo; a smaller patch of ground is label noise
SMOOTH = 0.05  # share of the width over which the foot of a thing is smoothed

_LYING = (
    "road", "sidewalk", "pavement", "terrain", "floor", "grass", "earth", "path", "field", "land", "sand", "dirt track",
    "runway", "rug", "water", "sea", "river", "lake", "parking", "rail track", "ground", "lane markings",
    "other lane markings", "road shoulder", "parking block",
)  # fmt: skip

Labels = NDArray[np.int32]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


def things_depth(labels: Labels, scheme: LabelScheme, plane: GroundPlane) -> NDArray[np.float16]:
    """Return the inverse depth of what stands and of the sky, float16 [h, w], and NaN on the ground.

    `labels` [H, W] belong to a photo with a known ground plane, whose unit this is. At most 512 a side come back: a
    foot is not known more exactly, and the ground, which changes with every row, is left to `upright_prior`. The sky is
    0. What is not labelled counts as what is labelled next to it. A thing that meets the ground nowhere has the depth
    of what it is seen above.
    """
    step = -(-max(labels.shape) // MOST_PX)
    plane = plane.resized(-(-labels.shape[1] // step) / labels.shape[1], -(-labels.shape[0] // step) / labels.shape[0])
    rows, columns = (_middles(side, step) for side in labels.shape)
    labels = _without_holes(labels[np.ix_(rows, columns)], scheme.named)
    height, width = labels.shape
    between: NDArray[np.float64] = np.arange(height + 1, dtype=np.float64)[:, None]  # the rows
    middle: NDArray[np.float64] = np.arange(width, dtype=np.float64)[None, :] + 0.5
    on_ground = np.maximum(plane.inverse_depth(middle, between), farthest_ground(plane, width, height))
    sky = target_pixels(labels, scheme.sky)
    ground = _without_specks(target_pixels(labels, _lying_ids(scheme)))
    standing = ~(sky | ground)
    depth = np.where(sky, 0.0, np.nan)
    foot = np.zeros(labels.shape, np.bool_)
    foot[:-1] = standing[:-1] & ground[1:]
    foot[-1] = standing[-1]
    things, count = _things(labels, standing)
    for thing, window in enumerate(ndimage.find_objects(things, count), 1):
        here = things[window] == thing
        feet = here & foot[window]
        seen = np.flatnonzero(feet.any(axis=0))
        if not len(seen):
            continue
        lowest = window[0].start + len(here) - np.argmax(feet[::-1], axis=0)[seen]
        values = _smooth(on_ground[lowest, window[1].start + seen], round(SMOOTH * width))
        along = np.interp(np.arange(here.shape[1]), seen, values)
        depth[window] = np.where(here, along[None, :], depth[window])
    return np.where(standing, _filled_from_below(depth, ~standing), depth).astype(np.float16)


def upright_prior(things: NDArray[np.float16], plane: GroundPlane, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Return the inverse depth of a photo at `size` (width, height), that of its things and on the ground that of its
    plane, which is given at this size; and that of its things alone, which may hide objects: 0 on the ground. Both are
    float32 [H, W]."""
    width, height = size
    resized = np.asarray(Image.fromarray(things.astype(np.float32)).resize(size, Image.Resampling.NEAREST))
    ground = np.maximum(inverse_depth_map(plane, width, height), np.float32(farthest_ground(plane, width, height)))
    return np.where(np.isnan(resized), ground, resized), np.nan_to_num(resized)


def farthest_ground(plane: GroundPlane, width: int, height: int) -> float:
    """Return the inverse depth of the farthest ground that is believed, in a photo of this size and with this plane. No
    object stands farther away: it would lie behind the ground that it is seen on."""
    return float(plane.inverse_depth(width / 2, height - 0.5)) / FARTHEST


def _middles(side: int, step: int) -> NDArray[np.int64]:
    """Return the pixels in the middle of each `step`, the last of which may be cut off."""
    return np.minimum(np.arange(step // 2, side + step // 2, step), side - 1)


def _lying_ids(scheme: LabelScheme) -> frozenset[int]:
    """Return the ids of all classes that lie on the ground, or on which objects may stand."""
    names = {*alike(scheme.table, _LYING)} | {name for place in scheme.places for name in place}
    return resolve_ids(scheme.table, sorted(names))


def _without_holes(labels: Labels, named: frozenset[int]) -> Labels:
    unknown = ~target_pixels(labels, named)
    if not unknown.any() or unknown.all():
        return labels
    nearest = ndimage.distance_transform_edt(unknown, return_distances=False, return_indices=True)
    filled: Labels = labels[tuple(nearest)]
    return filled


def _without_specks(ground: Bools) -> Bools:
    patches, _ = ndimage.label(ground)
    sizes = np.bincount(patches.ravel())
    large = sizes >= LEAST_GROUND * ground.size
    large[0] = False
    kept: Bools = large[patches]
    return kept


def _things(labels: Labels, standing: Bools) -> tuple[NDArray[np.int32], int]:
    """Number the connected parts of each standing class from 1."""
    things = np.zeros(labels.shape, np.int32)
    count = 0
    for number in np.unique(labels[standing]):
        parts, found = ndimage.label(standing & (labels == number))
        things = np.where(parts > 0, parts + count, things)
        count += found
    return things, count


def _smooth(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """A median along the foot removes the steps that a ragged label map makes."""
    smoothed: NDArray[np.float64] = ndimage.median_filter(values, min(2 * (size // 2) + 1, len(values)), mode="nearest")
    return smoothed


def _filled_from_below(depth: NDArray[np.float64], others: Bools) -> NDArray[np.float64]:
    """Give unknown pixels the value of the next known one below; there is one before the next of the others."""
    known = others | ~np.isnan(depth)
    rows = np.where(known, np.arange(len(depth))[:, None], len(depth))
    nearest_below = np.minimum.accumulate(rows[::-1], axis=0)[::-1]
    return np.take_along_axis(depth, nearest_below, axis=0)
