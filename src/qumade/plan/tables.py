"""Recipe and catalog as plain arrays for the compiled planner."""

from collections.abc import Sequence
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from qumade.assets.catalog import SILHOUETTE_PX, Background, Catalog
from qumade.assets.cut_sides import CUT_SIDES
from qumade.assets.labels import StandingTable
from qumade.assets.upright_prior import farthest_ground
from qumade.plan.splits import SPLITS
from qumade.recipe import Policy, Recipe

__all__ = ["OBJECT_ROW", "POLICIES", "REJECTIONS", "SAMPLE_ROW", "PlanTables", "plan_tables"]

REJECTIONS = ("horizon", "hidden", "size", "layout", "row")
"""Why a placement was rejected. horizon: the contact is on or above the horizon, too far away for its depth to be
believed, or its depth is unknown; hidden: the object, or one that it hides, would not be visible enough; size: the size
that perspective gives is out of range; layout: the layout has few objects of this size in this row; row: the next place
in a row is not where the object may stand."""

POLICIES: tuple[Policy, ...] = get_args(Policy)  # plans store the number: append, never reorder

SAMPLE_ROW = np.dtype(
    [
        ("index", "i8"),
        ("background", "i4"),
        ("foreground", "i4"),
        ("crop_step", "i4"),  # index of the crop size
        ("crop_x", "i4"),  # the crop's corner in the background as resized for that step, pixels
        ("crop_y", "i4"),
        ("scale_x", "f8"),  # sample pixels per background pixel
        ("scale_y", "f8"),
        ("flip", "?"),
        ("wanted", "i4"),  # number of objects drawn; `count` of them were placed
        ("count", "i4"),
        ("crops_rejected", "i4"),
    ]
)
OBJECT_ROW = np.dtype(
    [
        ("foreground", "i4"),
        ("left", "f8"),  # box of the cut-out in sample pixels; it may extend beyond the edges
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
    """Arrays of B backgrounds and F foregrounds. Fields are named as in Recipe and Catalog, which document them."""

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
    policy_end: NDArray[np.float64]  # [3] cumulative shares of the policies
    height_ratio: float
    size_jitter: float
    rows: float
    number_end: NDArray[np.float64]  # cumulative shares of the numbers of objects; empty for uniform
    layout: NDArray[np.float64]  # [20, 14] share of the draws in each row and size to accept; empty for all
    plane: NDArray[np.float64]  # [B, 3]; NaN where unknown
    horizon_level: NDArray[np.float64]  # [B]; NaN where unknown
    farthest_ground: NDArray[np.float64]  # [B] inverse depth beyond which nothing stands; NaN where unknown
    camera_height_m: NDArray[np.float64]  # [B]; NaN where unknown
    standing_start: NDArray[np.int64]  # [B, places + 1] into standing_pixels; equal where nothing can stand
    standing_pixels: NDArray[np.int32]  # flat indices into the photos
    standing_weights: NDArray[np.float64]  # cumulative, for each table; empty for uniform sampling
    standing_step: NDArray[np.int64]  # [B, places] distance of neighbouring standing_pixels
    coarse_start: NDArray[np.int64]  # [B] into coarse_depth
    coarse_size: NDArray[np.int64]  # [B, 2] width, height
    coarse_depth: NDArray[np.float32]  # all grids, one after another
    occluder_start: NDArray[np.int64]  # [B] into coarse_occluder
    occluder_size: NDArray[np.int64]  # [B, 2] width, height
    coarse_occluder: NDArray[np.float32]  # all grids, one after another
    foreground_size: NDArray[np.float64]  # [F, 2] width, height
    contact: NDArray[np.float64]  # [F, 2]
    silhouette: NDArray[np.float32]  # [F, 32, 32]
    silhouette_sums: NDArray[np.float64]  # [F, 33, 33] over all cells above and to the left
    scale: NDArray[np.float64]  # [F, 2]
    place: NDArray[np.int64]  # [F]
    object_height_m: NDArray[np.float64]  # [F]; NaN where unknown
    cut: NDArray[np.int64]  # [F] index in CUT_SIDES
    side: NDArray[np.int64]  # [F] index of the split
    side_start: NDArray[np.int64]  # [5] into side_members
    side_members: NDArray[np.int64]  # [F] foregrounds, by side


_NOWHERE = StandingTable(np.zeros(0, np.int32), None)


def plan_tables(recipe: Recipe, catalog: Catalog) -> PlanTables:
    """Build the arrays that planning needs. They take a few kilobytes per asset."""
    backgrounds, foregrounds = catalog.backgrounds, catalog.foregrounds
    coarse_start, coarse_size, coarse_depth = _joined([b.coarse_depth for b in backgrounds])
    # A prior from label maps hides objects, too, and has no depth map.
    occluder_start, occluder_size, coarse_occluder = _joined([b.coarse_occluder for b in backgrounds])
    standing = [table for b in backgrounds for table in (b.standing or [_NOWHERE] * max(1, len(catalog.places)))]
    ends = np.cumsum([0] + [table.pixels.size for table in standing], dtype=np.int64)
    places = len(standing) // len(backgrounds)
    by_distance = recipe.contact_sampling != "picture"
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
        policy_end=np.cumsum([recipe.policies.get(name, 0.0) for name in POLICIES]),
        height_ratio=recipe.height_ratio,
        size_jitter=recipe.size_jitter,
        rows=recipe.rows,
        number_end=np.zeros(0) if catalog.layout is None else catalog.layout.number_end,
        layout=np.zeros((0, 0)) if catalog.layout is None else catalog.layout.acceptance,
        background_size=np.array([(b.width, b.height) for b in backgrounds], np.int64),
        plane=np.array(
            [(b.plane.a, b.plane.b, b.plane.c) if b.plane else (np.nan,) * 3 for b in backgrounds], np.float64
        ),
        horizon_level=np.array([b.horizon_level for b in backgrounds], np.float64),
        farthest_ground=np.array([_farthest_ground(b) for b in backgrounds], np.float64),
        camera_height_m=np.array([b.camera_height_m or np.nan for b in backgrounds], np.float64),
        standing_start=np.array([ends[n * places : (n + 1) * places + 1] for n in range(len(backgrounds))]),
        standing_pixels=np.concatenate([table.pixels for table in standing]),
        standing_step=np.array([table.step for table in standing], np.int64).reshape(len(backgrounds), places),
        standing_weights=np.concatenate(
            [np.ones(table.pixels.size) if table.distance is None else table.distance for table in standing]
            if by_distance
            else [np.zeros(0)]
        ),
        coarse_start=coarse_start,
        coarse_size=coarse_size,
        coarse_depth=coarse_depth,
        occluder_start=occluder_start,
        occluder_size=occluder_size,
        coarse_occluder=coarse_occluder,
        foreground_size=np.array([(f.width, f.height) for f in foregrounds], np.float64),
        contact=np.array([f.contact for f in foregrounds], np.float64),
        silhouette=np.stack([f.silhouette for f in foregrounds]).reshape(-1, SILHOUETTE_PX, SILHOUETTE_PX),
        silhouette_sums=np.pad(
            np.stack([f.silhouette for f in foregrounds]).cumsum(1, np.float64).cumsum(2), ((0, 0), (1, 0), (1, 0))
        ),
        scale=np.array([f.scale for f in foregrounds], np.float64),
        place=np.array([f.place for f in foregrounds], np.int64),
        object_height_m=np.array([f.height_m or np.nan for f in foregrounds], np.float64),
        cut=np.array([CUT_SIDES.index(f.cut) for f in foregrounds], np.int64),
        side=sides,
        side_start=np.searchsorted(np.sort(sides), np.arange(len(SPLITS) + 2)).astype(np.int64),
        side_members=np.argsort(sides, kind="stable").astype(np.int64),
    )


def _farthest_ground(background: Background) -> float:
    upright = background.coarse_occluder is not None and background.coarse_depth is None
    if background.plane is None or not upright:
        return background.horizon_level
    return farthest_ground(background.plane, background.width, background.height)


def _joined(
    grids: Sequence[NDArray[np.float32] | None],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Returns where each grid starts, its width and height, and all grids one after another; None is an empty grid."""
    known = [np.zeros((0, 0), np.float32) if grid is None else grid for grid in grids]
    starts = np.cumsum([0] + [grid.size for grid in known[:-1]], dtype=np.int64)
    sizes = np.array([grid.shape[::-1] for grid in known], np.int64)
    return starts, sizes, np.concatenate([grid.ravel() for grid in known]).astype(np.float32)
