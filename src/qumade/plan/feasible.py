"""Refuses scale ranges under which an object could never be visible enough, before anything is drawn."""

import math

import numpy as np
from numpy.typing import NDArray

from qumade.assets.catalog import SILHOUETTE_PX, Catalog, Foreground
from qumade.errors import QumadeError
from qumade.recipe import Recipe

__all__ = ["check_scales", "largest_visible_share"]


def check_scales(recipe: Recipe, catalog: Catalog) -> None:
    """Raises QumadeError naming the first cut-out whose smallest size is never visible by `min_visible`."""
    for foreground in catalog.foregrounds:
        share = largest_visible_share(foreground, foreground.scale[0], recipe)
        if share < recipe.min_visible:
            raise QumadeError(
                f"Invalid scale: got {list(foreground.scale)} for {recipe.foregrounds / foreground.name}, of which at "
                f"most {share:.0%} can be visible at {foreground.scale[0]:g} with its centre in rows "
                f"{list(recipe.centre_row)} of the picture; must reach min_visible {recipe.min_visible:.0%}"
            )


def largest_visible_share(foreground: Foreground, scale: float, recipe: Recipe) -> float:
    """An upper bound on the share of a cut-out that can lie inside the picture at a scale, over all centres allowed."""
    width, height = recipe.size
    factor = scale * math.sqrt(width * height / (foreground.width * foreground.height))
    columns = _window(foreground.silhouette.sum(axis=0), width / (foreground.width * factor))
    drawn_height = foreground.height * factor
    rows = foreground.silhouette.sum(axis=1)
    best = 0.0
    for centre in np.linspace(*recipe.centre_row, 65):
        top = centre * height - drawn_height / 2
        first = max(0.0, -top / drawn_height) * SILHOUETTE_PX
        last = min(1.0, (height - top) / drawn_height) * SILHOUETTE_PX
        # Whole cells, rounded outwards: a bound, never too small.
        best = max(best, float(rows[math.floor(first) : math.ceil(last)].sum()))
    return min(1.0, columns, best / float(rows.sum()))


def _window(profile: NDArray[np.float32], share: float) -> float:
    """The largest share of a profile that a window of that share of its length can hold."""
    cells = min(len(profile), math.ceil(share * len(profile)) + 1)
    sums = np.concatenate([[0.0], np.cumsum(profile, dtype=np.float64)])
    return float((sums[cells:] - sums[:-cells]).max() / sums[-1])
