import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import nnls

from qumade.depth.encoding import UNDESCRIBED_DEPTH, DepthEncoding
from qumade.errors import QumadeError
from qumade.metrics.alignment import Clamp, align, default_alignment, default_clamp, depth_kind

CLAMP = Clamp(0.02, 2.0)
MAPS = arrays(np.float64, (4, 5), elements=st.floats(0.05, 1.5))
METRIC = DepthEncoding(kind="metric", code="metres", bits=16, depth_scale=256.0)
SCALED = DepthEncoding(kind="scaled", code="inverse", bits=8, range=(0.0, 1.5))
AFFINE = DepthEncoding(kind="affine", code="inverse", bits=8, range=(-1.0, 3.0))


@pytest.mark.parametrize(
    ("kinds", "alignment"),
    [
        (("metric", "metric"), "none"),
        (("metric", "scaled"), "scale"),
        (("scaled", "metric"), "scale"),
        (("scaled", "scaled"), "scale"),
        (("metric", "affine"), "scale and shift"),
        (("scaled", None), "scale and shift"),
        ((None, "metric"), "scale and shift"),
        (("metric", "scaled", "affine"), "scale and shift"),
    ],
)
def test_the_weakest_kind_decides_the_alignment(kinds, alignment):
    assert default_alignment(*kinds) == alignment


def test_a_picture_over_its_own_range_has_no_kind():
    own = DepthEncoding(kind="metric", code="inverse", bits=8, range="image")
    assert depth_kind(own) is None and depth_kind(METRIC) == "metric" and depth_kind(UNDESCRIBED_DEPTH) is None


@pytest.mark.parametrize(
    ("code", "clamp"),
    [
        (METRIC, (1 / 80, 1000.0)),
        (DepthEncoding(kind="metric", code="inverse", bits=8, range=(0.0, 0.5)), (1 / 80, 0.5)),
        (SCALED, (0.03, 1.5)),
        (AFFINE, (0.02, 1.0)),
        (UNDESCRIBED_DEPTH, (0.02, 1.0)),
    ],
)
def test_the_clamp_follows_the_encoding(code, clamp):
    assert default_clamp(code) == pytest.approx(clamp)


def test_one_level_of_rounding_at_the_far_end_of_an_8_bit_clamp_stays_within_delta():
    far = default_clamp(SCALED).far
    half_a_code = 1.5 / 255 / 2
    assert far / (far - half_a_code) < 1.25


@given(MAPS, st.floats(0.1, 10))
def test_scale_undoes_a_factor(truth, factor):
    aligned = align(factor * truth, truth, "scale", CLAMP)
    np.testing.assert_allclose(aligned.inverse_depth, truth, rtol=1e-12)
    assert aligned.scale == pytest.approx(1 / factor) and aligned.shift == 0


@given(MAPS, MAPS)
def test_scale_and_shift_are_the_least_squares(prediction, truth):
    aligned = align(prediction, truth, "scale and shift", CLAMP)
    columns = np.stack([prediction.ravel(), np.ones(prediction.size)], axis=1)
    best = nnls(np.concatenate([columns, -columns[:, 1:]], axis=1), truth.ravel())  # a shift of either sign
    assert np.sum((aligned.inverse_depth - truth) ** 2) <= best[1] ** 2 + 1e-9
    free = np.linalg.lstsq(columns, truth.ravel(), rcond=None)[0][0]
    assert aligned.swapped == (aligned.scale == 0 and free < 0) or abs(free) < 1e-6


@given(MAPS, st.floats(0.1, 10), st.floats(-5, 5))
def test_scale_and_shift_undo_both(truth, factor, offset):
    aligned = align(factor * truth + offset, truth, "scale and shift", CLAMP)
    np.testing.assert_allclose(aligned.inverse_depth, truth, atol=1e-6)


def test_nothing_is_fitted_to_sky_or_unknown_depth():
    truth = np.array([[0.0, np.nan, 0.2, 0.4, 0.6]])
    prediction = np.array([[9.0, 7.0, 0.1, 0.2, 0.3]])
    for alignment in ("scale", "scale and shift"):
        aligned = align(prediction, truth, alignment, CLAMP)
        assert (aligned.scale, aligned.shift) == pytest.approx((2, 0))
    assert align(prediction, truth, "none", CLAMP)[1:] == (1, 0, False)


def test_a_constant_becomes_the_mean_and_a_median_of_zero_everything_far():
    truth = np.array([[0.2, 0.3, 0.7]])
    for constant in (0.0, 0.1, 1e6):
        aligned = align(np.full_like(truth, constant), truth, "scale and shift", CLAMP)
        np.testing.assert_allclose(aligned.inverse_depth, 0.4)
    assert (align(np.zeros_like(truth), truth, "scale", CLAMP).inverse_depth == 0).all()


@pytest.mark.parametrize("alignment", ["scale", "scale and shift"])
def test_without_a_pixel_to_fit_everything_is_unknown(alignment):
    truth = np.array([[0.0, np.nan]])
    assert np.isnan(align(np.ones((1, 2)), truth, alignment, CLAMP).inverse_depth).all()
    assert (align(np.ones((1, 2)), truth, "none", CLAMP).inverse_depth == 1).all()


@pytest.mark.parametrize(
    ("prediction", "wanted"),
    [(np.ones((2, 3)), "shape"), (np.full((2, 2), np.nan), "finite"), (np.full((2, 2), np.inf), "finite")],
)
def test_predictions_that_cannot_be_evaluated(prediction, wanted):
    with pytest.raises(QumadeError, match=wanted):
        align(prediction, np.ones((2, 2)), "scale", CLAMP)


def test_depth_that_is_inside_out_gets_the_best_scale_that_is_not_negative():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.1, 1, (64, 64))
    aligned = align(1 - truth, truth, "scale and shift", CLAMP)
    assert aligned.swapped and (aligned.scale, aligned.shift) == (0, pytest.approx(truth.mean()))
    noisy = 0.3 * rng.uniform(0, 1, truth.shape) - truth
    aligned = align(noisy, truth, "scale and shift", CLAMP)
    grid = [((s * noisy + t - truth) ** 2).mean() for s in np.linspace(0, 1, 21) for t in np.linspace(-1, 2, 61)]
    assert aligned.swapped and ((aligned.inverse_depth - truth) ** 2).mean() <= min(grid) + 1e-12
    assert not align(truth, truth, "scale and shift", CLAMP).swapped
    assert not align(np.ones_like(truth), truth, "scale and shift", CLAMP).swapped
