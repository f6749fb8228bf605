"""Reject scale ranges that can never make an object visible enough, before anything is drawn."""

import math

import numpy as np

from qumade.assets.catalog import SILHOUETTE_PX, Catalog, Foreground
from qumade.assets.local_recipe import shown_asset
from qumade.errors import ConfigError
from qumade.recipe import Recipe

__all__ = ["check_scales", "largest_visible_share"]


def check_scales(recipe: Recipe, catalog: Catalog) -> None:
    """Raise QumadeError naming the first cut-out whose smallest size never reaches a visible share of `min_visible`."""
    for foreground in catalog.foregrounds:
        share = largest_visible_share(foreground, foreground.scale[0], recipe)
        if share < recipe.min_visible:
            where = shown_asset(recipe.foregrounds, foreground.name)
            raise ConfigError(
                f"Invalid scale: got {list(foreground.scale)} for {where}, of which at "
                f"most {share:.0%} can be visible at {foreground.scale[0]:g} with its centre in rows "
                f"{list(recipe.centre_row)} of the picture; must reach min_visible {recipe.min_visible:.0%}"
            )


def largest_visible_share(foreground: Foreground, scale: float, recipe: Recipe) -> float:
    """Return an upper bound on the share of a cut-out inside the image at a scale, over all allowed centres."""
    width, height = recipe.size
    factor = scale * math.sqrt(width * height / (foreground.width * foreground.height))
    drawn_height = foreground.height * factor
    # Whole cells, rounded outwards: the bound is never too small.
    columns = min(SILHOUETTE_PX, math.ceil(width / (foreground.width * factor) * SILHOUETTE_PX) + 1)
    sums = np.pad(foreground.silhouette.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    best = 0.0
    for centre in np.linspace(*recipe.centre_row, 65):
        top = centre * height - drawn_height / 2
        first = max(0.0, -top / drawn_height) * SILHOUETTE_PX
        last = min(1.0, (height - top) / drawn_height) * SILHOUETTE_PX
        band = sums[math.ceil(last)] - sums[math.floor(first)]
        best = max(best, float((band[columns:] - band[:-columns]).max()))
    return min(1.0, best / float(sums[-1, -1]))
