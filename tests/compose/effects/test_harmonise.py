import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from qumade.compose.effects.harmonise import edge_blur_px, harmonised, surroundings
from qumade.compose.effects.layers import cut_layer, lay
from qumade.compose.pyramid import build_pyramid


def layer(seed=0, mean=90, spread=12, shape=(40, 50)):
    """An opaque layer of noise."""
    rng = np.random.default_rng(seed)
    colours = np.clip(rng.normal(mean, spread, (*shape, 3)), 0, 255)
    return np.concatenate([colours, np.full((*shape, 1), 255)], 2).astype(np.float32)


def photo(seed=1, mean=(120, 130, 150), spread=15, shape=(60, 70)):
    return np.clip(np.random.default_rng(seed).normal(mean, spread, (*shape, 3)), 0, 255).astype(np.uint8)


def test_full_strength_gives_mean_and_contrast_of_the_window():
    window = photo()
    got = harmonised(layer(), window, 1.0)[..., :3].reshape(-1, 3)
    np.testing.assert_allclose(got.mean(0), window.reshape(-1, 3).mean(0), atol=0.1)
    assert np.sqrt(got.var(0).mean()) == pytest.approx(np.sqrt(window.reshape(-1, 3).var(0).mean()), rel=0.01)


@pytest.mark.parametrize("strength", [0.25, 0.5])
def test_part_of_the_strength_goes_part_of_the_way(strength):
    before, window = layer(), photo()
    got = harmonised(before, window, strength)
    own, around = before[..., :3].reshape(-1, 3).mean(0), window.reshape(-1, 3).mean(0)
    np.testing.assert_allclose(got[..., :3].reshape(-1, 3).mean(0), own + strength * (around - own), atol=0.1)


def test_contrast_changes_by_a_factor_of_two_at_most():
    got = harmonised(layer(spread=4), photo(spread=30), 1.0)
    assert got[..., 0].std() == pytest.approx(2 * 4, rel=0.05)


def test_no_strength_and_too_few_pixels_change_nothing():
    pixels = layer()
    assert harmonised(pixels, photo(), 0.0) is pixels
    assert harmonised(pixels, photo(shape=(3, 9)), 1.0) is pixels
    thin = layer(shape=(3, 5))
    assert harmonised(thin, photo(), 1.0) is thin


@given(seed=st.integers(0, 50), strength=st.floats(0, 1), mean=st.floats(0, 255))
def test_colours_stay_below_alpha(seed, strength, mean):
    pixels = layer(seed, mean=mean, spread=60)
    share = np.random.default_rng(seed).random((40, 50, 1), np.float32)
    pixels *= np.where(share < 0.5, share, 1)
    got = harmonised(pixels, photo(seed, spread=50), strength)
    assert (got >= -0.01).all() and (got[..., :3] <= got[..., 3:] + 0.05).all() and (got[..., 3] <= 255.01).all()


def edges(blur_px, low=40.0, high=200.0, fade=12):
    """Vertical edges that are far apart, blurred: as a photo of bars."""
    columns = np.where(np.arange(240) // fade % 2 == 0, low, high)
    fine = ndimage.gaussian_filter1d(columns.repeat(8), 8 * blur_px, mode="wrap").reshape(240, 8)
    return fine[:, 4]


@pytest.mark.parametrize("blur_px", [0.5, 0.8, 1.2, 2.0])
@pytest.mark.parametrize("contrast", [40, 160])
def test_the_blur_of_edges_is_measured_whatever_their_contrast(blur_px, contrast):
    line = edges(blur_px, 40, 40 + contrast)
    one, two = ((line[2:] - line[1:-1]) ** 2).sum(), ((line[2:] - line[:-2]) ** 2).sum()
    assert edge_blur_px(one, two) == pytest.approx(blur_px, abs=0.15)


def bars(blur_px):
    return np.broadcast_to(edges(blur_px)[None, :, None], (40, 240, 3))


def test_a_sharp_object_is_blurred_to_the_photo():
    sharp = np.concatenate([bars(0.3), np.full((40, 240, 1), 255)], 2).astype(np.float32)
    got = harmonised(sharp, np.ascontiguousarray(bars(1.4)).astype(np.uint8), 1.0)
    np.testing.assert_allclose(got[20, 20:220, 0], bars(1.4)[20, 20:220, 0], atol=12)


def test_a_blurred_object_is_never_sharpened():
    blurred = np.concatenate([bars(1.5), np.full((40, 240, 1), 255)], 2).astype(np.float32)
    got = harmonised(blurred, np.ascontiguousarray(bars(0.3)).astype(np.uint8), 1.0)
    before, after = np.abs(np.diff(blurred[20, :, 0])).max(), np.abs(np.diff(got[20, :, 0])).max()
    contrast = got[..., 0].std() / blurred[..., 0].std()
    assert after == pytest.approx(before * contrast, rel=0.02)


def test_a_pasted_object_takes_the_colour_of_the_photo():
    image = photo(shape=(90, 120))
    rgba = np.full((30, 40, 4), 255, np.uint8)
    rgba[..., :3] = np.random.default_rng(3).normal(60, 10, (30, 40, 3)).astype(np.uint8)
    box = 40.0, 30.0, 40.0, 30.0
    cut = cut_layer(build_pyramid(rgba, 60), box, (120, 90), 0.5, np.zeros((0, 0), np.float32), 0.0)
    window = surroundings(image, (60.0, 60.0), (40.0, 30.0))
    lay(image, harmonised(cut.pixels, np.ascontiguousarray(window), 1.0), cut.x, cut.y)
    np.testing.assert_allclose(image[35:55, 45:75].mean((0, 1)), window.mean((0, 1)), atol=1.5)


@given(u=st.floats(-50, 200), v=st.floats(-50, 200), side=st.floats(1, 300))
def test_the_window_lies_in_the_photo(u, v, side):
    window = surroundings(photo(), (u, v), (side, side / 2))
    assert window.ndim == 3 and window.shape[0] <= 60 and window.shape[1] <= 70
