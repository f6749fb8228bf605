"""Horizon, ground plane and perspective scale: pure functions over numbers and arrays.

Pixel coordinates are continuous: (0, 0) is the top left corner of the image, and the pixel in column x and row y has
its centre at (u, v) = (x + 0.5, y + 0.5). Depth is inverse depth: larger is nearer, 0 infinitely far, NaN unknown.
Nothing here reads files; a caller that has a file adds its name to the error.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from qumade.errors import AssetError

__all__ = [
    "BEHIND",
    "GroundFit",
    "GroundPlane",
    "estimate_horizon",
    "fit_ground_plane",
    "flat_ground_prior",
    "inverse_depth_map",
    "shift_from_horizon",
    "shift_from_sky",
]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Number = TypeVar("Number", float, Floats)

BEHIND = 1.03
"""An object is hidden where something in front of it is nearer by more than this factor in inverse depth."""

INLIER_TOLERANCE = 0.05
"""A pixel agrees with a plane when its inverse depth is within this relative distance of the plane's."""

# Smallest road as a share of the image; least sky in a row of sky as a share of the row; a road edge nearer to the side
# than this share of the width is cut off.
_MIN_ROAD_SHARE = 0.02
_MIN_SKY_ROW_SHARE = 0.02
_CLIPPED_SHARE = 0.01

_MIN_PIXELS = 100
_MIN_SPREAD_PX = 1.0
_FIT_PIXELS = 40_000
_LMEDS_PIXELS = 2_000
_LMEDS_TRIPLETS = 400
# Near the horizon the relative error of inverse depth is all noise. Below this share of the near ground's inverse depth
# the absolute error counts instead.
_FAR_SHARE = 0.05


@dataclass(frozen=True)
class GroundPlane:
    """A ground plane, whose inverse depth is linear in pixel coordinates: 1/Z = a u + b v + c.

    Over flat ground at height h (metres), with focal length f (pixels) and small pitch,
    (a, b) = (sin, cos)(roll) / (f h).
    The unit is that of the inverse depth: 1/m for metric depth. `b` must be positive because ground comes nearer
    towards the bottom of an image.
    """

    a: float
    b: float
    c: float

    def __post_init__(self) -> None:
        if not (np.isfinite([self.a, self.b, self.c]).all() and self.b > 0):
            raise AssetError(
                f"Invalid ground plane: got 1/Z = {self.a:.6g} u + {self.b:.6g} v + {self.c:.6g}; "
                "must be finite and come nearer towards the bottom of the image (positive factor of v)"
            )

    def inverse_depth(self, u: Number, v: Number) -> Number:
        """Return the inverse depth at points; negative above the horizon."""
        return self.a * u + self.b * v + self.c

    def horizon_row(self, u: Number) -> Number:
        """Return the row v0 at which column u meets the horizon (may lie outside the image)."""
        return -(self.a * u + self.c) / self.b

    def resized(self, sx: float, sy: float) -> "GroundPlane":
        """Return the same ground after scaling columns by sx and rows by sy."""
        return GroundPlane(self.a / sx, self.b / sy, self.c)


@dataclass(frozen=True)
class GroundFit:
    """A fitted plane and the quality of the fit.

    `inlier_share` is the share of the ground pixels whose inverse depth is within `INLIER_TOLERANCE` of the plane's,
    and `median_relative_residual` is the median of |d - plane| / plane over all of them.
    """

    plane: GroundPlane
    inlier_share: float
    median_relative_residual: float


def flat_ground_prior(horizon_row_px: float, height_px: float) -> GroundPlane:
    """Return flat ground below a level horizon, with inverse depth 1 at the lower edge of a photo `height_px` high.

    The unit is unknown: the depth is of kind `scaled`. Raises QumadeError if the horizon is not above the lower edge.
    """
    if not (np.isfinite(horizon_row_px) and horizon_row_px < height_px):
        raise AssetError(
            f"Invalid horizon: got row {horizon_row_px:g}; must be above the lower edge, row {height_px:g}"
        )
    below = height_px - horizon_row_px
    return GroundPlane(0.0, 1.0 / below, -horizon_row_px / below)


def inverse_depth_map(plane: GroundPlane, width: int, height: int) -> NDArray[np.float32]:
    """Return the plane's inverse depth at every pixel centre, float32 [H, W]; 0 on and above the horizon."""
    row = plane.a * (np.arange(width) + 0.5)
    column = plane.b * (np.arange(height) + 0.5) + plane.c
    return np.maximum(row[None, :] + column[:, None], 0.0).astype(np.float32)


