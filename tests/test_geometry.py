from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qumade.errors import QumadeError
from qumade.geometry import (
    GroundPlane,
    estimate_horizon,
    fit_ground_plane,
    flat_ground_prior,
    inverse_depth_map,
    shift_from_horizon,
    shift_from_sky,
)

planes = st.builds(
    GroundPlane, st.floats(-1e-3, 1e-3), st.floats(1e-4, 1e-2), st.floats(-1, 1).filter(lambda c: abs(c) > 1e-3)
)
points = st.tuples(st.floats(-500, 2000), st.floats(-500, 2000))


def camera_plane(focal_px: float, height_m: float, cx: float, horizon: float, roll: float) -> GroundPlane:
    """The closed form: a level camera, rolled about its centre (cx, horizon)."""
    a, b = np.sin(roll) / (focal_px * height_m), np.cos(roll) / (focal_px * height_m)
    return GroundPlane(a, b, -a * cx - b * horizon)


def test_inverse_depth_matches_a_projected_ground_point() -> None:
    focal_px, height_m, cx, cy = 300.0, 1.5, 160.0, 90.0
    plane = camera_plane(focal_px, height_m, cx, cy, 0.0)
    for x, z in [(-3.0, 4.0), (0.0, 10.0), (2.0, 77.0)]:
        u, v = cx + focal_px * x / z, cy + focal_px * height_m / z
        assert plane.inverse_depth(u, v) == pytest.approx(1 / z)
    assert plane.horizon_row(0.0) == pytest.approx(cy)


@given(planes, points)
def test_inverse_depth_is_zero_on_the_horizon(plane: GroundPlane, point: tuple[float, float]) -> None:
    assert plane.inverse_depth(point[0], plane.horizon_row(point[0])) == pytest.approx(0, abs=1e-9)


@given(planes, points, st.floats(0.1, 10), st.floats(0.1, 10))
def test_resizing_moves_the_ground_with_the_pixels(
    plane: GroundPlane, point: tuple[float, float], sx: float, sy: float
) -> None:
    u, v = point
    truth = pytest.approx(plane.inverse_depth(u, v), abs=1e-6)
    assert plane.resized(sx, sy).inverse_depth(u * sx, v * sy) == truth


@pytest.mark.parametrize("bad", [(0, 0, 0), (0, -1e-3, 1), (np.nan, 1, 0), (0, np.inf, 0)])
def test_plane_rejects_ground_that_does_not_come_nearer_downwards(bad: tuple[float, float, float]) -> None:
    with pytest.raises(QumadeError, match="ground plane"):
        GroundPlane(*bad)


def test_prior_is_one_at_the_lower_edge_and_zero_at_the_horizon() -> None:
    plane = flat_ground_prior(180, 400)
    assert plane.inverse_depth(55.0, 400.0) == pytest.approx(1)
    assert plane.horizon_row(999.0) == pytest.approx(180)
    assert flat_ground_prior(-50, 400).horizon_row(0.0) == pytest.approx(-50)


@pytest.mark.parametrize("horizon", [400, 500, np.nan])
def test_prior_rejects_a_horizon_below_the_image(horizon: float) -> None:
    with pytest.raises(QumadeError, match="horizon"):
        flat_ground_prior(horizon, 400)


def test_map_is_the_plane_at_pixel_centres_and_zero_above_the_horizon() -> None:
    plane = GroundPlane(0.001, 0.01, -0.1)
    drawn = inverse_depth_map(plane, 8, 20)
    assert drawn.shape == (20, 8) and drawn.dtype == np.float32
    assert drawn[15, 3] == pytest.approx(plane.inverse_depth(3.5, 15.5), rel=1e-6)
    assert drawn[0].max() == 0 and drawn.min() == 0


