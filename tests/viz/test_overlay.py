import numpy as np

from qumade.viz.overlay import OUTLINE, boundary, mask_overlay


def test_the_boundary_is_inside_and_never_along_the_edge_of_the_image():
    inside = np.zeros((7, 8), bool)
    inside[2:7, 1:5] = True
    expected = inside.copy()
    expected[3:7, 2:4] = False  # the lower side lies on the edge
    np.testing.assert_array_equal(boundary(inside), expected)
    assert not boundary(np.ones((3, 3), bool)).any() and not boundary(np.zeros((3, 3), bool)).any()


def test_a_mask_is_tinted_and_outlined_over_its_photo():
    image = np.full((9, 9, 3), 100, np.uint8)
    mask = np.zeros((9, 9), np.float32)
    mask[2:7, 2:7] = 0.5
    drawn = mask_overlay(image, mask)
    assert drawn[2, 4].tolist() == list(OUTLINE) and drawn[0, 0].tolist() == [100, 100, 100]
    np.testing.assert_allclose(drawn[4, 4], 0.7 * 100 + 0.3 * np.array(OUTLINE), atol=0.6)
    mask[:] = 0.49
    np.testing.assert_array_equal(mask_overlay(image, mask), image)
