import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.plans import crop
from qumade.assets import labels as labels_module
from qumade.assets.labels import standing_table
from qumade.geometry import GroundPlane
from qumade.plan.contacts import ground_inverse_depth, may_stand, perspective_scale, set_position, set_size, stands
from qumade.plan.tables import OBJECT_ROW, plan_tables

PLANE = GroundPlane(0.001, 0.02, -0.8)


@pytest.fixture
def tables(make_recipe, make_catalog):
    return plan_tables(make_recipe(size=(64, 48)), make_catalog(grounds=(PLANE,)))


def test_the_ground_of_a_coarse_map_is_that_of_its_plane(make_recipe, make_catalog, tables):
    """Interpolation between the cells is exact for a plane, up to half a cell from the edges."""
    rows, columns = (np.arange(n) + 0.5 for n in (9, 12))
    coarse = PLANE.a * columns[None] * 10 + PLANE.b * rows[:, None] * 10 + PLANE.c
    of_map = plan_tables(make_recipe(size=(64, 48)), make_catalog(grounds=(coarse.astype(np.float32),)))
    for u, v in [(5.0, 5.0), (33.3, 61.7), (115.0, 85.0)]:
        exact = PLANE.a * u + PLANE.b * v + PLANE.c
        assert ground_inverse_depth(tables, 0, u, v) == pytest.approx(exact)
        assert ground_inverse_depth(of_map, 0, u, v) == pytest.approx(exact, abs=1e-6)
    assert np.isnan(ground_inverse_depth(of_map, 0, 121.0, 5.0))  # beyond the map
    assert ground_inverse_depth(tables, 0, 200.0, 100.0) == pytest.approx(0.2 + 2.0 - 0.8)


def test_nothing_stands_above_the_horizon(tables):
    tables = tables._replace(farthest_ground=np.array([0.1]))
    assert not stands(tables, 0, 0.1) and stands(tables, 0, 0.11)
    unknown = tables._replace(farthest_ground=np.array([np.nan]))
    assert stands(unknown, 0, -3.0) and not stands(unknown, 0, np.nan)


def test_an_object_as_high_as_the_camera_reaches_the_horizon(tables):
    """At any contact the horizon crosses it at the height of the camera."""
    sample = crop()
    tables = tables._replace(horizon_level=np.array([0.0]), height_ratio=1.0)
    for u, v in [(10.0, 80.0), (100.0, 60.0)]:
        scale = perspective_scale(tables, sample, 0, u, v, 1.0)
        width, height = tables.foreground_size[0]
        height_px = scale * np.sqrt(64 * 48 / (width * height)) * tables.contact[0, 1]
        horizon_v = -(PLANE.a * u + PLANE.c) / PLANE.b
        assert height_px == pytest.approx((v - horizon_v) * sample["scale_y"])
        assert perspective_scale(tables, sample, 0, u, v, 1.1) == pytest.approx(1.1 * scale)
        half = tables._replace(
            object_height_m=np.full_like(tables.object_height_m, 0.8), camera_height_m=np.array([1.6])
        )
        assert perspective_scale(half, sample, 0, u, v, 1.0) == pytest.approx(scale / 2)
    assert perspective_scale(tables, sample, 0, 0.0, 40.0, 1.0) == pytest.approx(0, abs=1e-12)


def test_size_and_position_put_the_contact_on_the_ground(tables):
    sample, thing = crop(), np.zeros(1, OBJECT_ROW)[0]
    set_size(tables, thing, 0.25)
    assert thing["width"] * thing["height"] == pytest.approx(0.25**2 * 64 * 48)
    width, height = tables.foreground_size[0]
    assert thing["width"] / thing["height"] == pytest.approx(width / height)
    assert set_position(tables, sample, thing, 20.0, 30.0)
    u, v = tables.contact[0] / tables.foreground_size[0]
    assert thing["contact_u"] == pytest.approx(20 + u * thing["width"])
    assert thing["contact_v"] == pytest.approx(30 + v * thing["height"])
    expected = PLANE.a * thing["contact_background_u"] + PLANE.b * thing["contact_background_v"] + PLANE.c
    assert thing["inverse_depth"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("entries", [None, 300, 170])
@settings(max_examples=15)
@given(seed=st.integers(0, 99), corner=st.tuples(st.integers(0, 80), st.integers(0, 40)))
def test_an_object_stands_only_between_pixels_of_its_ground(make_recipe, make_catalog, entries, seed, corner):
    """Also where the table lists every n-th pixel of the ground only; then some pixels near its edge are refused."""
    ground = np.zeros((90, 120), bool)
    ground[corner[1] : corner[1] + 25, corner[0] : corner[0] + 35] = True
    u, v = np.random.default_rng(seed).uniform((0, 0), (120, 90), (60, 2)).T
    with pytest.MonkeyPatch.context() as patch:
        if entries is not None:
            patch.setattr(labels_module, "TABLE_ENTRIES", entries)
        table = standing_table(ground)
        tables = plan_tables(make_recipe(size=(64, 48)), make_catalog(grounds=(PLANE,)))._replace(
            standing_pixels=table.pixels,
            standing_start=np.array([[0, table.pixels.size]]),
            standing_step=np.array([[table.step]]),
        )
    found = np.array([may_stand(tables, crop(), 0, *point) for point in zip(u, v, strict=True)])
    on_ground = ground[v.astype(int), u.astype(int)]
    assert not found[~on_ground].any()
    if entries is None:
        assert found[on_ground].all()
    elif on_ground.sum() > 5:
        assert found[on_ground].any()
    assert not may_stand(tables, crop(), 0, -1.0, 5.0) and not may_stand(tables, crop(), 0, 5.0, 90.0)
