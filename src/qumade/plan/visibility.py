"""Compute how much of an object is visible: inside the image, and hidden by neither the background nor other objects.

Compiled, over the arrays of PlanTables.
"""

import numpy as np

from qumade.assets.catalog import SILHOUETTE_PX
from qumade.assets.cut_sides import CUT_SIDES
from qumade.geometry import BEHIND
from qumade.jit import compiled

__all__ = ["CUT_SHARE", "LEAST_PX", "all_visible", "visible_share"]

_LEFT = CUT_SIDES.index("left")
_CUT_CELLS = 2  # columns of the silhouette next to the side on which an object is cut: none of them may be seen
CUT_SHARE = _CUT_CELLS / SILHOUETTE_PX
"""Share of an object's width that must not be seen next to the side on which it is cut."""

_CUT_SEEN = 0.02  # share of these cells that counts as none, since a coarse silhouette overlaps its neighbours

LEAST_PX = 4.0
"""Least visible area of an object in pixels: the mask of a smaller one could be empty."""


@compiled(inline="always")
def _coverage(silhouettes, foreground, box, u, v):  # type: ignore[no-untyped-def]
    """Return how much a silhouette in a box (left, top, width, height) covers a point of the sample, 0 to 1.

    It takes no tables: to hand over all of them takes a hundred times as long as this.
    """
    column = int(np.floor((u - box[0]) / box[2] * SILHOUETTE_PX))
    row = int(np.floor((v - box[1]) / box[3] * SILHOUETTE_PX))
    if 0 <= column < SILHOUETTE_PX and 0 <= row < SILHOUETTE_PX:
        return silhouettes[foreground, row, column]
    return np.float32(0.0)


@compiled()
def _hides(things, other, which):  # type: ignore[no-untyped-def]
    """Whether `other` is in front of `which` and their boxes overlap. At equal depth the later object is in front."""
    front, back = things[other], things[which]
    tied = front.inverse_depth == back.inverse_depth
    if other == which or front.inverse_depth < back.inverse_depth or (tied and other < which):
        return False
    return (
        front.left < back.left + back.width
        and back.left < front.left + front.width
        and front.top < back.top + back.height
        and back.top < front.top + front.height
    )


@compiled()
def _cell_positions(start, length, crop, scale, flip_at, photo_side, cells):  # type: ignore[no-untyped-def]
    """Return the column (or row) of the background's coarse grid under the centre of each silhouette cell, int64 [32].

    `flip_at` is the sample's width if it is mirrored, 0 otherwise. The arithmetic is that of `to_background`.
    """
    positions = np.empty(SILHOUETTE_PX, np.int64)
    for cell in range(SILHOUETTE_PX):
        at = start + (cell + 0.5) / SILHOUETTE_PX * length
        if flip_at > 0:
            at = flip_at - at
        positions[cell] = min(max(int((at + crop) / scale / photo_side * cells), 0), cells - 1)
    return positions


@compiled()
def _first_inside(start, length, limit):  # type: ignore[no-untyped-def]
    """Return the half-open range of silhouette cells, drawn from `start` over `length`, with centres in 0 .. limit."""
    cell = length / SILHOUETTE_PX
    first = int(np.ceil(-start / cell - 0.5))
    end = int(np.ceil((limit - start) / cell - 0.5))
    return min(max(first, 0), SILHOUETTE_PX), min(max(end, 0), SILHOUETTE_PX)


