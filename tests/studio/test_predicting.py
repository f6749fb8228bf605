import numpy as np
import pytest

from qumade.errors import RunError
from qumade.prediction.predictor import load_predictor
from qumade.studio.predicting import Networks, cutout, point_cloud


def test_a_prediction_is_that_of_the_library(world_run):
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    networks = Networks()
    said, expected = networks.predict(world_run, image), load_predictor(world_run)([image])[0]
    np.testing.assert_array_equal(said.mask, expected.mask)
    np.testing.assert_array_equal(said.inverse_depth, expected.inverse_depth)
    assert networks.get(world_run) is networks.get(world_run)


def test_what_is_no_network_is_refused(tmp_path):
    with pytest.raises(RunError, match="Invalid"):
        Networks().get(tmp_path)


def test_the_cut_out_is_cropped_to_what_is_more_likely_object():
    image = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    mask = np.zeros((5, 6), np.float32)
    mask[1:3, 2:5] = 0.8
    mask[2, 3] = 0.2
    cut = cutout(image, mask)
    assert cut.shape == (2, 3, 4)
    np.testing.assert_array_equal(cut[..., :3], image[1:3, 2:5])
    assert cut[0, 0, 3] == 204 and cut[1, 1, 3] == 51
    assert cutout(image, np.full((5, 6), 0.4)) is None


def test_points_lie_where_a_pinhole_camera_sees_them():
    width, height = 40, 20
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    inverse = np.full((height, width), 0.25)
    image = np.full((height, width, 3), 128, np.uint8)
    points, colours = point_cloud(image, inverse)
    assert len(points) == width * height == len(colours)
    np.testing.assert_allclose(points[:, 1], 1)
    np.testing.assert_allclose(points[:, 0] * 40 + 20, u.ravel(), atol=1e-4)
    np.testing.assert_allclose(10 - points[:, 2] * 40, v.ravel(), atol=1e-4)
    np.testing.assert_allclose(colours, 128 / 255, atol=1e-6)


def test_unknown_and_far_points_are_left_out_and_their_number_is_bounded():
    inverse = np.full((300, 400), 1.0)
    inverse[:50] = np.nan
    inverse[50:60] = 0.01
    points, _ = point_cloud(np.zeros((300, 400, 3), np.uint8), inverse, most=5000)
    assert 1000 < len(points) <= 5000 and points[:, 1].max() <= 10
    assert len(point_cloud(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9)))[0]) == 0
