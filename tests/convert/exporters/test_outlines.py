import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.path import Path as Shape

from qumade.convert.exporters.outlines import outline

MASKS = arrays(np.bool_, st.tuples(st.integers(1, 10), st.integers(1, 10)))


def filled(corners, shape):
    """The pixels whose centres are inside a closed polygon, by the even-odd rule: crossings of a ray to the left."""
    height, width = shape
    inside = np.zeros(shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        for y in range(height):
            share = (y + 0.5 - y0) / (y1 - y0)
            if 0 < share < 1:
                inside[y] ^= np.arange(width) + 0.5 > x0 + share * (x1 - x0)
    return inside


@given(MASKS)
def test_the_inside_of_the_outline_is_the_object(mask):
    corners = outline(mask)
    # A bridge crosses each ray twice at the same place, so it changes nothing.
    np.testing.assert_array_equal(filled(corners, mask.shape) if len(corners) else np.zeros(mask.shape, bool), mask)


def test_a_block_has_four_corners():
    mask = np.zeros((5, 7), bool)
    mask[1:3, 2:6] = True
    assert outline(mask).tolist() == [[2, 1], [6, 1], [6, 3], [2, 3]]
    assert Shape(outline(mask)).contains_point((3, 2))


def test_a_ring_is_joined_to_its_hole_by_one_bridge():
    mask = np.ones((3, 3), bool)
    mask[1, 1] = False
    corners = outline(mask)
    assert len(corners) == 4 + 4 + 2
    area = np.sum(corners[:, 0] * np.roll(corners[:, 1], -1) - np.roll(corners[:, 0], -1) * corners[:, 1]) / 2
    assert area == 8


def test_nothing_has_no_outline():
    assert outline(np.zeros((3, 4), bool)).shape == (0, 2)


@pytest.mark.parametrize("seed", range(3))
def test_pycocotools_finds_the_same_pixels(seed):
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[:60, :80]
    mask = np.hypot(u - 40, v - 30) < 25
    mask &= np.hypot(u - 35, v - 28) > 8  # a hole
    mask |= rng.random(mask.shape) < 0.01  # parts
    polygon = outline(mask).ravel().astype(float).tolist()
    decoded = coco.decode(coco.merge(coco.frPyObjects([polygon], 60, 80))).astype(bool)
    np.testing.assert_array_equal(decoded, mask)
