"""Cut-outs from labelled photos: selects objects that are complete and unoccluded, or so on all sides but one, and cuts
them out.

All functions are pure. The rules were tuned by eye on the cars of CamVid at 480x360, whose labels are accurate to about
one pixel.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from qumade.assets.cut_sides import CutSide
from qumade.assets.specks import FAINT
from qumade.convert.importers.records import Labels

__all__ = [
    "REASONS",
    "Candidate",
    "Rules",
    "Things",
    "cut_out",
    "end_height",
    "find_objects",
    "part_of",
    "rejection",
    "solidity",
    "things_in_front",
    "waist",
]

REASONS = ("tiny", "truncated", "occluded", "merged")
"""The reasons for leaving out an object, in the order in which the rules are checked."""

Mask = NDArray[np.bool_]
EIGHT = np.ones((3, 3), bool)
REACH_PX = 3  # the labels of two things that touch often have a gap between them
NEARER = 0.15  # share of an object's height: things whose foot is at most this much higher are in front of it
END = 0.15  # share of an object's width: the two ends that `end_height` measures
PIECE = 0.05  # share of an object: a second part as large is the other side of something before it
HOLE = 0.01  # share of an object: larger holes are no noise of the labels
ON_ONE_SIDE = 0.95  # share of what is in front of an object that decides where the visible part of it begins
CUT_PX = 1.0  # silhouettes shrink by this much, since labels overlap the background at the edge
SOFT_PX = 0.7  # standard deviation of the blur that makes the alpha edge two pixels wide


@dataclass(frozen=True)
class Rules:
    """The rules for leaving out an object.

    tiny: a side of its box is below `min_side_px`, or its area is below `min_area_px`. truncated: it touches the edge
    of the photo. occluded: something in front of it covers more than `max_hidden` of its surroundings (a 3 px wide
    band), or more than `max_unlabelled` of them is unlabelled; it has two parts of more than 5 % of it each; or another
    thing lies in a hole of more than 1 % of it. merged, for connected parts only: the shape suggests
    several objects, or a part of one: width / height outside `aspect`; silhouette / convex hull below `min_solidity`;
    silhouette / box below `min_extent`; an upper edge that dips between two humps by more than `max_waist` of the
    height; an end lower than `min_end` of the height (a receding row of cars). The shapes are those of cars; None for
    `aspect` turns the merged rule off.

    With `parts`, an object that is truncated or occluded on its left or right side alone is kept without what is hidden
    there, if at least `min_part` of its width in the photo is left: see `part_of`.
    """

    min_side_px: int = 24
    min_area_px: int = 600
    max_hidden: float = 0.1
    max_unlabelled: float = 0.4
    aspect: tuple[float, float] | None = (0.75, 3.2)
    min_solidity: float = 0.865
    min_extent: float = 0.69
    max_waist: float = 0.08
    min_end: float = 0.53
    parts: bool = True
    min_part: float = 0.5


class Candidate(NamedTuple):
    """The box of an object and its silhouette bool [h, w] there; `number` as in `Labels.instances`, 0 for a connected
    part."""

    rows: slice
    columns: slice
    silhouette: Mask
    number: int


@dataclass(frozen=True, eq=False)
class Things:
    """Things that may occlude objects: `numbers` int32 [H, W], 0 for none; `lowest_row` of each number, -1 for 0."""

    numbers: NDArray[np.int32]
    lowest_row: NDArray[np.int64]


def find_objects(labels: Labels) -> Iterator[Candidate]:
    """Yield each instance of the mask, and each connected part of the mask outside of instances."""
    if labels.mask is None:
        return
    mask = labels.mask >= 128
    instances = np.where(mask, 0 if labels.instances is None else labels.instances, 0)
    values, compact = np.unique(instances, return_inverse=True)
    compact = compact.reshape(mask.shape) + (0 if values[0] == 0 else 1)
    found = [value for value in values.tolist() if value != 0]
    for number, box in zip(found, ndimage.find_objects(compact), strict=True):
        yield Candidate(box[0], box[1], instances[box] == number, number)
    parts, _ = ndimage.label(mask & (instances == 0))
    for number, box in enumerate(ndimage.find_objects(parts), 1):
        yield Candidate(box[0], box[1], parts[box] == number, 0)


def things_in_front(labels: Labels, shape: tuple[int, ...]) -> Things:
    """Number the instances, and the connected parts of each kind of thing that may be in front, in a photo [H, W]."""
    numbers = np.zeros(shape, np.int32)
    if labels.in_front is not None:
        for kind in np.unique(labels.in_front[labels.in_front > 0]):
            parts, _ = ndimage.label(labels.in_front == kind, EIGHT)
            numbers = np.where(parts > 0, parts + numbers.max(), numbers).astype(np.int32)
    if labels.instances is not None:
        values, compact = np.unique(labels.instances, return_inverse=True)
        compact = compact.reshape(shape) + (0 if values[0] == 0 else 1)
        numbers = np.where(compact > 0, compact + numbers.max(), numbers).astype(np.int32)
    lowest = np.full(int(numbers.max()) + 1, -1, np.int64)
    for row in range(shape[0]):  # rows ascend, so the lowest row is written last
        lowest[numbers[row]] = row
    lowest[0] = -1
    return Things(numbers, lowest)


def rejection(candidate: Candidate, labels: Labels, things: Things, rules: Rules) -> str | None:
    """Return the rule that an object breaks, one of REASONS, or None for a complete, unoccluded object."""
    rows, columns, silhouette, number = candidate
    own = things.numbers[rows, columns]
    if min(silhouette.shape) < rules.min_side_px or silhouette.sum() < rules.min_area_px:
        return "tiny"
    if _touched(candidate, things):
        return "truncated"
    band, around = _band(candidate, things, 0, things.numbers.shape[1])
    if _in_front(candidate, things, band, around).mean() > rules.max_hidden:
        return "occluded"
    if labels.ignore is not None and labels.ignore[around][band].mean() > rules.max_unlabelled:
        return "occluded"
    if _in_pieces(silhouette) or _shows_another(silhouette, own):
        return "occluded"
    if number == 0 and not _is_one(ndimage.binary_fill_holes(silhouette), rules):
        return "merged"
    return None


def part_of(candidate: Candidate, labels: Labels, things: Things, rules: Rules) -> tuple[Candidate, CutSide] | None:
    """Return the part of a truncated or occluded object that is complete but for its left or right side, and that side;
    None if there is no such part.

    What is in front must be on one side only. The part ends where that begins, with a straight edge. At the edge of the
    photo the object may go on for any length. An object that is cut at its top or foot is of no use: neither its size
    nor where it stands is known.
    """
    width, photo_width = candidate.silhouette.shape[1], things.numbers.shape[1]
    touched = _touched(candidate, things)
    band, around = _band(candidate, things, 0, photo_width)
    hidden = np.zeros(band.shape, bool)
    hidden[band] = _in_front(candidate, things, band, around)
    columns = np.nonzero(hidden)[1] + around[1].start - candidate.columns.start
    if touched - {"left", "right"} or len(touched) == 2:
        return None
    occluded = len(columns) > rules.max_hidden * np.count_nonzero(band)
    if not touched and not occluded:
        return None
    side: CutSide = "left" if (touched == {"left"} if touched else np.median(columns) < width / 2) else "right"
    first, last = 0, width
    if occluded:
        ends = np.quantile(columns, (1 - ON_ONE_SIDE, ON_ONE_SIDE))
        first, last = (int(ends[1]) + 1, width) if side == "left" else (0, int(ends[0]))
    if last - first < rules.min_part * width:
        return None
    part = _columns_of(candidate, first, last)
    if part is None or _broken(part, side, labels, things, rules):
        return None
    return part, side


def _columns_of(candidate: Candidate, first: int, last: int) -> Candidate | None:
    """Return the largest piece of an object between two columns of its box; None if there is nothing."""
    rows, columns, silhouette, number = candidate
    pieces, count = ndimage.label(silhouette[:, max(first, 0) : last], EIGHT)
    if count == 0:
        return None
    largest = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()
    ((down, right),) = ndimage.find_objects(largest.astype(np.int32))
    top, left = rows.start, columns.start + max(first, 0)
    return Candidate(
        slice(top + down.start, top + down.stop),
        slice(left + right.start, left + right.stop),
        largest[down, right],
        number,
    )


def _broken(part: Candidate, side: CutSide, labels: Labels, things: Things, rules: Rules) -> bool:
    """Return whether a part breaks a rule on the other sides than that on which it is cut."""
    rows, columns, silhouette, number = part
    if min(silhouette.shape) < rules.min_side_px or silhouette.sum() < rules.min_area_px:
        return True
    ends = (columns.start, things.numbers.shape[1]) if side == "left" else (0, columns.stop)
    band, around = _band(part, things, *ends)
    if not band.any() or _in_front(part, things, band, around).mean() > rules.max_hidden:
        return True
    if labels.ignore is not None and labels.ignore[around][band].mean() > rules.max_unlabelled:
        return True
    if _in_pieces(silhouette) or _shows_another(silhouette, things.numbers[rows, columns]):
        return True
    if number or rules.aspect is None:
        return False
    shorter = replace(rules, aspect=(rules.aspect[0] * rules.min_part, rules.aspect[1]))
    return not _is_one(ndimage.binary_fill_holes(silhouette), shorter)


def _touched(candidate: Candidate, things: Things) -> set[str]:
    """Return the edges of the photo that an object touches."""
    height, width = things.numbers.shape
    rows, columns = candidate.rows, candidate.columns
    at = {
        "top": rows.start == 0,
        "bottom": rows.stop == height,
        "left": columns.start == 0,
        "right": columns.stop == width,
    }
    return {edge for edge, touches in at.items() if touches}


def _band(candidate: Candidate, things: Things, first: int, last: int) -> tuple[Mask, tuple[slice, slice]]:
    """Return the pixels within 3 px of an object, in the columns from `first` to before `last` of the photo, as bool
    [h, w] over a part of the photo, and where that part is."""
    rows, columns, silhouette, _ = candidate
    height, width = silhouette.shape
    around = np.s_[
        max(rows.start - REACH_PX, 0) : rows.stop + REACH_PX, max(columns.start - REACH_PX, 0) : columns.stop + REACH_PX
    ]
    inside = np.zeros(things.numbers[around].shape, bool)
    top, left = rows.start - around[0].start, columns.start - around[1].start
    inside[top : top + height, left : left + width] = silhouette
    band = ndimage.binary_dilation(inside, EIGHT, REACH_PX) & ~inside
    band[:, : max(first - around[1].start, 0)] = False
    band[:, max(last - around[1].start, 0) :] = False
    return band, around


def _in_front(candidate: Candidate, things: Things, band: Mask, around: tuple[slice, slice]) -> Mask:
    """Return which pixels of a band belong to things that stand in front of an object, bool [n]."""
    height = candidate.silhouette.shape[0]
    found: Mask = things.lowest_row[things.numbers[around][band]] >= candidate.rows.stop - 1 - NEARER * height
    return found


def _in_pieces(silhouette: Mask) -> bool:
    """Return whether an object has several large parts: something that is not labelled stands before its middle."""
    parts, count = ndimage.label(silhouette, EIGHT)
    if count < 2:
        return False
    sizes = np.sort(np.bincount(parts.ravel())[1:])
    return bool(sizes[-2] > PIECE * silhouette.sum())


def _shows_another(silhouette: Mask, numbers: NDArray[np.int32]) -> bool:
    """Return whether another thing shows in a hole of an object; `numbers` [h, w] as in Things."""
    holes = ndimage.binary_fill_holes(silhouette) & ~silhouette
    return bool(np.count_nonzero(holes & (numbers > 0)) > HOLE * silhouette.sum())


def _without_small_holes(silhouette: Mask) -> Mask:
    """Fill the holes that are noise of the labels; a ring stays one."""
    holes, count = ndimage.label(ndimage.binary_fill_holes(silhouette) & ~silhouette)
    if count == 0:
        return silhouette
    small = np.bincount(holes.ravel()) <= HOLE * silhouette.sum()
    small[0] = False
    filled: Mask = silhouette | small[holes]
    return filled


def _is_one(silhouette: Mask, rules: Rules) -> bool:
    if rules.aspect is None:
        return True
    least, most = rules.aspect
    return bool(
        least <= silhouette.shape[1] / silhouette.shape[0] <= most
        and silhouette.mean() >= rules.min_extent
        and waist(silhouette) <= rules.max_waist
        and end_height(silhouette) >= rules.min_end
        and solidity(silhouette) >= rules.min_solidity
    )


def solidity(silhouette: Mask) -> float:
    """Return the area of a silhouette [h, w] divided by that of its convex hull, both over whole pixels."""
    v, u = np.nonzero(silhouette)
    corners = np.concatenate([np.stack([u + right, v + down], 1) for right in (0, 1) for down in (0, 1)])
    try:
        return float(len(v) / ConvexHull(corners).volume)
    except QhullError:
        return 1.0


def waist(silhouette: Mask) -> float:
    """Return how far the upper edge dips between two humps, as a share of the height of a silhouette [h, w]."""
    heights = np.where(silhouette.any(0), silhouette.shape[0] - silhouette.argmax(0), 0)
    left = np.maximum.accumulate(heights)
    right = np.maximum.accumulate(heights[::-1])[::-1]
    return float((np.minimum(left, right) - heights).max() / silhouette.shape[0])


def end_height(silhouette: Mask) -> float:
    """Return the smaller height near the two ends of a silhouette [h, w], as a share of the tallest column."""
    counts = silhouette.sum(0)
    step = min(round(END * len(counts)), len(counts) - 1)
    return float(min(counts[step], counts[-1 - step]) / max(counts.max(), 1))


def cut_out(image: NDArray[np.uint8], candidate: Candidate) -> NDArray[np.uint8]:
    """Return an object of an image [H, W, 3] as straight-alpha uint8 [h + 4, w + 4, 4], clipped to the image.

    Holes of at most 1 % of the object are filled, others stay. Alpha falls from 255 to 0 over about two pixels, all
    inside the edge of the silhouette.
    """
    rows, columns, silhouette, _ = candidate
    filled = np.pad(_without_small_holes(silhouette), 2)
    inside_px = ndimage.distance_transform_edt(np.pad(filled, 1))[1:-1, 1:-1]
    # inside_px is 1 at the outermost pixels of the silhouette, whose edge is half a pixel further out
    hard = np.clip(inside_px - CUT_PX, 0, 1)
    alpha = np.rint(255 * ndimage.gaussian_filter(hard, SOFT_PX)).astype(np.uint8)
    alpha[alpha < FAINT] = 0
    top, left = max(rows.start - 2, 0), max(columns.start - 2, 0)
    colour = image[top : rows.stop + 2, left : columns.stop + 2]
    down, right = top - (rows.start - 2), left - (columns.start - 2)
    return np.dstack([colour, alpha[down : down + colour.shape[0], right : right + colour.shape[1]]])
