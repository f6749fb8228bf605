import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.plans import crop
from qumade.assets.catalog import SILHOUETTE_PX
from qumade.geometry import BEHIND
from qumade.plan.tables import OBJECT_ROW, plan_tables
from qumade.plan.visibility import all_visible, visible_share

SHAPES = ("block", "disc", "wedge", "ell")
SIZE = 64, 48


@pytest.fixture(scope="session")
def make_tables(make_recipe, make_catalog, alphas):
    """Tables of samples of 64 x 48 pixels of one photo of 120 x 90, which hides objects where `occluder` is given."""

    def make(occluder=None, *, level=0.0, min_visible=0.7):
        catalog = make_catalog(alphas=tuple(alphas[shape] for shape in SHAPES))
        tables = plan_tables(make_recipe(size=SIZE, min_visible=min_visible), catalog)
        if occluder is None:
            return tables
        return tables._replace(
            occluder_size=np.array([occluder.shape[::-1]]),
            coarse_occluder=occluder.astype(np.float32).ravel(),
            horizon_level=np.array([level]),
        )

    return make


@pytest.fixture
def tables(make_tables):
    return make_tables()


def boxes(*rows):
    """Objects of (left, top, width, height, inverse depth, number of the shape)."""
    things = np.zeros(len(rows), OBJECT_ROW)
    names = "left", "top", "width", "height", "inverse_depth", "foreground"
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        things[name] = values
    return things


def shares(tables, things, sample=None):
    sample = crop() if sample is None else sample
    return [visible_share(tables, sample, things, len(things), which, 0, SILHOUETTE_PX) for which in range(len(things))]


@pytest.mark.parametrize(
    ("left", "top", "share"),
    [
        (0, 0, 1.0),
        (32, 24, 1.0),  # up to the edges
        (-16, 10, 0.5),
        (10, -6, 0.75),
        (48, 36, 0.25),
        (-24, -18, 1 / 16),
        (-32, 0, 0.0),
        (64, 0, 0.0),
        (0, 48, 0.0),
        (500, -500, 0.0),
    ],
)
def test_parts_outside_the_image_are_not_visible(tables, left, top, share):
    assert shares(tables, boxes((left, top, 32, 24, 1.0, 0))) == [share]


def test_visible_share_of_an_object_larger_than_the_image(tables):
    assert shares(tables, boxes((-32, -24, 128, 96, 1.0, 0))) == [0.25]


def test_visible_share_counts_the_silhouette_not_the_box(tables):
    """The wedge is wide at the bottom, so little of it lies beyond the upper edge."""
    (share,) = shares(tables, boxes((10, -12, 32, 24, 1.0, 2)))
    assert 0.7 < share < 0.8


@pytest.mark.parametrize(
    ("depths", "expected"),
    [
        ((1.0, 2.0), [0.5, 1.0]),
        ((2.0, 1.0), [1.0, 0.5]),
        ((1.0, 1.0), [0.5, 1.0]),  # of two at one depth the later is in front
    ],
)
def test_nearer_objects_hide_farther_ones(tables, depths, expected):
    things = boxes((10, 10, 32, 24, depths[0], 0), (26, 10, 32, 24, depths[1], 0))
    assert shares(tables, things) == expected


def test_only_opaque_parts_hide(tables):
    """An ell around the corner of which a block stands."""
    ell, block = (0, 0, 32, 24, 2.0, 3), (9, 1, 16, 16, 1.0, 0)
    assert shares(tables, boxes(ell, block)) == [1.0, 1.0]
    assert shares(tables, boxes(ell, (9, 8, 16, 16, 1.0, 0)))[1] < 0.8