def fit_ground_plane(inverse_depth: NDArray[np.floating], ground: Bools) -> GroundFit:
    """Fit 1/Z = a u + b v + c robustly to the ground pixels [H, W] of an inverse depth map [H, W].

    Residuals are relative to the plane, so far ground counts as much as near ground. Least median of squares over
    fixed random triplets (Rousseeuw 1984) finds the plane of the majority, and reweighted least squares with
    Tukey's biweight refines it. The same input always gives the same plane. Pixels that are of unknown depth or
    infinitely far are left out: sky is not ground.

    Raises QumadeError if fewer than 100 ground pixels have known depth, if they lie in a line, or if they do not come
    nearer towards the bottom.
    """
    u, v, depth = _ground_points(inverse_depth, ground, positive=True)
    coefficients, residual = _robust_plane(u, v, depth, relative=True)
    plane = GroundPlane(*coefficients)
    return GroundFit(plane, float(np.mean(residual < INLIER_TOLERANCE)), float(np.median(residual)))


def shift_from_sky(inverse_depth: NDArray[np.floating], sky: Bools) -> float:
    """Return the shift to subtract from affine inverse depth [H, W] to put the sky [H, W] at infinity: its median.

    Raises QumadeError if fewer than 100 sky pixels have known depth.
    """
    _same_shape(inverse_depth, sky, "sky")
    values = inverse_depth[sky]
    values = values[np.isfinite(values)]
    if values.size < _MIN_PIXELS:
        raise AssetError(f"Invalid sky: got {values.size} pixels with known depth; must be at least {_MIN_PIXELS}")
    return float(np.median(values))


def shift_from_horizon(inverse_depth: NDArray[np.floating], ground: Bools, horizon_row_px: float) -> float:
    """Return the shift to subtract from affine inverse depth [H, W] so that its ground [H, W] meets a given horizon.

    `horizon_row_px` is the horizon in the middle column. Raises QumadeError as `fit_ground_plane` does.
    """
    u, v, depth = _ground_points(inverse_depth, ground, positive=False)
    coefficients, _ = _robust_plane(u, v, depth, relative=False)
    return float(GroundPlane(*coefficients).inverse_depth(inverse_depth.shape[1] / 2, horizon_row_px))


def estimate_horizon(road: Bools, sky: Bools) -> float | None:
    """Estimate the horizon's row in the middle of the road from the road [H, W] and sky [H, W] of a label map.

    The edges of a road are parallel. On flat ground its width therefore grows linearly from zero at the horizon, even
    in bends and under roll. Where both edges are in the image, a robust line through the widths gives the row;
    otherwise lines through the edges cross there. It must lie between the lowest sky and the highest road, within a
    tolerance of 2 % of the height, and at most 10 % above the highest road. If neither method succeeds, the row is
    halfway between the lowest sky and the highest road, provided they are within 6 % of the height.

    Returns None if the map does not determine the horizon: no large road reaches the lower quarter, or no method
    succeeds.
    """
    _same_shape(road, sky, "sky", of="road mask")
    height, width = road.shape
    patches, count = ndimage.label(road)
    if not count:
        return None
    sizes = np.bincount(patches.ravel())[1:]
    patch = patches == 1 + np.argmax(sizes)
    rows = np.flatnonzero(patch.any(axis=1))
    if sizes.max() < _MIN_ROAD_SHARE * road.size or rows[-1] < 0.75 * height:
        return None
    centres: Floats = rows.astype(np.float64) + 0.5
    left = patch[rows].argmax(axis=1).astype(np.float64)
    right = width - patch[rows, ::-1].argmax(axis=1).astype(np.float64)
    highest_road = float(rows[0])
    sky_rows = np.flatnonzero(sky.mean(axis=1) > _MIN_SKY_ROW_SHARE)
    lowest_sky = float(sky_rows[-1] + 1) if sky_rows.size else -np.inf

    bounds = max(lowest_sky - 0.02 * height, highest_road - 0.1 * height), highest_road + 0.02 * height
    margin = _CLIPPED_SHARE * width
    left_seen, right_seen = left > margin, right < width - margin
    for row in (
        _vanishing_row(centres, right - left, left_seen & right_seen, height),
        _crossing_row(centres, left, left_seen, right, right_seen, height),
    ):
        if row is not None and bounds[0] <= row <= bounds[1]:
            return row
    return (lowest_sky + highest_road) / 2 if abs(highest_road - lowest_sky) <= 0.06 * height else None


def _vanishing_row(rows: Floats, widths: Floats, seen: Bools, height: int) -> float | None:
    line = _robust_line(rows[seen], widths[seen], height)
    return -line[1] / line[0] if line and line[0] > 0 else None


def _crossing_row(
    rows: Floats, left: Floats, left_seen: Bools, right: Floats, right_seen: Bools, height: int
) -> float | None:
    one = _robust_line(rows[left_seen], left[left_seen], height)
    other = _robust_line(rows[right_seen], right[right_seen], height)
    if one is None or other is None or other[0] - one[0] < 0.3:  # the crossing of nearly parallel lines is unreliable
        return None
    return (one[1] - other[1]) / (other[0] - one[0])