@settings(deadline=None, max_examples=40)
@given(
    focal_px=st.floats(150, 900),
    height_m=st.floats(1.0, 3.0),
    horizon=st.floats(20, 90),
    roll=st.floats(-0.1, 0.1),
    noise=st.floats(0, 0.03),
    outliers=st.floats(0, 0.35),
    unknown=st.floats(0, 0.5),
    seed=st.integers(0, 2**32 - 1),
)
def test_fit_finds_the_plane_under_noise_outliers_and_holes(
    focal_px: float,
    height_m: float,
    horizon: float,
    roll: float,
    noise: float,
    outliers: float,
    unknown: float,
    seed: int,
) -> None:
    width, height = 240, 180
    truth = camera_plane(focal_px, height_m, width / 2, horizon, roll)
    clean = inverse_depth_map(truth, width, height).astype(np.float64)
    rng = np.random.default_rng(seed)
    depth = clean * (1 + noise * rng.standard_normal(clean.shape))
    wrong = rng.random(clean.shape) < outliers
    depth[wrong] += rng.uniform(0.05, 1, wrong.sum()) * clean.max()  # something stands on the ground: always nearer
    depth[rng.random(clean.shape) < unknown] = np.nan
    ground = np.zeros(clean.shape, bool)
    ground[110:] = True
    ground[150:170, 60:90] = False
    fit = fit_ground_plane(depth.astype(np.float32), ground)
    assert np.hypot(fit.plane.a, fit.plane.b) * focal_px * height_m == pytest.approx(1, abs=0.03)
    assert abs(fit.plane.horizon_row(width / 2) - horizon) < 0.03 * (180 - horizon)
    assert fit.median_relative_residual < 0.01 + 3 * noise + 0.1 * outliers
    if noise < 0.01:
        assert fit.inlier_share == pytest.approx(1 - outliers, abs=0.1)


def test_fit_of_an_exact_plane_is_exact_and_repeatable() -> None:
    truth = camera_plane(320, 1.5, 160, 100, 0.02)
    depth = inverse_depth_map(truth, 320, 240)
    ground = depth > 0
    fit = fit_ground_plane(depth, ground)
    assert [fit.plane.a, fit.plane.b, fit.plane.c] == pytest.approx([truth.a, truth.b, truth.c], rel=1e-5)
    assert fit.inlier_share == 1 and fit.median_relative_residual < 1e-5
    assert fit_ground_plane(depth.copy(), ground.copy()) == fit


def ground_of(rows: slice, columns: slice) -> np.ndarray:
    ground = np.zeros((60, 80), bool)
    ground[rows, columns] = True
    return ground


@pytest.mark.parametrize(
    ("ground", "message"),
    [
        (ground_of(slice(0, 0), slice(0, 0)), "got 0 pixels"),
        (ground_of(slice(40, 41), slice(0, 80)), "got 80 pixels"),
        (ground_of(slice(40, 42), slice(0, 80)), "in a line"),
        (ground_of(slice(0, 60), slice(40, 42)), "in a line"),
        (np.ones((60, 81), bool), "shape"),
    ],
)
def test_fit_rejects_too_little_ground(ground: np.ndarray, message: str) -> None:
    depth = inverse_depth_map(flat_ground_prior(-5, 60), 80, 60)
    with pytest.raises(QumadeError, match=message):
        fit_ground_plane(depth, ground)


def test_fit_rejects_unknown_and_upside_down_depth() -> None:
    depth = inverse_depth_map(flat_ground_prior(-5, 60), 80, 60)
    everywhere = np.ones(depth.shape, bool)
    with pytest.raises(QumadeError, match="got 0 pixels"):
        fit_ground_plane(np.full_like(depth, np.nan), everywhere)
    with pytest.raises(QumadeError, match="ground plane"):
        fit_ground_plane(depth[::-1].copy(), everywhere)


@given(scale=st.floats(0.01, 100), shift=st.floats(-5, 5))
@settings(deadline=None, max_examples=20)
def test_both_shifts_undo_an_affine_map(scale: float, shift: float) -> None:
    truth = inverse_depth_map(flat_ground_prior(40, 100), 80, 100)
    affine = (scale * truth + shift).astype(np.float32)
    affine[::7, ::5] = np.nan
    rows = np.arange(100)[:, None].repeat(80, 1)
    sky, ground = rows < 30, rows > 50
    sky[:3] = False
    affine[25:30, 20:30] = 2 * scale + shift  # a branch labelled sky
    tolerance = 1e-3 * scale + 1e-5 * abs(shift)
    assert shift_from_sky(affine, sky) == pytest.approx(shift, abs=tolerance)
    assert shift_from_horizon(affine, ground, 40) == pytest.approx(shift, abs=tolerance)


