import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from qumade.assets.bundled import bundled_folder
from qumade.assets.depths import read_inverse_depth
from qumade.assets.horizon import estimate_horizon
from qumade.assets.label_scheme import LabelScheme, label_scheme
from qumade.assets.labels import read_labels
from qumade.assets.upright_prior import FARTHEST, things_depth
from qumade.assets.upright_prior import upright_prior as drawn_prior
from qumade.geometry import GroundPlane, flat_ground_prior, inverse_depth_map
from qumade.metrics.alignment import Clamp
from qumade.metrics.scores import depth_scores
from qumade.recipe import Recipe

ROAD, BUILDING, SIGN, TREE, SKY, CAR, NOTHING = 0, 2, 7, 8, 10, 13, 255
HEIGHT, WIDTH, HORIZON = 60, 80, 20
PLANE = flat_ground_prior(HORIZON, HEIGHT)


@pytest.fixture(scope="module")
def scheme() -> LabelScheme:
    found = label_scheme(Recipe(backgrounds="b", foregrounds="f", labels="l", label_names="cityscapes"))
    assert found is not None
    return found


def street() -> np.ndarray:
    labels = np.full((HEIGHT, WIDTH), ROAD, np.int32)
    labels[:HORIZON] = SKY
    return labels


def upright_prior(labels, scheme, plane):
    return drawn_prior(things_depth(labels, scheme, plane), plane, labels.shape[::-1])[0]


def at(row: float) -> float:
    """The inverse depth of the ground at a row."""
    return (row - HORIZON) / (HEIGHT - HORIZON)


def test_ground_lies_sky_is_infinitely_far_and_a_wall_stands_where_its_foot_is(scheme):
    labels = street()
    labels[5:30, 10:30] = BUILDING
    depth = upright_prior(labels, scheme, PLANE)
    assert depth.dtype == np.float32 and depth.shape == labels.shape
    np.testing.assert_allclose(depth[5:30, 10:30], at(30), rtol=5e-4)
    assert not depth[labels == SKY].any()
    rows = np.arange(HORIZON, HEIGHT) + 0.5
    np.testing.assert_allclose(depth[HORIZON:, 50], np.maximum(at(rows), at(HEIGHT - 0.5) / FARTHEST), rtol=5e-4)


