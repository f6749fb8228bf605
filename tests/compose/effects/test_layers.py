import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.compose.effects.layers import MARGIN, blended_edge, cut_layer, lay, lay_photo
from qumade.compose.pyramid import build_pyramid

NOTHING = np.zeros((0, 0), np.float32)
NOWHERE = np.zeros((0, 0), np.bool_)


def block(colour=(200, 100, 40), width=20, height=16):
    return build_pyramid(np.full((height, width, 4), (*colour, 255), np.uint8), 40)


def half_plane(columns=40, edge=20, rows=30):
    """A layer that is opaque to the right of a vertical edge."""
    pixels = np.zeros((rows, columns, 4), np.float32)
    pixels[:, edge:] = 200, 100, 50, 255
    return pixels


@given(left=st.floats(-30, 70), top=st.floats(-30, 60), scale=st.floats(0.2, 1.6))
def test_a_layer_is_what_would_be_pasted(canvas, left, top, scale):
    image = np.random.default_rng(2).integers(0, 256, (48, 64, 3), np.uint8)
    pasted, box = canvas(image), (left, top, 20 * scale, 16 * scale)
    rgba = np.full((16, 20, 4), (200, 100, 40, 255), np.uint8)
    pasted.paste(rgba, box, largest_px=40)
    layer = cut_layer(build_pyramid(rgba, 40), box, (64, 48), 0.5, NOTHING, 0.0)
    laid = image.copy()
    lay(laid, layer.pixels, layer.x, layer.y)
    assert np.abs(laid.astype(int) - pasted.image).max() <= 1  # the layer has 8 bits


def test_a_layer_has_a_margin_and_lacks_what_the_background_hides():
    occluder = np.zeros((48, 64), np.float32)
    occluder[:, :30] = 1.0
    layer = cut_layer(block(), (20.0, 20.0, 20.0, 16.0), (64, 48), 0.5, occluder, 0.0)
    assert layer.x <= 20 - MARGIN and layer.y <= 20 - MARGIN
    alpha = layer.pixels[..., 3]
    assert not alpha[:, : 30 - layer.x].any()
    assert (alpha[20 - layer.y + 1 : 36 - layer.y - 1, 30 - layer.x : 40 - layer.x - 1] == 255).all()


def test_a_layer_may_lie_outside_the_image():
    layer = cut_layer(block(), (200.0, -90.0, 20.0, 16.0), (64, 48), 0.5, np.ones((48, 64), np.float32), 0.0)
    assert not layer.pixels.any()


def test_alpha_stays():
    pixels = half_plane()
    assert blended_edge(pixels, "alpha", 3.0) is pixels


def test_a_hard_edge_has_no_mixed_pixel_and_keeps_its_colour():
    pixels = half_plane()
    pixels[:, 20] *= 0.75
    pixels[:, 19] = np.array([200, 100, 50, 255], np.float32) * np.float32(0.4)
    hard = blended_edge(pixels, "hard", 0.0)
    assert set(np.unique(hard[..., 3])) == {0, 255}
    np.testing.assert_allclose(hard[:, 20], np.broadcast_to([200, 100, 50, 255], (30, 4)), rtol=1e-5)
    assert not hard[:, :20].any()


@pytest.mark.parametrize("width", [1.0, 2.0, 3.5, 5.0])
def test_a_feathered_edge_falls_linearly_inside(width):
    pixels = blended_edge(half_plane(), "feather", width)
    inside = np.arange(40) + 0.5 - 20
    expected = 255 * np.clip(inside / width, 0, 1)
    # The box has fractional ends: exact where it does not straddle the clipped ends of the ramp.
    np.testing.assert_allclose(pixels[15, :, 3], expected, atol=255 * 0.13 / width)
    assert (pixels[:, :20] == 0).all() and (pixels[:, 26:, 3] == 255).all()
    np.testing.assert_allclose(pixels[15, 22, :3] * 255, np.array([200, 100, 50]) * pixels[15, 22, 3], rtol=1e-4)


