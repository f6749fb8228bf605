import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.errors import QumadeError
from qumade.plan.scale_check import check_scales, largest_visible_share

SHAPES = st.sampled_from(["block", "disc", "wedge", "ell", "tall"])


def share_inside(foreground, scale, size, centre):
    """Share of the silhouette's cells whose centres lie inside the image, by brute force."""
    factor = scale * np.sqrt(size[0] * size[1] / (foreground.width * foreground.height))
    width, height = foreground.width * factor, foreground.height * factor
    v, u = (np.mgrid[:32, :32] + 0.5) / 32
    u, v = centre[0] - width / 2 + u * width, centre[1] - height / 2 + v * height
    inside = (u >= 0) & (u < size[0]) & (v >= 0) & (v < size[1])
    return (foreground.silhouette * inside).sum() / foreground.silhouette.sum()


@given(
    shape=SHAPES,
    scale=st.floats(0.05, 4),
    size=st.sampled_from([(224, 224), (64, 200), (300, 90)]),
    rows=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda ends: tuple(sorted(ends))),
    where=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_no_placement_exceeds_the_visibility_bound(make_recipe, make_catalog, alphas, shape, scale, size, rows, where):
    foreground = make_catalog(alphas=(alphas[shape],)).foregrounds[0]
    bound = largest_visible_share(foreground, scale, make_recipe(size=size, centre_row=rows))
    assert bound <= 1
    row = rows[0] + where[1] * (rows[1] - rows[0])
    # The bound tests 65 rows of centres; rounding cells outwards covers the rows between them.
    step = scale * (rows[1] - rows[0]) / 64
    assert share_inside(foreground, scale, size, (where[0] * size[0], row * size[1])) <= bound + step + 1e-6


@given(shape=SHAPES, small=st.floats(0.05, 4), large=st.floats(0.05, 4))
def test_larger_objects_are_never_more_visible(make_recipe, make_catalog, alphas, shape, small, large):
    small, large = sorted((small, large))
    foreground = make_catalog(alphas=(alphas[shape],)).foregrounds[0]
    # Cells are rounded outwards, by up to two rows.
    slack = 2 * foreground.silhouette.sum(axis=1).max() / foreground.silhouette.sum()
    bounds = [largest_visible_share(foreground, scale, make_recipe()) for scale in (small, large)]
    assert bounds[1] <= bounds[0] + slack


@pytest.mark.parametrize(
    ("scale", "rows", "min_visible", "possible"),
    [
        ((0.1, 0.5), (0.5, 1.0), 1.0, True),
        ((1.0, 1.0), (0.5, 0.5), 1.0, True),
        ((0.1, 3.0), (0.5, 1.0), 0.9, True),  # its smallest size is visible
        ((1.5, 1.5), (0.5, 0.5), 0.5, False),  # 1 / 1.5^2 = 0.44
        ((1.5, 1.5), (0.5, 0.5), 0.4, True),
        ((0.3, 0.3), (1.0, 1.0), 0.6, False),  # half of it is below the image
        ((0.3, 0.3), (1.0, 1.0), 0.45, True),
    ],
)
def test_impossible_scale_ranges_are_rejected(make_recipe, make_catalog, scale, rows, min_visible, possible):
    catalog = make_catalog(alphas=(np.full((40, 40), 255, np.uint8),), scale=scale)
    recipe = make_recipe(centre_row=rows, min_visible=min_visible)
    if possible:
        check_scales(recipe, catalog)
        return
    with pytest.raises(QumadeError) as error:
        check_scales(recipe, catalog)
    assert str(recipe.foregrounds / "thing_0.png") in str(error.value) and str(list(scale)) in str(error.value)


def test_transparent_rows_above_an_object_are_accepted(make_recipe, make_catalog):
    alpha = np.random.default_rng(0).integers(0, 2, (75, 53)).astype(np.uint8) * 255
    alpha[:20] = 40
    check_scales(make_recipe(min_visible=1.0), make_catalog(alphas=(alpha,), scale=(0.1, 0.5)))
    check_scales(make_recipe(min_visible=1.0, centre_row=(0.05, 0.05)), make_catalog(alphas=(alpha,), scale=(0.12, 1)))
