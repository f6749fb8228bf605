import numpy as np
import pytest

from qumade.viz.seams import seams


def picture(height, width):
    """An image that holds row and column of each pixel."""
    rows, columns = np.indices((height, width))
    return np.dstack([rows, columns, np.zeros_like(rows)]).astype(np.uint8)


def test_the_seam_is_shown_four_times_as_large_at_its_top_and_at_its_foot():
    mask = np.zeros((100, 120), np.uint8)
    mask[30:71, 40:61] = 255
    top, foot = (np.asarray(part) for part in seams(picture(100, 120), mask, 80))
    assert top.shape == foot.shape == (80, 80, 3)
    np.testing.assert_array_equal(top[::4, ::4], picture(100, 120)[20:40, 40:60])
    np.testing.assert_array_equal(foot[::4, ::4], picture(100, 120)[60:80, 40:60])
    np.testing.assert_array_equal(top[3::4, 3::4], top[::4, ::4])


@pytest.mark.parametrize("at", [(0, 0), (9, 11), (5, 0)])
def test_parts_at_an_edge_and_larger_than_the_image_stay_inside(at):
    mask = np.zeros((10, 12), np.uint8)
    mask[at] = 255
    for part in seams(picture(10, 12), mask, 400):
        assert part.size == (40, 40)


def test_without_a_seam_there_is_nothing_to_enlarge():
    for mask in (np.zeros((9, 9), np.uint8), np.full((9, 9), 255, np.uint8)):
        assert seams(picture(9, 9), mask, 80) == []
