import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qumade.assets.bundled import bundled_folder
from qumade.assets.depths import read_inverse_depth
from qumade.assets.ground import PRIOR_HORIZON, Survey, occluding, survey_background
from qumade.assets.label_scheme import label_scheme
from qumade.assets.labels import read_labels
from qumade.assets.upright_prior import FARTHEST
from qumade.geometry import GroundPlane, inverse_depth_map
from qumade.recipe import Recipe

ROAD, SIDEWALK, BUILDING, POLE, SKY, CAR = 0, 1, 2, 5, 10, 13
WIDTH, HEIGHT, HORIZON = 120, 90, 36.0
PLANE = GroundPlane(0.0, 1 / 150, -HORIZON / 150)  # 1/m: 150 = focal length x camera height

MakeRecipe = Callable[..., Recipe]


def street() -> np.ndarray:
    """Sky, buildings, a pavement at the left, road, a pole on it in columns 60 to 63 and a car."""
    labels = np.full((HEIGHT, WIDTH), BUILDING, np.int32)
    labels[:20] = SKY
    labels[40:] = ROAD
    labels[40:, :30] = SIDEWALK
    labels[10:70, 60:64] = POLE
    labels[44:54, 90:110] = CAR
    return labels


def metric(labels: np.ndarray) -> np.ndarray:
    depth = inverse_depth_map(PLANE, WIDTH, HEIGHT)
    depth[:40] = PLANE.inverse_depth(0.0, 40.5)
    depth[labels == POLE] = PLANE.inverse_depth(0.0, 70.0)
    depth[labels == CAR] = PLANE.inverse_depth(0.0, 54.0)
    depth[labels == SKY] = 0
    return depth


def survey(recipe: Recipe, labels: np.ndarray | None, depth: np.ndarray | None, kind: Any = "metric") -> Survey:
    scheme = label_scheme(recipe)
    return survey_background(recipe, "photo.jpg", (WIDTH, HEIGHT), labels, scheme, depth, kind)


