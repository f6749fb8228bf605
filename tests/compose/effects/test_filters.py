import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from qumade.compose.effects.filters import box_taps, filtered, gaussian_taps, rounded


@given(sigma=st.floats(0, 4))
def test_taps_add_up_to_one_and_are_symmetric(sigma):
    for taps in (gaussian_taps(sigma), box_taps(sigma + 0.1)):
        assert taps.sum() == pytest.approx(1, abs=1e-6)
        np.testing.assert_array_equal(taps, taps[::-1])


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.3])
def test_a_gaussian_has_its_standard_deviation(sigma):
    taps = gaussian_taps(sigma)
    at = np.arange(len(taps)) - len(taps) // 2
    assert np.sqrt((taps * at**2).sum()) == pytest.approx(sigma, abs=0.04)


def test_tiny_blurs_are_none():
    assert len(gaussian_taps(0.0)) == len(gaussian_taps(0.19)) == 1
    np.testing.assert_allclose(box_taps(1.0), [0.25, 0.5, 0.25])
    np.testing.assert_allclose(box_taps(1.5), [1 / 3] * 3, rtol=1e-6)


@pytest.mark.parametrize("shape", [(9, 7, 3), (1, 5, 4), (4, 1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_filtering_is_that_of_scipy(shape, dtype):
    planes = np.random.default_rng(1).integers(0, 256, shape).astype(dtype)
    taps = gaussian_taps(1.2)
    expected = planes.astype(np.float64)
    for axis in (0, 1):
        expected = ndimage.correlate1d(expected, taps.astype(np.float64), axis=axis, mode="nearest")
    np.testing.assert_allclose(filtered(planes, taps), expected, atol=1e-3)


def test_rounding():
    planes = np.array([[[0.0], [0.49], [0.51], [254.6], [255.0]]], np.float32)
    assert rounded(planes).ravel().tolist() == [0, 0, 1, 255, 255]