def _robust_line(x: Floats, y: Floats, height: int) -> tuple[float, float] | None:
    """Fit slope and offset by medians over pairs half the points apart (Theil 1950).

    Returns None if there are too few points or the fit is bad.
    """
    half = len(x) // 2
    if len(x) < 0.06 * height or half < 3:
        return None
    slope = float(np.median((y[half : 2 * half] - y[:half]) / (x[half : 2 * half] - x[:half])))
    offset = float(np.median(y - slope * x))
    bad = float(np.median(np.abs(y - slope * x - offset))) > 0.05 * float(np.ptp(y))
    return None if bad else (slope, offset)


def _same_shape(one: NDArray[Any], mask: Bools, name: str, of: str = "depth map") -> None:
    if one.ndim != 2 or mask.shape != one.shape:
        raise AssetError(f"Invalid {name} mask: got shape {mask.shape}; must be that of the {of}, {one.shape}")


def _ground_points(
    inverse_depth: NDArray[np.floating], ground: Bools, *, positive: bool
) -> tuple[Floats, Floats, Floats]:
    """Return centres u, v and inverse depth of ground pixels, evenly thinned."""
    _same_shape(inverse_depth, ground, "ground")
    known = ground & np.isfinite(inverse_depth)
    if positive:
        known &= inverse_depth > 0
    index = np.flatnonzero(known)
    pixels = index.size
    if pixels < _MIN_PIXELS:
        raise AssetError(f"Invalid ground: got {pixels} pixels with known depth; must be at least {_MIN_PIXELS}")
    if pixels > _FIT_PIXELS:
        index = index[np.arange(_FIT_PIXELS) * pixels // _FIT_PIXELS]
    v, u = np.divmod(index, inverse_depth.shape[1])
    points = np.stack([u + 0.5, v + 0.5])
    spread = float(np.sqrt(np.linalg.eigvalsh(np.cov(points))[0]))
    if spread < _MIN_SPREAD_PX:
        raise AssetError(
            f"Invalid ground: got pixels in a line (spread across it {spread:.2g} px); "
            f"must spread at least {_MIN_SPREAD_PX:g} px in both directions"
        )
    return points[0], points[1], inverse_depth.ravel()[index].astype(np.float64)


def _robust_plane(u: Floats, v: Floats, depth: Floats, *, relative: bool) -> tuple[tuple[float, float, float], Floats]:
    """Return (a, b, c) and the absolute residual of each point, divided by the plane's value if `relative`."""
    # Centred and scaled coordinates and depth keep the normal equations well conditioned at any size and unit.
    centre = np.array([u.mean(), v.mean()])
    size = np.array([u.std(), v.std()])
    unit = float(np.quantile(np.abs(depth), 0.95)) or 1.0
    design = np.stack([(u - centre[0]) / size[0], (v - centre[1]) / size[1], np.ones_like(u)], axis=1)
    target = depth / unit

    def denominator(value: Floats) -> Floats:
        return np.maximum(value, _FAR_SHARE) if relative else np.ones_like(value)

    solution = _least_median_plane(design, target, denominator(target))
    for _ in range(20):
        plane_value = design @ solution
        scale = denominator(plane_value)
        residual = (target - plane_value) / scale
        # 1.4826 MAD is the standard deviation of normal noise; 4.685 gives the biweight 95 % efficiency on it.
        reach = 4.685 * max(1.4826 * float(np.median(np.abs(residual))), 1e-6)
        weight = np.clip(1 - (residual / reach) ** 2, 0, None) / scale
        before = solution
        solution = _least_squares(design * weight[:, None], target * weight)
        if np.allclose(solution, before, rtol=0, atol=1e-9):
            break
    plane_value = design @ solution
    residual = np.abs(target - plane_value) / denominator(plane_value)
    a, b = unit * solution[:2] / size
    c = unit * solution[2] - a * centre[0] - b * centre[1]
    return (float(a), float(b), float(c)), residual


def _least_median_plane(design: Floats, target: Floats, scale: Floats) -> Floats:
    """Return the plane with the least median residual, out of the planes through a fixed set of point triplets."""
    pick = np.random.default_rng(0)
    some = np.arange(min(len(target), _LMEDS_PIXELS)) * len(target) // min(len(target), _LMEDS_PIXELS)
    points, values = design[some], target[some]
    triplets = pick.integers(len(some), size=(_LMEDS_TRIPLETS, 3))
    systems = points[triplets]
    wide = np.abs(np.linalg.det(systems)) > 1e-2  # narrow triangles extrapolate noise
    candidates = np.linalg.solve(systems[wide], values[triplets[wide]][..., None])[..., 0]
    if not len(candidates):
        return _least_squares(design, target)
    residual = np.abs(candidates @ points.T - values) / scale[some]
    best: Floats = candidates[np.argmin(np.median(residual, axis=1))]
    return best


def _least_squares(design: Floats, target: Floats) -> Floats:
    return np.linalg.lstsq(design, target, rcond=None)[0].astype(np.float64)
