import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.compose.effects.haze import haze_shares, nearest_ground, veil

LIGHT = np.array([240, 245, 250], np.float32)


def hazed(image, inverse_depth, density, *, far=50.0, level=0.0, nearest=1.0):
    image = np.ascontiguousarray(image).copy()
    veil(image, np.asarray(inverse_depth, np.float32), level, nearest, haze_shares(density, far), LIGHT)
    return image


@pytest.mark.parametrize("distance", [0.5, 1.0, 3.0, 8.0])
@pytest.mark.parametrize("density", [0.02, 0.3])
@pytest.mark.parametrize("level", [0.0, 0.7])
def test_constant_depth_follows_the_law_of_koschmieder(distance, density, level):
    image = np.full((4, 5, 3), 60, np.uint8)
    got = hazed(image, np.full((4, 5), level + 2.0 / distance), density, level=level, nearest=2.0)
    share = 1 - math.exp(-density * distance)
    np.testing.assert_allclose(got[1, 2], 60 * (1 - share) + LIGHT * share, atol=0.7)
    assert (got == got[0, 0]).all()


def test_infinity_and_beyond_have_the_most_haze():
    image = np.full((1, 3, 3), 60, np.uint8)
    got = hazed(image, [[0.0, -1.0, 1 / 40]], 0.1, far=20.0)
    share = 1 - math.exp(-2.0)
    np.testing.assert_allclose(got, np.broadcast_to(60 * (1 - share) + LIGHT * share, (1, 3, 3)), atol=0.7)


def test_unknown_depth_is_that_of_the_known_pixel_below():
    image = np.full((4, 2, 3), 10, np.uint8)
    depth = np.array([[np.nan, 0.1], [0.2, 0.3], [np.nan, 0.3], [np.nan, 1.0]])
    got = hazed(image, depth, 0.2)
    known = np.array([[0.2, 0.1], [0.2, 0.3], [1.0, 0.3], [1.0, 1.0]])
    np.testing.assert_array_equal(got, hazed(image, known, 0.2))


def test_no_density_is_no_haze():
    image = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
    np.testing.assert_array_equal(hazed(image, np.random.default_rng(1).random((6, 7)), 0.0), image)


@given(seed=st.integers(0, 99), density=st.floats(0, 10))
def test_more_distance_is_never_less_haze_and_colours_stay_between(seed, density):
    rng = np.random.default_rng(seed)
    image = np.full((1, 40, 3), 30, np.uint8)
    depth = np.sort(rng.random(40))[None]
    got = hazed(image, depth, density).astype(int)
    assert (np.diff(got, axis=1) <= 0).all() and (got >= 30).all() and (got <= LIGHT + 0.5).all()


@pytest.mark.parametrize(
    ("rows", "level", "expected"),
    [
        ([[0.1, 0.1], [0.5, 0.7]], 0.0, 0.6),
        ([[0.1, 0.1], [0.5, np.nan]], 0.2, 0.3),
        ([[0.1, 0.3], [np.nan, np.nan]], 0.0, 0.2),
        ([[np.nan, 0.0]], 0.0, 0.0),
    ],
)
def test_the_nearest_ground_is_at_the_lower_edge(rows, level, expected):
    assert nearest_ground(np.array(rows, np.float32), level) == pytest.approx(expected)
