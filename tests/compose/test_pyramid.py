import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.compose.pyramid import LEVEL_STEP, build_pyramid


def level(pyramid, number):
    """A level with its border, uint16 [h + 2, w + 2, 4]."""
    start, width, height = pyramid.levels[number]
    return pyramid.pixels[start : start + (width + 2) * (height + 2)].reshape(height + 2, width + 2, 4)


@pytest.fixture
def rgba():
    return np.random.default_rng(2).integers(0, 256, (32, 64, 4), np.uint8)


def test_first_level_is_the_premultiplied_cut_out_in_16_bits(rgba):
    pyramid = build_pyramid(rgba, 64)
    straight = rgba.astype(np.float64) / 255
    expected = np.concatenate([straight[..., :3] * straight[..., 3:], straight[..., 3:]], -1) * 65535
    assert np.abs(level(pyramid, 0)[1:-1, 1:-1] - expected).max() <= 0.51
    assert (pyramid.width, pyramid.height, pyramid.pixels.dtype) == (64, 32, np.uint16)


def test_levels_do_not_shift():
    # On a ramp, the colour of a pixel shows its source position.
    side = 211
    rgba = np.full((side, side, 4), 255, np.uint8)
    rgba[..., 0] = np.arange(side)
    pyramid = build_pyramid(rgba, side)
    for number, (_, width, _) in enumerate(pyramid.levels[:8]):
        row = level(pyramid, number)[width // 2, 1:-1, 0] / 257.0
        truth = (np.arange(width) + 0.5) * side / width - 0.5
        assert np.abs(row - truth)[2:-2].max() < 0.05 * side / width


def test_levels_never_overshoot():
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[20:, 31:] = 255
    pyramid = build_pyramid(rgba, 64)
    for number in range(len(pyramid.levels)):
        pixels = level(pyramid, number).astype(np.int64)
        assert np.abs(pixels[..., :3] - pixels[..., 3:]).max() <= 1  # premultiplied white is its alpha


def test_relief_is_kept_and_flat_by_default(rgba):
    relief = np.linspace(-1, 1, 64 * 32, dtype=np.float32).reshape(32, 64)
    np.testing.assert_array_equal(build_pyramid(rgba, 64, relief).relief, relief)
    assert build_pyramid(rgba, 64).relief.size == 0


@given(st.integers(1, 200), st.integers(1, 200), st.floats(1, 400))
def test_levels_shrink_by_the_step_inside_a_transparent_border(width, height, largest_px):
    pyramid = build_pyramid(np.full((height, width, 4), 255, np.uint8), largest_px)
    longest = pyramid.levels[:, 1:].max(axis=1)
    # The first is the smallest that is not below the largest drawn size; the last one is a pixel or two.
    assert longest[0] >= min(largest_px, max(width, height))
    assert longest[0] <= max(largest_px * LEVEL_STEP + 1, 1) or longest[0] == max(width, height) <= largest_px
    assert longest[-1] <= 2
    assert (np.diff(longest) <= 0).all()
    assert (longest[1:] >= longest[:-1] / LEVEL_STEP - 1).all()
    for number in range(len(pyramid.levels)):
        bordered = level(pyramid, number)
        assert (bordered[1:-1, 1:-1] == 65535).all()
        assert bordered.sum(dtype=np.int64) == 4 * 65535 * math.prod(pyramid.levels[number, 1:].tolist())
    assert len(pyramid.pixels) == ((pyramid.levels[:, 1] + 2) * (pyramid.levels[:, 2] + 2)).sum()


def test_memory_depends_on_the_drawn_size():
    rgba = np.full((1000, 1000, 4), 255, np.uint8)
    assert build_pyramid(rgba, 60).pixels.nbytes < 150_000 < build_pyramid(rgba, 1000).pixels.nbytes