def stands_at(found: Survey, place: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels of a table."""
    assert found.standing is not None
    return np.divmod(found.standing[place].pixels, WIDTH)


class TestPlane:
    def test_metric_depth_gives_the_plane(self, make_recipe: MakeRecipe) -> None:
        labels = street()
        found = survey(make_recipe(labels="labels"), labels, metric(labels))
        assert found.plane is not None and found.fit is not None
        assert found.plane.b == pytest.approx(PLANE.b, rel=1e-4)
        assert found.plane.horizon_row(60.0) == pytest.approx(HORIZON, abs=0.01)
        assert found.fit.inlier_share == pytest.approx(1)
        assert found.horizon_level == 0
        assert found.notes == ()

    @pytest.mark.parametrize("given", [False, True])
    def test_affine_depth_is_relative_to_the_sky_or_a_given_horizon(self, make_recipe: MakeRecipe, given: bool) -> None:
        labels = street()
        depth = np.float32(0.25) + np.float32(2) * metric(labels)
        if given:  # no visible sky
            labels[labels == SKY] = BUILDING
        recipe = make_recipe(labels="labels", horizon=HORIZON / HEIGHT if given else {})
        found = survey(recipe, labels, depth, "affine")
        assert found.plane is not None
        assert found.horizon_level == pytest.approx(0.25, abs=1e-4)
        # The plane is in the map's own unit, the horizon where it reaches the level.
        assert found.plane.inverse_depth(10.0, HORIZON) == pytest.approx(0.25, abs=1e-3)
        assert found.plane.b == pytest.approx(2 * PLANE.b, rel=1e-3)
        rows, _ = stands_at(found)
        assert rows.min() >= 40

    def test_affine_depth_without_sky_has_no_horizon(self, make_recipe: MakeRecipe) -> None:
        labels = street()
        labels[labels == SKY] = BUILDING
        found = survey(make_recipe(labels="labels"), labels, np.float32(0.25) + metric(labels), "affine")
        assert found.plane is None and np.isnan(found.horizon_level)
        assert any("affine depth needs sky" in note for note in found.notes)
        assert found.standing is not None and found.standing[0].pixels.size  # places from labels remain

    def test_ground_that_is_not_flat_is_noted(self, make_recipe: MakeRecipe) -> None:
        labels = street()
        depth = metric(labels)
        v, u = np.mgrid[:HEIGHT, :WIDTH]
        depth[labels != SKY] *= (1 + 0.7 * np.sin(u / 3.0) * np.cos(v / 3.0)).astype(np.float32)[labels != SKY]
        found = survey(make_recipe(labels="labels"), labels, depth)
        assert found.plane is None
        assert any("no ground plane" in note for note in found.notes)

    def test_missing_ground_is_noted(self, make_recipe: MakeRecipe) -> None:
        labels = np.full((HEIGHT, WIDTH), BUILDING, np.int32)
        found = survey(make_recipe(labels="labels"), labels, metric(street()))
        assert found.plane is None
        assert any("no ground plane" in note and "got 0 pixels" in note for note in found.notes)
        assert found.standing is not None and found.standing[0].pixels.size == 0

    @pytest.mark.parametrize(
        ("horizon", "row"),
        [
            ({}, PRIOR_HORIZON * HEIGHT),
            (0.3, 0.3 * HEIGHT),
            ({"photo*": 0.2, "default": 0.6}, 0.2 * HEIGHT),
            ({"other": 0.2, "default": 0.6}, 0.6 * HEIGHT),
            (-0.5, -0.5 * HEIGHT),
        ],
    )
    def test_prior_without_depth(self, make_recipe: MakeRecipe, horizon: Any, row: float) -> None:
        found = survey(make_recipe(horizon=horizon), None, None)
        assert found.plane is not None and found.standing is None
        assert found.plane.horizon_row(17.0) == pytest.approx(row)
        assert found.plane.inverse_depth(17.0, float(HEIGHT)) == pytest.approx(1)

    def test_horizon_from_labels(self, make_recipe: MakeRecipe) -> None:
        labels = street()
        v, u = np.mgrid[:HEIGHT, :WIDTH] + 0.5
        labels[20:] = BUILDING
        labels[(v > HORIZON + 2) & (np.abs(u - 60) < v - HORIZON)] = ROAD
        found = survey(make_recipe(labels="labels", horizon="labels"), labels, None)
        assert found.plane is not None
        assert found.plane.horizon_row(0.0) == pytest.approx(HORIZON, abs=1)
        assert found.notes == ()

    def test_horizon_from_the_end_of_the_ground_is_noted(self, make_recipe: MakeRecipe) -> None:
        recipe = make_recipe(labels="labels", horizon="labels")
        square = street()
        square[40:] = ROAD
        square[40:60] = BUILDING
        found = survey(recipe, square, None)
        assert found.plane is not None
        assert found.plane.horizon_row(0.0) == 60
        assert any("upper end" in note for note in found.notes)
        nothing = survey(recipe, np.full_like(square, BUILDING), None)
        assert nothing.plane is not None
        assert nothing.plane.horizon_row(0.0) == pytest.approx(PRIOR_HORIZON * HEIGHT)
        assert any("does not determine a horizon" in note for note in nothing.notes)
        assert found.horizon_known and not nothing.horizon_known


class TestStanding:
    def test_ground_of_each_place(self, make_recipe: MakeRecipe) -> None:
        labels = street()
        recipe = make_recipe(labels="labels", place={"a": ("road",), "b": ("sidewalk",), "c": ("terrain",)})
        found = survey(recipe, labels, metric(labels))
        for place, ids in enumerate([(ROAD, SIDEWALK), (ROAD,), (SIDEWALK,), ()]):
            rows, columns = stands_at(found, place)
            where = np.zeros(labels.shape, bool)
            where[rows, columns] = True
            np.testing.assert_array_equal(where, np.isin(labels, ids))
        assert found.standable is not None
        np.testing.assert_array_equal(found.standable, np.isin(labels, (ROAD, SIDEWALK)))

    def test_standing_pixels_are_below_the_horizon(self, make_recipe: MakeRecipe) -> None:
        labels = street()
        found = survey(make_recipe(labels="labels", horizon=0.6, prior="flat"), labels, None)
        rows, _ = stands_at(found)
        assert rows.min() + 0.5 > 0.6 * HEIGHT and rows.min() - 0.5 <= 0.6 * HEIGHT

    def test_nothing_stands_beyond_the_farthest_ground_of_the_upright_prior(self, make_recipe: MakeRecipe) -> None:
        """Its depth would be that of ground in front of it."""
        found = survey(make_recipe(labels="labels", horizon=0.6, prior="upright"), street(), None)
        rows, _ = stands_at(found)
        below = (HEIGHT - 0.5 - 0.6 * HEIGHT) / FARTHEST  # distance from the horizon at 50 times the least distance
        assert rows.min() + 0.5 >= 0.6 * HEIGHT + below > rows.min() - 0.5

    def test_contact_rows_limit_the_standing_pixels(self, make_recipe: MakeRecipe) -> None:
        labels = street()
        rows, _ = stands_at(survey(make_recipe(labels="labels", contact_rows=(0.6, 0.8)), labels, metric(labels)))
        assert (rows.min(), rows.max()) == (54, 71)

    def test_contact_distance_limits_the_standing_pixels(self, make_recipe: MakeRecipe) -> None:
        labels = street()
        rows, _ = stands_at(survey(make_recipe(labels="labels", contact_distance=(3.0, 6.0)), labels, metric(labels)))
        metres = 150 / (np.array([rows.max(), rows.min()]) + 0.5 - HORIZON)
        assert 3.0 <= metres[0] < 3.1 and 5.7 < metres[1] <= 6.0

    def test_distance_sampling_needs_depth(self, make_recipe: MakeRecipe) -> None:
        labels = street()
        for law, has in (("picture", False), ("distance", True)):
            found = survey(make_recipe(labels="labels", contact_sampling=law), labels, metric(labels))
            assert found.standing is not None
            assert (found.standing[0].distance is not None) == has


class TestWhatIsThere:
    def test_share_of_the_target(self, make_recipe: MakeRecipe) -> None:
        labels = street()
        assert survey(make_recipe(labels="labels"), labels, None).present_share == 200 / labels.size
        other = make_recipe(labels="labels", target=("person",))
        assert survey(other, labels, None).present_share == 0

    def test_ground_never_hides(self, make_recipe: MakeRecipe) -> None:
        labels = street()
        depth = metric(labels)
        scheme = label_scheme(make_recipe(labels="labels", ground=("road",), place={"*": ("sidewalk",)}))
        occluder = occluding(depth, 0.0, labels, scheme)
        ground = np.isin(labels, (ROAD, SIDEWALK))
        assert occluder.dtype == np.float32
        assert (occluder[ground] == 0).all()
        np.testing.assert_array_equal(occluder[~ground], depth[~ground])
        np.testing.assert_allclose(occluding(depth + np.float32(0.5), 0.5, None, None), depth, atol=1e-6)

    def test_coarse_grids_show_the_wall(self, make_recipe: MakeRecipe) -> None:
        labels = street()
        found = survey(make_recipe(labels="labels"), labels, metric(labels))
        assert found.coarse_depth is not None and found.coarse_occluder is not None
        assert found.coarse_depth.shape == found.coarse_occluder.shape
        rows, columns = found.coarse_depth.shape
        pole = found.coarse_occluder[int(50 / HEIGHT * rows), int(62 / WIDTH * columns)]
        assert pole == pytest.approx(PLANE.inverse_depth(0.0, 70.0), rel=0.01)
        assert found.coarse_occluder[rows - 2, columns // 4] == 0


@pytest.mark.slow
def test_bundled_planes_match_the_cameras(make_recipe: MakeRecipe) -> None:
    """Planes that a survey finds on all ground classes together, against the cameras that rendered the scenes."""
    folder = bundled_folder()
    cameras = json.loads((folder / "cameras.json").read_text())["backgrounds"]
    recipe = make_recipe(labels="labels", depths="depths")
    scheme = label_scheme(recipe)
    worst_px, worst_slope = 0.0, 0.0
    for name, camera in cameras.items():
        size = camera["width"], camera["height"]
        labels = read_labels(folder / "labels" / f"{name}.png", size)
        depth = read_inverse_depth(folder / "depths" / f"{name}.png", size, "metric")
        found = survey_background(recipe, f"{name}.jpg", size, labels, scheme, depth, "metric")
        assert found.plane is not None, name
        for u, v in camera["horizon"]:
            worst_px = max(worst_px, abs(float(found.plane.horizon_row(u)) - v))
        worst_slope = max(worst_slope, abs(found.plane.b / camera["plane"][1] - 1))
        assert found.standing is not None and found.standing[0].pixels.size > 1000, name
        rows, columns = np.divmod(found.standing[0].pixels, size[0])
        assert np.isin(labels[rows, columns], (0, 1, 9)).all()
    print(f"horizon within {worst_px:.2f} px, slope within {worst_slope:.2%}")
    assert worst_px < 2
    assert worst_slope < 0.01
