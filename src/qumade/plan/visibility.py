"""Compute how much of an object is visible: inside the image, and hidden by neither the background nor other objects.

Compiled, over the arrays of PlanTables.
"""

import numpy as np

from qumade.assets.catalog import SILHOUETTE_PX
from qumade.geometry import BEHIND
from qumade.jit import compiled
from qumade.plan.coordinates import to_background

__all__ = ["all_visible", "visible_share"]


@compiled()
def _coverage(t, thing, u, v):  # type: ignore[no-untyped-def]
    """Return how much an object's silhouette covers a point of the sample, 0 to 1."""
    column = int(np.floor((u - thing.left) / thing.width * SILHOUETTE_PX))
    row = int(np.floor((v - thing.top) / thing.height * SILHOUETTE_PX))
    if 0 <= column < SILHOUETTE_PX and 0 <= row < SILHOUETTE_PX:
        return t.silhouette[thing.foreground, row, column]
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
def _behind_background(t, sample, u, v, inverse_depth):  # type: ignore[no-untyped-def]
    """Whether the background hides an object of that inverse depth at a point, according to the coarse grid."""
    background = sample.background
    columns, rows = t.coarse_size[background]
    if columns == 0:
        return False
    width, height = t.background_size[background]
    background_u, background_v = to_background(t, sample, u, v)
    column = min(max(int(background_u / width * columns), 0), columns - 1)
    row = min(max(int(background_v / height * rows), 0), rows - 1)
    level = t.horizon_level[background] if t.horizon_level[background] == t.horizon_level[background] else 0.0
    nearer = t.coarse_occluder[t.coarse_start[background] + row * columns + column]
    return nearer > (inverse_depth - level) * BEHIND


@compiled()
def _first_inside(start, length, limit):  # type: ignore[no-untyped-def]
    """Return the half-open range of silhouette cells, drawn from `start` over `length`, with centres in 0 .. limit."""
    cell = length / SILHOUETTE_PX
    first = int(np.ceil(-start / cell - 0.5))
    end = int(np.ceil((limit - start) / cell - 0.5))
    return min(max(first, 0), SILHOUETTE_PX), min(max(end, 0), SILHOUETTE_PX)


@compiled()
def visible_share(t, sample, things, count, which):  # type: ignore[no-untyped-def]
    """Return the share of an object's silhouette that is visible.

    A cell counts by its centre: it must lie inside the image, and neither the background nor a nearer one of the first
    `count` objects may hide it.
    """
    thing = things[which]
    left, right = _first_inside(thing.left, thing.width, t.width)
    top, bottom = _first_inside(thing.top, thing.height, t.height)
    sums = t.silhouette_sums[thing.foreground]
    whole = sums[SILHOUETTE_PX, SILHOUETTE_PX]
    hidden = t.coarse_size[sample.background, 0] > 0
    for other in range(count):
        hidden = hidden or _hides(things, other, which)
    if not hidden:
        return (sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]) / whole
    visible = 0.0
    for row in range(top, bottom):
        v = thing.top + (row + 0.5) / SILHOUETTE_PX * thing.height
        for column in range(left, right):
            coverage = float(t.silhouette[thing.foreground, row, column])
            u = thing.left + (column + 0.5) / SILHOUETTE_PX * thing.width
            if coverage == 0.0 or _behind_background(t, sample, u, v, thing.inverse_depth):
                continue
            for other in range(count):
                if _hides(things, other, which):
                    coverage *= 1.0 - _coverage(t, things[other], u, v)
            visible += coverage
    return visible / whole


@compiled()
def all_visible(t, sample, things, count):  # type: ignore[no-untyped-def]
    """Whether each of the first `count` objects is visible enough."""
    for which in range(count):  # noqa: SIM110 - not compiled as a generator
        if visible_share(t, sample, things, count, which) < t.min_visible:
            return False
    return True