def test_two_objects_in_front_hide_together(tables):
    things = boxes((16, 8, 32, 32, 1.0, 0), (8, 0, 24, 48, 2.0, 0), (32, 24, 32, 24, 3.0, 0))
    assert shares(tables, things)[0] == pytest.approx(0.25)
    before_the_third = visible_share(tables, crop(), things, 2, 0, 0, SILHOUETTE_PX)
    assert before_the_third == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("nearness", "level", "share"),
    [
        (0.5, 0.0, 1.0),
        (1.02, 0.0, 1.0),  # within 3 %
        (1.04, 0.0, 0.5),
        (1.04, np.nan, 0.5),  # an unknown level counts as 0
        (0.51, 0.5, 1.0),  # both are relative to the level
        (0.52, 0.5, 0.5),
    ],
)
def test_a_nearer_background_hides_the_object(make_tables, nearness, level, share):
    occluder = np.zeros((9, 12))
    occluder[:, 6:] = nearness
    tables, things = make_tables(occluder, level=level), boxes((16, 12, 32, 24, 1.0, 0))
    assert shares(tables, things) == [share]
    things["left"] = 0  # on the left, or on the right where the photo is mirrored
    assert shares(tables, things) == [1.0]
    assert shares(tables, things, crop(flip=True)) == [1.0 if share == 1 else 0.0]
    assert shares(tables, things, crop(x=16)) == [share]


@pytest.mark.parametrize(("least", "enough"), [(0.5, True), (0.51, False)])
def test_each_object_must_be_visible_enough(make_tables, least, enough):
    things = boxes((26, 10, 32, 24, 2.0, 0), (10, 10, 32, 24, 1.0, 0))
    tables = make_tables(min_visible=least)
    assert all_visible(tables, crop(), things, 2) == enough
    assert all_visible(tables, crop(), things, 1)


def brute_force(tables, sample, things, which):
    """The visible share cell by cell, from its definition."""
    thing = things[which]
    silhouette = tables.silhouette[thing["foreground"]].astype(np.float64)
    row, column = np.mgrid[:32, :32] + 0.5
    u, v = thing["left"] + column / 32 * thing["width"], thing["top"] + row / 32 * thing["height"]
    seen = silhouette * ((u >= 0) & (u < SIZE[0]) & (v >= 0) & (v < SIZE[1]))
    for number, other in enumerate(things):
        nearness = (other["inverse_depth"], number), (thing["inverse_depth"], which)
        if nearness[0] > nearness[1]:
            column = np.floor((u - other["left"]) / other["width"] * 32).astype(int)
            row = np.floor((v - other["top"]) / other["height"] * 32).astype(int)
            meets = (column >= 0) & (column < 32) & (row >= 0) & (row < 32)
            cover = tables.silhouette[other["foreground"]][row.clip(0, 31), column.clip(0, 31)].astype(np.float64)
            seen = seen * np.where(meets, 1 - cover, 1)
    columns, rows = tables.occluder_size[0]
    if columns:
        level = np.nan_to_num(tables.horizon_level[0])
        photo_u = ((SIZE[0] - u if sample["flip"] else u) + sample["crop_x"]) / sample["scale_x"]
        photo_v = (v + sample["crop_y"]) / sample["scale_y"]
        column = (photo_u / 120 * columns).astype(int).clip(0, columns - 1)
        row = (photo_v / 90 * rows).astype(int).clip(0, rows - 1)
        nearer = tables.coarse_occluder.reshape(rows, columns)[row, column]
        seen = np.where(nearer > (np.float64(thing["inverse_depth"]) - level) * BEHIND, 0, seen)
    return seen.sum() / silhouette.sum()


# No cell centre is near the image's edges, where rounding would decide whether it is inside.
places = st.integers(-40, 60).map(lambda n: n + 1 / 128)
sides = st.sampled_from([8, 16, 24, 40, 64])
objects = st.tuples(places, places, sides, sides, st.sampled_from([0.25, 0.5, 1.0]), st.integers(0, 3))
crops = st.tuples(st.integers(0, 20), st.integers(0, 20), st.floats(0.5, 1.0), st.floats(0.5, 1.0), st.booleans())


@given(
    st.lists(objects, min_size=1, max_size=4), crops, st.none() | st.integers(0, 2**32),
    st.sampled_from([0.0, 0.1, np.nan]),
)  # fmt: skip
def test_visible_shares_match_brute_force(make_tables, things, crops, seed, level):
    occluder = None
    if seed is not None:
        occluder = np.random.default_rng(seed).choice([0.0, 0.3, 0.6, 1.2], (7, 11), p=[0.5, 0.2, 0.2, 0.1])
    tables, things, sample = make_tables(occluder, level=level), boxes(*things), crop(*crops)
    wanted = [brute_force(tables, sample, things, which) for which in range(len(things))]
    assert shares(tables, things, sample) == pytest.approx(wanted, abs=1e-9)