@compiled()
def visible_share(t, sample, things, count, which, begin_cell, end_cell):  # type: ignore[no-untyped-def]
    """Return the area that is visible in the columns `begin_cell` .. `end_cell` - 1 of an object's silhouette, as a
    share of the whole silhouette.

    A cell counts by its centre: it must lie inside the image, and neither the background nor a nearer one of the first
    `count` objects may hide it.
    """
    thing = things[which]
    left, right = _first_inside(thing.left, thing.width, t.width)
    left, right = max(left, begin_cell), min(right, end_cell)
    if left >= right:
        return 0.0
    top, bottom = _first_inside(thing.top, thing.height, t.height)
    sums = t.silhouette_sums[thing.foreground]
    whole = sums[SILHOUETTE_PX, SILHOUETTE_PX]
    hides = t.occluder_size[sample.background, 0] > 0  # the background
    # The objects in front, copied once: reading a field of a record takes longer than testing a point.
    foregrounds, boxes, front = np.empty(count, np.int64), np.empty((count, 4)), 0
    for other in range(count):
        if _hides(things, other, which):
            thing_in_front = things[other]
            foregrounds[front] = thing_in_front.foreground
            boxes[front, 0], boxes[front, 1] = thing_in_front.left, thing_in_front.top
            boxes[front, 2], boxes[front, 3] = thing_in_front.width, thing_in_front.height
            front += 1
    if not hides and front == 0:
        return (sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]) / whole
    silhouettes, foreground = t.silhouette, thing.foreground
    thing_left, thing_top, thing_width, thing_height = thing.left, thing.top, thing.width, thing.height
    if hides:  # where its coarse grid is nearer than the object
        grid_width, grid_height = t.occluder_size[sample.background]
        photo_width, photo_height = t.background_size[sample.background]
        level = t.horizon_level[sample.background]
        nearest = (thing.inverse_depth - (level if level == level else 0.0)) * BEHIND
        flip_at = t.width if sample.flip else 0
        columns = _cell_positions(
            thing_left, thing_width, sample.crop_x, sample.scale_x, flip_at, photo_width, grid_width
        )
        rows = _cell_positions(thing_top, thing_height, sample.crop_y, sample.scale_y, 0, photo_height, grid_height)
        begin = t.occluder_start[sample.background]
        occluder = t.coarse_occluder[begin : begin + grid_width * grid_height]
    else:
        nearest, grid_width, columns, rows = 0.0, 0, np.empty(0, np.int64), np.empty(0, np.int64)
        occluder = t.coarse_occluder[:0]
    visible = 0.0
    for row in range(top, bottom):
        v = thing_top + (row + 0.5) / SILHOUETTE_PX * thing_height
        for column in range(left, right):
            coverage = float(silhouettes[foreground, row, column])
            u = thing_left + (column + 0.5) / SILHOUETTE_PX * thing_width
            if coverage == 0.0 or (hides and occluder[rows[row] * grid_width + columns[column]] > nearest):
                continue
            for other in range(front):
                coverage *= 1.0 - _coverage(silhouettes, foregrounds[other], boxes[other], u, v)
            visible += coverage
    return visible / whole


@compiled()
def _opaque_px(t, thing):  # type: ignore[no-untyped-def]
    cells = t.silhouette_sums[thing.foreground, SILHOUETTE_PX, SILHOUETTE_PX]
    return thing.width * thing.height * cells / (SILHOUETTE_PX * SILHOUETTE_PX)


@compiled()
def all_visible(t, sample, things, count):  # type: ignore[no-untyped-def]
    """Whether each of the first `count` objects is visible enough, and none of them where it is cut."""
    # First the whole object, then the side on which it is cut. There is one call for both, since the compiler copies
    # what is called to every place that calls it.
    for check in range(2 * count):
        which, side = check // 2, check % 2 == 1
        thing = things[which]
        cut = t.cut[thing.foreground]
        if side and cut == 0:
            continue
        begin, end = 0, SILHOUETTE_PX
        if side:
            begin = 0 if cut == _LEFT else SILHOUETTE_PX - _CUT_CELLS
            end = begin + _CUT_CELLS
        share = visible_share(t, sample, things, count, which, begin, end)
        if side:
            sums = t.silhouette_sums[thing.foreground]
            if share * sums[-1, -1] > _CUT_SEEN * (sums[SILHOUETTE_PX, end] - sums[SILHOUETTE_PX, begin]):
                return False
        elif share < t.min_visible or share * _opaque_px(t, thing) < LEAST_PX:
            return False
    return True
