import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.depth.codec import decode_depth, encode_depth, inverse_depth_table, quantized_depth
from qumade.depth.encoding import METRES_16_BIT, UNDESCRIBED_DEPTH, DepthEncoding


@given(
    seed=st.integers(0, 2**32),
    bits=st.sampled_from([8, 16]),
    span=st.sampled_from([(0.0, 1.5), (0.0, 0.5), (0.0, 80.0), (-2.0, 3.0)]),
)
def test_round_trip_is_within_half_a_level(seed: int, bits: Any, span: tuple[float, float]) -> None:
    code = DepthEncoding(kind="affine", code="inverse", bits=bits, range=span)
    values = np.random.default_rng(seed).uniform(*span, (9, 13)).astype(np.float32)
    values.flat[:2] = span
    codes, clipped = encode_depth(values, code)
    assert codes.dtype == (np.uint8 if bits == 8 else np.uint16)
    step = (span[1] - span[0]) / ((1 << bits) - 1)
    # A hundredth of a step: arithmetic of 24 bits.
    assert np.abs(inverse_depth_table(code)[codes] - values).max() <= 0.51 * step
    assert (codes.flat[0], codes.flat[1]) == (0, (1 << bits) - 1)
    assert clipped == 0


def test_depth_nearer_than_the_range_is_clipped_and_counted() -> None:
    code = DepthEncoding(kind="scaled", code="inverse", bits=8, range=(0.0, 2.55))
    codes, clipped = encode_depth(np.array([[2.54, 2.55, 2.554, 2.5551, 2.56, 70.0, 0.0, 1e30]]), code)
    assert codes.tolist() == [[254, 255, 255, 255, 255, 255, 0, 255]]
    assert clipped == 4


def test_metres_of_minus_zero_are_infinitely_far() -> None:
    values = np.array([[0.0, -0.0, -1e-9, 0.5, np.nan]], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert encode_depth(values, METRES_16_BIT)[0].tolist() == [[65535, 65535, 65535, 512, 0]]


def test_depth_farther_than_the_range_is_clipped() -> None:
    code = DepthEncoding(kind="affine", code="inverse", bits=8, range=(0.0, 1.0))
    assert encode_depth(np.array([[-0.5, 0.0, 1.0]]), code)[0].tolist() == [[0, 0, 255]]


def test_metres_follow_the_16_bit_convention() -> None:
    code = DepthEncoding(kind="metric", code="metres", bits=16, depth_scale=256)
    metres = np.array([[1.0, 10.0, 100.0, 255.98, 300.0, np.inf, np.nan, 1e-6]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codes, clipped = encode_depth(1.0 / metres, code)
    assert codes.dtype == np.uint16
    # 0 is unknown, 65535 farther than that: the nearest thing there is a 1.
    assert codes.tolist() == [[256, 2560, 25600, 65531, 65535, 65535, 0, 1]]
    assert clipped == 0


@given(seed=st.integers(0, 2**32))
def test_metres_round_trip_is_within_half_a_level(seed: int) -> None:
    code = DepthEncoding(kind="metric", code="metres", bits=16, depth_scale=256)
    metres = np.random.default_rng(seed).uniform(0.5, 255.9, (6, 7)).astype(np.float32)
    table = inverse_depth_table(code)
    assert np.abs(1 / table[encode_depth(1 / metres, code)[0]] - metres).max() <= 0.52 / 256


def test_image_range_is_per_image() -> None:
    code = DepthEncoding(kind="affine", code="inverse", bits=8, range="image")
    codes, clipped = encode_depth(np.array([[0.2, 0.3, 0.4], [0.25, 0.2, 0.4]]), code)
    assert codes.tolist() == [[0, 128, 255], [64, 0, 255]]
    assert clipped == 0
    assert encode_depth(np.full((2, 2), 0.7), code)[0].tolist() == [[0, 0], [0, 0]]
    assert encode_depth(np.array([[0.2, np.nan, 0.4]]), code)[0].tolist() == [[0, 0, 255]]  # unknown is farthest


@pytest.mark.parametrize(("bits", "largest"), [(8, 255), (16, 65535)])
def test_inverse_codes_are_linear_over_the_range(bits: int, largest: int) -> None:
    table = inverse_depth_table(DepthEncoding(kind="affine", code="inverse", bits=bits, range=(-0.5, 1.5)))
    assert len(table) == largest + 1
    assert (table[0], table[-1]) == (-0.5, 1.5)
    np.testing.assert_allclose(np.diff(table), 2 / largest, rtol=1e-9)


def test_metres_become_inverse_depth_with_sky_and_unknown() -> None:
    table = inverse_depth_table(METRES_16_BIT)
    assert np.isnan(table[0])
    assert table[65535] == 0
    assert table[256] == 1.0  # one metre
    assert table[2560] == 0.1
    assert np.isfinite(table[1:]).all()


def test_undescribed_depth_is_a_share_of_each_pictures_range() -> None:
    assert UNDESCRIBED_DEPTH.kind is None
    np.testing.assert_array_equal(inverse_depth_table(UNDESCRIBED_DEPTH), np.arange(256) / 255)


def test_the_cached_table_is_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        inverse_depth_table(UNDESCRIBED_DEPTH)[0] = 1


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=20))
def test_levels_of_metres_survive(levels: list[int]) -> None:
    stored = np.array([levels], np.uint16)
    found, _ = encode_depth(decode_depth(stored, METRES_16_BIT), METRES_16_BIT)
    np.testing.assert_array_equal(found, stored)


def test_infinitely_far_and_nearer_than_the_levels() -> None:
    inverse = np.array([[0, np.nan, 1e9, 1 / 300]], np.float32)
    assert encode_depth(inverse, METRES_16_BIT)[0].tolist() == [[65535, 0, 1, 65535]]


def test_unknown_depth_without_a_level_for_it_is_farthest() -> None:
    encoding = DepthEncoding(kind="scaled", code="inverse", bits=8, range=(0.0, 1.0))
    levels, clipped = encode_depth(np.array([[np.nan, 1.0]], np.float32), encoding)
    assert (levels.tolist(), clipped) == ([[0, 255]], 0)


@pytest.mark.parametrize(
    "encoding",
    [
        METRES_16_BIT,
        DepthEncoding(kind="scaled", code="inverse", bits=8, range=(0.0, 1.5)),
        DepthEncoding(kind="affine", code="inverse", bits=16, range=(-0.5, 1.5)),
    ],
)
def test_quantizing_twice_changes_nothing_more(encoding: DepthEncoding) -> None:
    values = np.random.default_rng(2).uniform(0.01, 1.2, (7, 9)).astype(np.float32)
    once = quantized_depth(values, encoding)
    np.testing.assert_array_equal(quantized_depth(once, encoding), once)
    assert once.shape == values.shape and once.dtype == np.float32
    assert not np.array_equal(once, values)
