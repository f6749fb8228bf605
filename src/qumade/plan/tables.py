"""Recipe and catalog as plain arrays: what the compiled planner reads."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qumade.assets.catalog import SILHOUETTE_PX, Catalog
from qumade.plan.splits import SPLITS
from qumade.recipe import Recipe

__all__ = ["OBJECT_ROW", "REJECTIONS", "SAMPLE_ROW", "PlanTables", "plan_tables"]

REJECTIONS = ("horizon", "hidden")
"""Why a draw of a placement was rejected. horizon: no ground at the contact, which is on or above the horizon, or of
unknown depth; hidden: the object, or one that it hides, would be too little visible."""

SAMPLE_ROW = np.dtype(
    [
        ("index", "i8"),
        ("background", "i4"),
        ("foreground", "i4"),
        ("crop_step", "i4"),  # which of the sizes of crop
        ("crop_x", "i4"),  # the crop's corner in the background as resized for that step, pixels
        ("crop_y", "i4"),
        ("scale_x", "f8"),  # sample pixels a background pixel
        ("scale_y", "f8"),
        ("flip", "?"),
        ("wanted", "i4"),  # objects drawn for; `count` of them found a place
        ("count", "i4"),
        ("crops_rejected", "i4"),
    ]
)
OBJECT_ROW = np.dtype(
    [
        ("foreground", "i4"),
        ("left", "f8"),  # box of the cut-out in sample pixels, may reach over the edges
        ("top", "f8"),
        ("width", "f8"),
        ("height", "f8"),
        ("scale", "f8"),
        ("contact_u", "f8"),
        ("contact_v", "f8"),
        ("contact_background_u", "f8"),
        ("contact_background_v", "f8"),
        ("inverse_depth", "f4"),
        ("policy", "u1"),
        ("fallback", "?"),
        *((f"rejected_{reason}", "i4") for reason in REJECTIONS),
    ]
)


class PlanTables(NamedTuple):
    """See the fields' namesakes in Recipe and Catalog. B backgrounds, F foregrounds."""

    seed: int
    width: int
    height: int
    per_pair: int
    mirror_backgrounds: bool
    crop: tuple[float, float]
    objects: tuple[int, int]
    centre_row: tuple[float, float]
    min_visible: float
    retries: int
    background_size: NDArray[np.int64]  # [B, 2] width, height
    plane: NDArray[np.float64]  # [B, 3]; NaN where there is none
    coarse_start: NDArray[np.int64]  # [B] into coarse_depth
    coarse_size: NDArray[np.int64]  # [B, 2] width, height
    coarse_depth: NDArray[np.float32]  # all grids, one after another
    foreground_size: NDArray[np.float64]  # [F, 2] width, height
    contact: NDArray[np.float64]  # [F, 2]
    silhouette: NDArray[np.float32]  # [F, 32, 32]
    scale: NDArray[np.float64]  # [F, 2]
    side: NDArray[np.int64]  # [F] which part of the split
    side_start: NDArray[np.int64]  # [5] into side_members
    side_members: NDArray[np.int64]  # [F] foregrounds, by side


def plan_tables(recipe: Recipe, catalog: Catalog) -> PlanTables:
    """The arrays that planning needs. Small: kilobytes an asset."""
    backgrounds, foregrounds = catalog.backgrounds, catalog.foregrounds
    nothing = np.zeros((0, 0), np.float32)
    grids = [nothing if b.coarse_depth is None else b.coarse_depth for b in backgrounds]
    sides = np.array([SPLITS.index(f.split) if f.split else len(SPLITS) for f in foregrounds], np.int64)
    return PlanTables(
        seed=recipe.seed,
        width=recipe.size[0],
        height=recipe.size[1],
        per_pair=recipe.per_pair,
        mirror_backgrounds=recipe.mirror_backgrounds,
        crop=recipe.crop,
        objects=recipe.objects,
        centre_row=recipe.centre_row,
        min_visible=recipe.min_visible,
        retries=recipe.retries,
        background_size=np.array([(b.width, b.height) for b in backgrounds], np.int64),
        plane=np.array(
            [(b.plane.a, b.plane.b, b.plane.c) if b.plane else (np.nan,) * 3 for b in backgrounds], np.float64
        ),
        coarse_start=np.cumsum([0] + [grid.size for grid in grids[:-1]], dtype=np.int64),
        coarse_size=np.array([grid.shape[::-1] for grid in grids], np.int64),
        coarse_depth=np.concatenate([grid.ravel() for grid in grids]).astype(np.float32),
        foreground_size=np.array([(f.width, f.height) for f in foregrounds], np.float64),
        contact=np.array([f.contact for f in foregrounds], np.float64),
        silhouette=np.stack([f.silhouette for f in foregrounds]).reshape(-1, SILHOUETTE_PX, SILHOUETTE_PX),
        scale=np.array([f.scale for f in foregrounds], np.float64),
        side=sides,
        side_start=np.searchsorted(np.sort(sides), np.arange(len(SPLITS) + 2)).astype(np.int64),
        side_members=np.argsort(sides, kind="stable").astype(np.int64),
    )