@pytest.mark.parametrize("thickness", [1, 2, 3, 5])
def test_no_part_fades_away_that_is_thinner_than_the_feathered_edge(thickness):
    """A mast, a mirror or a car far away is in the mask, so it must be in the picture."""
    pixels = np.zeros((30, 40, 4), np.float32)
    pixels[5:25, 20 : 20 + thickness] = (200, 100, 50, 255)
    feathered = blended_edge(pixels, "feather", 6.0)
    np.testing.assert_allclose(feathered[11:19], pixels[11:19], rtol=1e-5)  # its ends fade
    pixels[9:21] = 0  # 4 pixels at either end are left
    np.testing.assert_allclose(blended_edge(pixels, "feather", 6.0), pixels, rtol=1e-5)
    wide = np.zeros((30, 40, 4), np.float32)
    wide[5:25, 20:28] = (200, 100, 50, 255)  # between once and twice the edge: it fades, but not in the middle
    alpha = blended_edge(wide, "feather", 6.0)[15, 20:28, 3]
    assert (alpha[3:5] == 255).all() and (np.diff(alpha[:4]) >= 0).all() and 0 < alpha[0] < 255


def test_a_softened_edge_is_a_gaussian_and_keeps_its_colour():
    pixels = blended_edge(half_plane(), "soften", 1.0)
    from math import erf

    expected = [255 * 0.5 * (1 + erf((x + 0.5 - 20) / 2**0.5)) for x in range(40)]
    np.testing.assert_allclose(pixels[15, :, 3], expected, atol=6)
    seen = pixels[15, :, 3] > 1
    np.testing.assert_allclose(
        pixels[15, seen, :3], np.outer(pixels[15, seen, 3] / 255, [200, 100, 50]), atol=0.1, rtol=1e-3
    )


@given(
    blend=st.sampled_from(["alpha", "hard", "feather", "soften"]), edge_px=st.floats(0.0, 6.0), seed=st.integers(0, 9)
)
def test_colours_never_exceed_their_alpha(blend, edge_px, seed):
    rng = np.random.default_rng(seed)
    alpha = rng.integers(0, 256, (12, 15, 1)).astype(np.float32)
    pixels = np.concatenate([rng.random((12, 15, 3), np.float32) * alpha, alpha], axis=2)
    edged = blended_edge(pixels, blend, edge_px)
    assert (edged >= 0).all() and (edged[..., 3] <= 255.01).all()
    assert (edged[..., :3] <= edged[..., 3:] + 0.01).all()


@given(right=st.integers(-80, 80), down=st.integers(-80, 80), x=st.integers(-20, 60), y=st.integers(-20, 50))
def test_a_patch_is_the_photo_from_elsewhere(right, down, x, y):
    rng = np.random.default_rng(4)
    image, photo = rng.integers(0, 256, (2, 40, 50, 3), np.uint8)
    before, pixels = image.copy(), np.zeros((8, 9, 4), np.float32)
    pixels[..., 3] = 255
    lay_photo(image, photo, pixels, x, y, right, down, NOWHERE)
    for v, u in np.ndindex(40, 50):
        inside = 0 <= u - x < 9 and 0 <= v - y < 8 and 0 <= u + right < 50 and 0 <= v + down < 40
        expected = photo[v + down, u + right] if inside else before[v, u]
        assert (image[v, u] == expected).all()


def test_a_patch_neither_shows_nor_covers_the_object():
    photo = np.random.default_rng(4).integers(0, 256, (20, 30, 3), np.uint8)
    image, present = photo.copy(), np.zeros((20, 30), np.bool_)
    present[5, 5] = present[5, 15] = True
    pixels = np.full((1, 3, 4), 255, np.float32)
    lay_photo(image, photo, pixels, 4, 5, 10, 0, present)
    changed = (image != photo).any(axis=2)
    assert changed[5, 4] and changed[5, 6] and changed.sum() == 2