def test_shift_rejects_too_little_sky() -> None:
    depth = np.zeros((20, 20), np.float32)
    sky = np.zeros((20, 20), bool)
    sky[:2] = True
    with pytest.raises(QumadeError, match="got 40 pixels"):
        shift_from_sky(depth, sky)


def test_lidar_ground_of_a_known_camera(real_data: Path) -> None:
    focal_px, cx, camera_m = 707.0493, 604.0814, 1.65
    frames = sorted((real_data / "kitti_demo" / "depth").glob("*.png"))
    if not frames:
        pytest.skip("no LiDAR frames")
    for frame in frames:
        metres = np.asarray(Image.open(frame), np.float32) / 256
        depth = np.where(metres > 0, 1 / np.maximum(metres, 1e-3), np.nan)
        v, u = np.mgrid[: metres.shape[0], : metres.shape[1]] + 0.5
        in_front = (v > 230) & (np.abs(u - cx) < 0.8 * (v - 180))
        fit = fit_ground_plane(depth, in_front)
        assert fit.plane.b * focal_px * camera_m == pytest.approx(1, abs=0.05)
        assert fit.median_relative_residual < 0.01
        assert abs(fit.plane.horizon_row(cx) - 180.5) < 20  # the road is not quite level with the camera


def road_map(
    horizon: float, *, cx: float = 160, left_m: float = -3, right_m: float = 4, roll: float = 0, top: float = 4
) -> np.ndarray:
    """A straight road, `left_m` to `right_m` beside a camera 1.5 m high, that ends `top` px below the horizon."""
    v, u = np.mgrid[:240, :320] + 0.5
    below = (v - horizon) * np.cos(roll) + (u - cx) * np.sin(roll)
    across = (u - cx) * np.cos(roll) - (v - horizon) * np.sin(roll)
    return (below > top) & (across > left_m / 1.5 * below) & (across < right_m / 1.5 * below)


def sky_map(row: int) -> np.ndarray:
    return np.arange(240)[:, None].repeat(320, 1) < row


@pytest.mark.parametrize("horizon", [60, 101.3, 140])
@pytest.mark.parametrize("edges", [(-3, 4), (-1, 2.5), (1, 3), (-9, 5)])
def test_horizon_of_a_straight_road(horizon: float, edges: tuple[float, float]) -> None:
    road = road_map(horizon, left_m=edges[0], right_m=edges[1])
    estimate = estimate_horizon(road, sky_map(int(horizon) - 10))
    assert estimate == pytest.approx(horizon, abs=1.5)


@pytest.mark.parametrize("roll", [-0.05, 0.05])
def test_horizon_of_a_rolled_road(roll: float) -> None:
    estimate = estimate_horizon(road_map(100, roll=roll), sky_map(80))
    assert estimate == pytest.approx(100, abs=2)


def test_horizon_with_a_car_on_the_road_and_an_edge_cut_off() -> None:
    road = road_map(100, cx=40, left_m=-2)
    road[150:190, 60:120] = False
    assert estimate_horizon(road, sky_map(90)) == pytest.approx(100, abs=2)


def test_horizon_between_sky_and_a_plain_that_fills_the_width() -> None:
    plain = np.arange(240)[:, None].repeat(320, 1) >= 106
    assert estimate_horizon(plain, sky_map(98)) == 102


@pytest.mark.parametrize(
    ("road", "sky"),
    [
        (np.zeros((240, 320), bool), sky_map(90)),
        (road_map(100) & (sky_map(125)), sky_map(90)),  # a speck far away
        (sky_map(60), sky_map(0)),  # the sky, labelled road
        (np.arange(240)[:, None].repeat(320, 1) >= 160, sky_map(80)),  # a square: its far edge may be anywhere
        (np.abs(np.arange(320) - 160)[None, :].repeat(240, 0) < 40, sky_map(0)),  # seen from above: never converges
    ],
)
def test_no_horizon_from_an_ambiguous_map(road: np.ndarray, sky: np.ndarray) -> None:
    assert estimate_horizon(road, sky) is None
