import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.plans import crop
from qumade.plan.coordinates import to_background, to_sample
from qumade.plan.tables import plan_tables


@pytest.fixture(scope="session")
def tables(make_recipe, make_catalog):
    """Tables for samples of 64 x 48 pixels."""
    return plan_tables(make_recipe(size=(64, 48)), make_catalog())


@pytest.mark.parametrize(
    ("sample", "point", "expected"),
    [
        (crop(0, 0, 1.0, 1.0, False), (10.0, 20.0), (10.0, 20.0)),
        (crop(30, 8, 1.0, 1.0, False), (10.0, 20.0), (40.0, 28.0)),
        (crop(30, 8, 0.5, 0.25, False), (10.0, 20.0), (80.0, 112.0)),
        (crop(30, 8, 0.5, 0.25, True), (10.0, 20.0), (168.0, 112.0)),
        (crop(0, 0, 1.0, 1.0, True), (0.0, 0.0), (64.0, 0.0)),  # edge to edge, not pixel to pixel
    ],
)
def test_points_of_a_crop(tables, sample, point, expected):
    assert to_background(tables, sample, *point) == expected
    assert to_sample(tables, sample, *expected) == point


@given(
    st.integers(0, 3000), st.integers(0, 3000), st.floats(0.05, 20), st.floats(0.05, 20), st.booleans(),
    st.floats(-200, 300), st.floats(-200, 300),
)  # fmt: skip
def test_to_background_inverts_to_sample(tables, x, y, scale_x, scale_y, flip, u, v):
    sample = crop(x, y, scale_x, scale_y, flip)
    assert to_sample(tables, sample, *to_background(tables, sample, u, v)) == pytest.approx((u, v), abs=1e-9)
