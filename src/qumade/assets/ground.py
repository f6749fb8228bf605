"""Survey the ground of one background: its plane, its horizon, and where objects may stand."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qumade.assets.depths import coarse_mean
from qumade.assets.horizon import estimate_horizon
from qumade.assets.label_names import resolve_ids
from qumade.assets.label_scheme import LabelScheme
from qumade.assets.labels import StandingTable, standable, standing_table, target_pixels
from qumade.assets.upright_prior import farthest_ground, things_depth, upright_prior
from qumade.depth.encoding import DepthKind
from qumade.errors import AssetError
from qumade.geometry import (
    GroundFit,
    GroundPlane,
    fit_ground_plane,
    flat_ground_prior,
    inverse_depth_map,
    shift_from_horizon,
    shift_from_sky,
)
from qumade.recipe import Recipe, for_file

__all__ = ["PRIOR_HORIZON", "FitPlane", "Survey", "occluding", "survey_background"]

PRIOR_HORIZON = 0.45
"""Default row of the horizon of the flat-ground prior, as a share of the photo's height."""

_MOST_UNLABELLED = 0.1  # share of a photo: more are worth a warning
_LEAST_INLIERS = 0.5  # a plane that fits less than half of the ground is rejected

Labels = NDArray[np.int32]
Bools = NDArray[np.bool_]
FitPlane = Callable[[NDArray[np.floating], Bools], GroundFit]


@dataclass(frozen=True, eq=False)
class Survey:
    """The result of a survey. Fields that `Background` has too are documented there.

    `horizon_known` is False if the horizon should come from the label map but the map does not determine it; the plane
    then has the default horizon. `present_share` is the share of pixels that already show the target, and `notes` are
    messages for the user. `fit` is the plane fit in inverse depth above `horizon_level`, also if it was rejected.
    `standable` bool [H, W] is the union of the standing pixels of all places.
    """

    plane: GroundPlane | None
    horizon_level: float
    horizon_known: bool
    coarse_depth: NDArray[np.float32] | None
    coarse_occluder: NDArray[np.float32] | None
    standing: tuple[StandingTable, ...] | None
    present_share: float
    notes: tuple[str, ...]
    fit: GroundFit | None = None
    standable: Bools | None = None


@dataclass(frozen=True, eq=False)
class _Photo:
    """What is known of one background; `notes` collects what a person should know."""

    recipe: Recipe
    name: str
    size: tuple[int, int]
    labels: Labels | None
    scheme: LabelScheme | None
    inverse_depth: NDArray[np.float32] | None
    kind: DepthKind
    notes: list[str]


def survey_background(
    recipe: Recipe,
    name: str,
    size: tuple[int, int],
    labels: Labels | None,
    scheme: LabelScheme | None,
    inverse_depth: NDArray[np.float32] | None,
    kind: DepthKind,
    fit_plane: FitPlane = fit_ground_plane,
) -> Survey:
    """Surveys the background `name` of `size` (width, height), with its label map and inverse depth [H, W] if known.

    `fit_plane` takes the place of `fit_ground_plane`."""
    photo = _Photo(recipe, name, size, labels, scheme, inverse_depth, kind, [])
    level, coarse, occluder, fit = 0.0, None, None, None
    plane: GroundPlane | None
    known = True
    if inverse_depth is None:
        plane, known = _prior(photo)
        if recipe.prior == "upright" and labels is not None and scheme is not None:
            occluder = _prior_occluder(labels, scheme, plane)
    else:
        level = _level(photo, inverse_depth)
        fit = _fit(photo, inverse_depth, level, fit_plane)
        plane = _plane(photo, fit, level)
        coarse = coarse_mean(inverse_depth)
        occluder = np.nan_to_num(coarse_mean(occluding(inverse_depth, level, labels, scheme)))
    if labels is None or scheme is None:
        return Survey(plane, level, known, coarse, occluder, None, 0.0, tuple(photo.notes))
    present = float(target_pixels(labels, scheme.target).mean())
    unlabelled = 1.0 - float(target_pixels(labels, scheme.named).mean()) if recipe.knows_present else 0.0
    if unlabelled > _MOST_UNLABELLED:
        photo.notes.append(
            f"{unlabelled:.0%} of its pixels have no label; they are ignored, since they may show the object"
        )
    standing, where = _standing(photo, labels, scheme, plane, level)
    return Survey(plane, level, known, coarse, occluder, standing, present, tuple(photo.notes), fit, where)


def occluding(
    inverse_depth: NDArray[np.float32], level: float, labels: Labels | None, scheme: LabelScheme | None
) -> NDArray[np.float32]:
    """Returns the inverse depth of everything that may hide objects, float32 [H, W]; infinity is 0.

    It is 0 on the ground, which never hides the objects standing on it.
    """
    occluder = inverse_depth - np.float32(0.0 if np.isnan(level) else level)
    if labels is not None and scheme is not None:
        standing_on = scheme.ground.union(*(resolve_ids(scheme.table, names) for names in scheme.places))
        occluder = np.where(target_pixels(labels, standing_on), np.float32(0.0), occluder)
    return occluder.astype(np.float32)


