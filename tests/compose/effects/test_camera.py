import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from qumade.compose.effects.camera import blurred, compressed, exposed, noisy, photographed, vignetted
from qumade.plan.effects import Camera

OFF = Camera(blur_px=0.0, vignette=0.0, exposure=0.0, gamma=0.0, noise=0.0, noise_key=5, jpeg_quality=None)


def picture(seed=0, rows=24, columns=33):
    return np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), np.uint8)


def grey(value, rows=64, columns=80):
    return np.full((rows, columns, 3), value, np.uint8)


def test_off_is_the_picture_itself():
    image = picture()
    np.testing.assert_array_equal(photographed(image.copy(), OFF), image)


@given(
    seed=st.integers(0, 99), blur=st.floats(0, 16), vignette=st.floats(0, 1), exposure=st.floats(-4, 4),
    gamma=st.floats(-4, 4), noise=st.floats(0, 1), key=st.integers(0, 2**53 - 1),
    quality=st.none() | st.integers(1, 100),
)  # fmt: skip
def test_any_camera_gives_the_same_picture_of_bytes_again(
    seed, blur, vignette, exposure, gamma, noise, key, quality
):  # fmt: skip
    camera, image = Camera(blur, vignette, exposure, gamma, noise, key, quality), picture(seed)
    one, other = photographed(image.copy(), camera), photographed(image.copy(), camera)
    assert one.dtype == np.uint8 and one.shape == image.shape
    np.testing.assert_array_equal(one, other)


def test_a_blurred_edge_is_a_gaussian_one():
    image = grey(0)
    image[:, 40:] = 200
    from math import erf

    expected = [100 * (1 + erf((x + 0.5 - 40) / (1.5 * 2**0.5))) for x in range(80)]
    np.testing.assert_allclose(blurred(image, 1.5)[10, :, 1], expected, atol=4)
    np.testing.assert_array_equal(blurred(grey(77), 2.0), grey(77))


@pytest.mark.parametrize("strength", [0.2, 1.0])
def test_a_vignette_spares_the_centre_and_takes_its_share_of_the_corners(strength):
    got = vignetted(grey(200, 101, 141), strength)
    assert (got[50, 70] == 200).all()
    corner = 1 - strength * (50**2 + 70**2) / (50.5**2 + 70.5**2)
    np.testing.assert_allclose(got[[0, 0, -1, -1], [0, -1, 0, -1]], 200 * corner, atol=0.6)
    half = 1 - strength * 25**2 / (50.5**2 + 70.5**2)
    np.testing.assert_allclose(got[25, 70], 200 * half, atol=0.6)


def test_one_stop_doubles_the_light():
    def light(value):
        value = np.asarray(value) / 255
        return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)

    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2)
    got = exposed(ramp, 1.0, 0.0)[0, :, 0]
    np.testing.assert_allclose(light(got), np.minimum(2 * light(np.arange(256)), 1), atol=0.005)
    darker = exposed(ramp, -2.0, 0.0)[0, :, 0]
    np.testing.assert_allclose(light(darker), light(np.arange(256)) / 4, atol=0.005)


def test_gamma_is_a_power():
    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2)
    np.testing.assert_allclose(exposed(ramp, 0.0, 1.0)[0, :, 0], np.arange(256) ** 2 / 255, atol=0.51)


@pytest.mark.parametrize("level", [0.01, 0.05])
def test_noise_has_mean_0_and_its_standard_deviation(level):
    noise = noisy(grey(128, 200, 200), level, 99).astype(float) - 128
    expected = np.hypot(255 * level, 12**-0.5)  # of the rounding
    assert abs(noise.mean()) < 4 * expected / np.sqrt(noise.size)
    assert noise.std() == pytest.approx(expected, rel=0.02)
    for shifted in (noise[1:] * noise[:-1], noise[:, 1:] * noise[:, :-1], noise[..., 1:] * noise[..., :-1]):
        assert abs(shifted.mean()) < 5 * expected**2 / np.sqrt(shifted.size)


def test_another_key_is_other_noise():
    one, other = (noisy(grey(128), 0.02, key).astype(float) - 128 for key in (1, 2))
    assert abs((one * other).mean()) < 5 * one.var() / np.sqrt(one.size)


def test_compression_is_that_of_a_file():
    image = picture()
    data = simplejpeg.encode_jpeg(image, 40, "RGB", "420")
    np.testing.assert_array_equal(compressed(image, 40), simplejpeg.decode_jpeg(data, "RGB"))
    assert compressed(image, None) is image