@pytest.mark.parametrize("step", [2, 3, 4])
def test_a_large_map_is_made_smaller_without_a_shift(scheme, step):
    """Edges move to either side by chance, not all of them right and down."""
    width, edges, moved = 512 * step, range(40, 500 * step, 7 * step + 1), []
    labels = np.full((300, width), ROAD, np.int32)
    labels[:100] = SKY
    for left, right in zip(edges, [*edges][1:], strict=False):
        labels[50:200, left : (left + right) // 2] = BUILDING
    things = things_depth(labels, scheme, flat_ground_prior(100, 300))
    drawn = np.repeat(np.isfinite(things[len(things) // 2 - 10]), step)[:width]
    true = labels[150] == BUILDING
    for sign in (1, -1):
        found, wanted = (np.flatnonzero(np.diff(line.astype(int)) == sign) for line in (drawn, true))
        moved.extend(found - wanted)
    assert abs(np.mean(moved)) < 0.3 + 0.5 * (step % 2 == 0)


def test_a_slanted_wall_is_a_plane_even_where_a_car_hides_its_foot(scheme):
    """Inverse depth of a plane is linear in the column. The foot is exact to half a row."""
    labels, columns = street(), np.arange(WIDTH)
    foot = np.round(25 + 30 * columns / WIDTH).astype(int)
    rows = np.arange(HEIGHT)[:, None]
    labels[rows < foot[None, :]] = BUILDING
    labels[20:55, 30:50] = CAR
    depth = upright_prior(labels, scheme, PLANE)
    expected = at(25 + 30 * columns / WIDTH)
    np.testing.assert_allclose(depth[10], expected, atol=1.1 / (HEIGHT - HORIZON))
    np.testing.assert_allclose(depth[30, 30:50], at(55), rtol=5e-4)


def test_what_meets_the_ground_nowhere_is_as_far_as_what_it_is_seen_above(scheme):
    labels = street()
    labels[10:40, 20:23] = TREE
    labels[5:10, 20:23] = SIGN
    depth = upright_prior(labels, scheme, PLANE)
    np.testing.assert_allclose(depth[5:10, 20:23], at(40), rtol=5e-4)


def test_a_crown_stays_in_front_of_the_house_behind_it(scheme):
    labels = street()
    labels[:25, :] = BUILDING
    labels[5:15, 30:50] = TREE
    labels[15:50, 39:41] = TREE
    depth = upright_prior(labels, scheme, PLANE)
    np.testing.assert_allclose(depth[10, 30:50], at(50), rtol=5e-4)
    np.testing.assert_allclose(depth[20, [30, 49]], at(25), rtol=5e-4)


def test_what_reaches_over_the_lower_edge_stands_there_and_nothing_stands_beyond_the_farthest_foot(scheme):
    labels = street()
    labels[10:, :20] = CAR
    labels[10:HORIZON, 60:] = BUILDING  # its foot is on the horizon
    depth = upright_prior(labels, scheme, PLANE)
    np.testing.assert_allclose(depth[10:, :20], 1.0, rtol=5e-4)
    np.testing.assert_allclose(depth[15, 60:], at(HEIGHT - 0.5) / FARTHEST, rtol=5e-4)


def test_a_hole_in_the_labels_is_filled_from_beside_it(scheme):
    labels = street()
    labels[5:30, 10:30] = BUILDING
    holed = labels.copy()
    holed[-3:] = NOTHING  # predicted maps often have a frame without a label
    holed[15:18, 15:18] = NOTHING
    holed[50:52, 50:52] = NOTHING
    np.testing.assert_allclose(upright_prior(holed, scheme, PLANE), upright_prior(labels, scheme, PLANE))


def test_a_speck_of_ground_is_no_foot(scheme):
    labels = street()
    labels[:40, :] = BUILDING
    labels[20, 33] = ROAD
    np.testing.assert_allclose(upright_prior(labels, scheme, PLANE)[:40], at(40), rtol=5e-4)


def test_without_any_ground_all_stands_at_the_lower_edge(scheme):
    labels = np.full((HEIGHT, WIDTH), BUILDING, np.int32)
    np.testing.assert_allclose(upright_prior(labels, scheme, PLANE), 1.0, rtol=5e-4)


@settings(max_examples=60, deadline=None)
@given(
    labels=arrays(np.int32, (24, 32), elements=st.sampled_from([ROAD, BUILDING, TREE, SKY, CAR, NOTHING])),
    roll=st.floats(-0.01, 0.01),
)
def test_any_labels_give_known_depth_that_is_zero_in_the_sky(scheme, labels, roll):
    plane = GroundPlane(roll, 0.05, -0.4)
    depth = upright_prior(labels, scheme, plane)
    assert np.isfinite(depth).all() and (depth >= 0).all()
    assert not depth[labels == SKY].any()


def test_on_rendered_streets_it_is_much_nearer_to_the_truth_than_flat_ground(scheme):
    """The bundled scenes know their depth. Horizons are estimated from the label maps, as in use."""
    errors = []
    for photo in sorted((bundled_folder() / "backgrounds").iterdir())[:8]:
        with Image.open(photo) as image:
            size = image.size
        labels = read_labels(bundled_folder() / "labels" / f"{photo.stem}.png", size)
        truth = read_inverse_depth(bundled_folder() / "depths" / f"{photo.stem}.png", size, "metric")
        horizon = estimate_horizon(labels, scheme)
        assert horizon is not None
        plane = flat_ground_prior(horizon.row, size[1])
        priors = inverse_depth_map(plane, *size), upright_prior(labels, scheme, plane)
        scores = [depth_scores(prior, truth.astype(float), "scale and shift", Clamp(1 / 80, 1.0)) for prior in priors]
        errors.append([score["abs_rel"] for score in scores])
    flat, upright = np.mean(errors, axis=0)
    assert upright < 0.14 < 0.21 < flat


def test_capitals_in_the_names_change_nothing(tmp_path):
    labels, depths = street(), []
    labels[40:, 60:], labels[5:30, 10:30] = 3, BUILDING
    for names in ("road, building, grass, sky", "Road, Building, Grass, Sky"):
        pairs = zip((ROAD, BUILDING, 3, SKY), names.split(", "), strict=True)
        (tmp_path / "names.yaml").write_text("\n".join(f"{number}: {name}" for number, name in pairs))
        fields = {"ground": (names.split(", ")[0],), "target": (), "label_names": tmp_path / "names.yaml"}
        found = label_scheme(Recipe(backgrounds="b", foregrounds="f", labels="l", **fields))
        depths.append(upright_prior(labels, found, PLANE))
    np.testing.assert_array_equal(*depths)
    assert depths[0][45, 70] == np.float32(at(45.5))  # grass lies