def _prior(photo: _Photo) -> tuple[GroundPlane, bool]:
    """Returns flat ground below the given, estimated or default horizon.

    The second value is False if the horizon should come from the label map but the map does not determine it.
    """
    given = for_file(photo.name, photo.recipe.horizon)
    if given == "labels" and photo.labels is not None and photo.scheme is not None:
        estimate = estimate_horizon(photo.labels, photo.scheme)
        if estimate is not None and not estimate.converges:
            photo.notes.append(
                "its road edges do not determine the horizon; the upper end of road and sidewalk is used"
            )
        if estimate is not None:
            return flat_ground_prior(estimate.row, photo.size[1]), True
        photo.notes.append(f"its label map does not determine a horizon; {PRIOR_HORIZON} of the height is used")
        return flat_ground_prior(PRIOR_HORIZON * photo.size[1], photo.size[1]), False
    share = given if isinstance(given, float) else PRIOR_HORIZON
    return flat_ground_prior(share * photo.size[1], photo.size[1]), True


def _prior_occluder(labels: Labels, scheme: LabelScheme, plane: GroundPlane) -> NDArray[np.float32]:
    things = things_depth(labels, scheme, plane)
    size = things.shape[1], things.shape[0]
    small = plane.resized(size[0] / labels.shape[1], size[1] / labels.shape[0])
    return coarse_mean(upright_prior(things, small, size)[1])


def _level(photo: _Photo, inverse_depth: NDArray[np.float32]) -> float:
    """Returns the inverse depth at infinity: 0, or for affine depth that of the sky or a given horizon, or NaN."""
    if photo.kind != "affine":
        return 0.0
    if photo.labels is None or photo.scheme is None:
        return float("nan")
    given = for_file(photo.name, photo.recipe.horizon)
    if isinstance(given, float):
        ground = target_pixels(photo.labels, photo.scheme.ground)
        try:
            return shift_from_horizon(inverse_depth, ground, given * inverse_depth.shape[0])
        except AssetError as error:
            photo.notes.append(f"no horizon: {error}")
            return float("nan")
    try:
        return shift_from_sky(inverse_depth, target_pixels(photo.labels, photo.scheme.sky))
    except AssetError as error:
        photo.notes.append(f"no horizon, because affine depth needs sky or a given one: {error}")
        return float("nan")


def _fit(photo: _Photo, inverse_depth: NDArray[np.float32], level: float, fit_plane: FitPlane) -> GroundFit | None:
    """Fits a plane to the ground's inverse depth above the level; None if the ground or the horizon is unknown."""
    if photo.labels is None or photo.scheme is None or np.isnan(level):
        return None
    try:
        return fit_plane(inverse_depth - np.float32(level), target_pixels(photo.labels, photo.scheme.ground))
    except AssetError as error:
        photo.notes.append(f"no ground plane: {error}")
        return None


def _plane(photo: _Photo, fit: GroundFit | None, level: float) -> GroundPlane | None:
    """Returns the ground plane in the map's own unit, None if it was not found or the ground is not flat."""
    if fit is None:
        return None
    if fit.inlier_share < _LEAST_INLIERS:
        photo.notes.append(f"no ground plane: only {fit.inlier_share:.0%} of the ground lies on the best one")
        return None
    return GroundPlane(fit.plane.a, fit.plane.b, fit.plane.c + level)


def _standing(
    photo: _Photo, labels: Labels, scheme: LabelScheme, plane: GroundPlane | None, level: float
) -> tuple[tuple[StandingTable, ...], Bools]:
    """Returns a table of standing pixels for each of the scheme's places, and their union, bool [H, W]."""
    width, height = photo.size
    far = 0.0 if np.isnan(level) else level
    horizon = None if plane is None else GroundPlane(plane.a, plane.b, plane.c - far)
    if horizon is not None:
        depth = inverse_depth_map(horizon, width, height)
    elif photo.inverse_depth is not None:
        depth = photo.inverse_depth - np.float32(far)
    else:
        raise ValueError("neither a plane nor a depth map")
    allowed = depth > 0
    if plane is not None and photo.inverse_depth is None and photo.recipe.prior == "upright":
        allowed &= depth >= farthest_ground(plane, width, height)
    rows = (np.arange(height) + 0.5) / height
    allowed &= ((rows >= photo.recipe.contact_rows[0]) & (rows <= photo.recipe.contact_rows[1]))[:, None]
    if photo.recipe.contact_distance is not None:
        nearest = 1.0 if photo.kind == "metric" else float(np.nanmax(depth[-1]))
        with np.errstate(divide="ignore"):
            distance = nearest / depth
        allowed &= (distance >= photo.recipe.contact_distance[0]) & (distance <= photo.recipe.contact_distance[1])
    tables, anywhere = [], np.zeros((height, width), np.bool_)
    for names in scheme.places:
        where = standable(labels, resolve_ids(scheme.table, names), scheme.sky, horizon) & allowed
        anywhere |= where
        law = photo.recipe.contact_sampling
        tables.append(standing_table(where, None if law == "picture" else depth, logarithmic=law == "log_distance"))
    return tuple(tables), anywhere
