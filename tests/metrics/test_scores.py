import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torchmetrics.functional import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_log_error,
)
from torchmetrics.functional.classification import binary_f1_score, binary_jaccard_index

from qumade.errors import QumadeError
from qumade.metrics.alignment import Clamp
from qumade.metrics.scores import (
    DEPTH_METRICS,
    MASK_METRICS,
    delta1,
    depth_errors,
    depth_scores,
    mask_iou,
    mask_scores,
)

CLAMP = Clamp(1 / 80, 1000.0)
SHARES = arrays(np.float32, (7, 9), elements=st.floats(0, 1, width=32))
MASKS = arrays(np.bool_, (13, 17))
DEPTHS = arrays(np.float64, (6, 7), elements=st.floats(0.02, 2))


def disc(row, column, radius, size=64):
    v, u = np.mgrid[:size, :size]
    return ((v - row) ** 2 + (u - column) ** 2 <= radius**2).astype(np.float32)


@given(SHARES, SHARES)
def test_masks_against_torchmetrics(probability, truth):
    if not ((probability >= 0.5) | (truth >= 0.5)).any():
        return
    scores = mask_scores(probability, truth)
    p, t = torch.from_numpy((probability >= 0.5).astype(np.int64)), torch.from_numpy((truth >= 0.5).astype(np.int64))
    assert scores["iou"] == pytest.approx(binary_jaccard_index(p, t).item(), abs=1e-6)
    assert scores["dice"] == pytest.approx(binary_f1_score(p, t).item(), abs=1e-6)
    wanted = mean_absolute_error(torch.from_numpy(probability), torch.from_numpy(truth)).item()
    assert scores["mae"] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("probability", "truth", "wanted"),
    [
        ([[1, 1, 0, 0]], [[1, 1, 0, 0]], (1, 1, 1, 0)),
        ([[1, 1, 0, 0]], [[0, 1, 1, 0]], (1 / 3, 1 / 2, 1 / 3, 1 / 2)),
        ([[0, 0, 0, 0]], [[0, 1, 1, 0]], (0, 0, 0, 1 / 2)),
        ([[0, 1, 0, 0]], [[0, 0, 0, 0]], (0, 0, 0, 1 / 4)),
        ([[0.5, 0.49, 0, 0]], [[0.5, 0.49, 0, 0]], (1, 1, 1, 0)),
        ([[0.2, 0.4, 0, 0]], [[0, 0.3, 0, 0]], (math.nan,) * 4),
        ([[1, 1, 0, 1]], [[1, math.nan, 0, math.nan]], (1, 1, 1, 0)),
        ([[1, 1, 0, 0]], [[math.nan] * 4], (math.nan,) * 4),
        ([[1, 0, 0, 0]], [[math.nan, 0, 0, 0]], (math.nan,) * 4),
    ],
)
def test_masks_in_closed_form(probability, truth, wanted):
    scores = mask_scores(np.array(probability, np.float32), np.array(truth, np.float32))
    assert list(scores) == [metric.key for metric in MASK_METRICS]
    assert tuple(scores.values()) == pytest.approx(wanted, nan_ok=True)


def brute_boundary(mask, reach):
    """Pixels of a mask with one outside it, or outside the picture, at most `reach` away along the larger axis."""
    padded = np.pad(mask, reach)
    boundary = np.zeros_like(mask)
    for v, u in np.argwhere(mask):
        boundary[v, u] = not padded[v : v + 2 * reach + 1, u : u + 2 * reach + 1].all()
    return boundary


@given(MASKS, MASKS)
def test_boundary_iou_against_brute_force(predicted, actual):
    if not (predicted | actual).any():
        return
    first, second = brute_boundary(predicted, 1), brute_boundary(actual, 1)  # 2 % of 21 pixels, and at least one
    wanted = (first & second).sum() / (first | second).sum()
    scores = mask_scores(predicted.astype(np.float32), actual.astype(np.float32))
    assert scores["boundary_iou"] == pytest.approx(wanted)


def test_boundary_iou_of_large_masks_against_brute_force():
    predicted, actual = disc(60, 60, 40, 128), disc(62, 57, 41, 128)
    reach = round(0.02 * math.hypot(128, 128))
    assert reach == 4
    first, second = brute_boundary(predicted > 0, reach), brute_boundary(actual > 0, reach)
    scores = mask_scores(predicted, actual)
    assert scores["boundary_iou"] == pytest.approx((first & second).sum() / (first | second).sum())
    assert scores["boundary_iou"] < scores["iou"]


def test_the_boundary_of_an_ignored_region_is_no_contour():
    truth = np.zeros((40, 40), np.float32)
    truth[10:30, 10:30] = 1
    truth[10:30, 20:] = np.nan
    halved = np.where(np.isnan(truth), 0, truth)  # agrees wherever it is evaluated
    whole = np.where(np.isnan(truth), 1, truth)
    assert mask_scores(halved, truth) == mask_scores(whole, truth)
    assert mask_scores(whole, truth)["boundary_iou"] == 1
    shorter = whole.copy()
    shorter[:12] = 0
    # boundaries: 20 of the left column, 9 more of the top and of the bottom row; two rows lower, 17 of them are
    # in common
    assert mask_scores(shorter, truth)["boundary_iou"] == pytest.approx((18 + 9) / (38 + 9))


@pytest.mark.parametrize(
    ("probability", "wanted"),
    [
        (np.zeros((2, 3)), "shape"),
        (np.full((2, 2), 1.01), "probabilities"),
        (np.full((2, 2), -0.01), "probabilities"),
        (np.full((2, 2), np.nan), "probabilities"),
    ],
)
def test_masks_that_cannot_be_evaluated(probability, wanted):
    with pytest.raises(QumadeError, match=wanted):
        mask_scores(probability, np.ones((2, 2)))


@given(DEPTHS, DEPTHS)
def test_depth_against_torchmetrics(prediction, truth):
    scores = depth_scores(prediction, truth, "none", CLAMP)
    d, actual = torch.from_numpy(1 / prediction), torch.from_numpy(1 / truth)
    assert scores["abs_rel"] == pytest.approx(mean_absolute_percentage_error(d, actual).item(), rel=1e-9)
    assert scores["rmse"] == pytest.approx(mean_squared_error(d, actual, squared=False).item(), rel=1e-9)
    log1p = mean_squared_log_error(d - 1, actual - 1).item()  # torchmetrics adds 1 before the logarithm
    assert scores["rmse_log"] == pytest.approx(math.sqrt(log1p), rel=1e-9)


def test_depth_in_closed_form():
    actual = np.array([[2.0, 4.0, 10.0, 20.0]])
    predicted = np.array([[2.0, 5.5, 10.0, 10.0]])  # ratios 1, 1.375, 1, 2
    scores = depth_scores(1 / predicted, 1 / actual, "none", CLAMP)
    logs = np.log([1, 1.375, 1, 0.5])
    wanted = {
        "delta1": 2 / 4,
        "delta2": 3 / 4,
        "delta3": 3 / 4,
        "abs_rel": (1.5 / 4 + 10 / 20) / 4,
        "sq_rel": (1.5**2 / 4 + 10**2 / 20) / 4,
        "rmse": math.sqrt((1.5**2 + 10**2) / 4),
        "rmse_log": math.sqrt(np.mean(logs**2)),
        "log10": float(np.mean(np.abs(logs))) / math.log(10),
        "silog": 100 * math.sqrt(np.var(logs)),
    }
    assert list(scores) == [metric.key for metric in DEPTH_METRICS]
    assert scores == pytest.approx(wanted)


def test_a_ratio_of_exactly_125_percent_is_outside_delta():
    scores = depth_scores(np.array([[1.25, 0.8, 1.0]]), np.array([[1.0, 1.0, 1.25]]), "none", CLAMP)
    assert scores["delta1"] == 0 and scores["delta2"] == 1


def test_sky_is_left_out_of_depth_and_as_far_as_the_clamp_where_it_counts():
    truth = np.array([[0.0, 0.01, 0.1, np.nan]])  # sky, 100 m, 10 m, unknown
    prediction = np.array([[0.5, 0.5, 0.1, 3.0]])
    assert depth_scores(prediction, truth, "none", CLAMP)["delta1"] == 1
    everything = np.ones_like(truth, bool)
    assert depth_errors(prediction, truth, CLAMP, [everything])[0]["delta1"] == pytest.approx(1 / 3)
    at_infinity = np.array([[-1.0, 0.0, 0.1, 3.0]])  # both as far as the far end: nothing is wrong
    (scores,) = depth_errors(at_infinity, truth, CLAMP, [everything])
    assert scores["delta1"] == 1 and scores["rmse"] == 0
    near = np.array([[1.0, 0.0125, 0.1, 0.0]])
    (scores,) = depth_errors(near, truth, CLAMP, [everything])
    assert scores["rmse"] == pytest.approx(math.sqrt(79**2 / 3))


def test_regions_are_evaluated_apart():
    truth = np.array([[0.1, 0.2, 0.4]])
    prediction = np.array([[0.1, 0.1, 0.1]])
    first, rest, none = (np.array([row], bool) for row in ([1, 0, 0], [0, 1, 1], [0, 0, 0]))
    a, b, c = depth_errors(prediction, truth, CLAMP, [first, rest, none])
    assert (a["abs_rel"], b["abs_rel"]) == pytest.approx((0, (1 + 3) / 2))
    assert all(math.isnan(value) for value in c.values())


@given(DEPTHS, DEPTHS, st.floats(0.2, 5), st.floats(-1, 1))
def test_aligned_scores_do_not_depend_on_what_is_aligned(prediction, truth, factor, offset):
    clamp = Clamp(0.01, 5.0)
    first = depth_scores(prediction, truth, "scale", clamp)
    assert depth_scores(factor * prediction, truth, "scale", clamp) == pytest.approx(first, rel=1e-6, abs=1e-5)
    first = depth_scores(prediction, truth, "scale and shift", clamp)
    second = depth_scores(factor * prediction + offset, truth, "scale and shift", clamp)
    for key in ("abs_rel", "rmse_log", "log10"):  # a share of pixels may turn on the last bit
        assert second[key] == pytest.approx(first[key], rel=1e-4, abs=1e-4)


@given(DEPTHS, st.floats(0.2, 5))
def test_silog_ignores_a_factor(truth, factor):
    assert depth_scores(truth * factor, truth, "none", Clamp(1e-3, 1e3))["silog"] == pytest.approx(0, abs=1e-4)


@given(DEPTHS, DEPTHS)
def test_shares_are_ordered_and_errors_not_negative(prediction, truth):
    scores = depth_scores(prediction, truth, "scale and shift", Clamp(0.01, 5.0))
    assert 0 <= scores["delta1"] <= scores["delta2"] <= scores["delta3"] <= 1
    assert all(value >= 0 for value in scores.values())
    assert scores["silog"] <= 100 * scores["rmse_log"] + 1e-9


def test_without_known_pixels_depth_scores_are_nan():
    for truth in (np.full((2, 2), np.nan), np.zeros((2, 2))):
        for alignment in ("none", "scale", "scale and shift"):
            scores = depth_scores(np.ones((2, 2)), truth, alignment, CLAMP)
            assert all(math.isnan(value) for value in scores.values())


@given(SHARES, SHARES, arrays(np.bool_, (7, 9)))
def test_the_iou_alone_is_that_of_all_mask_scores(probability, truth, known):
    truth = np.where(known, truth, np.float32(np.nan))
    assert mask_iou(probability, truth) == pytest.approx(mask_scores(probability, truth)["iou"], abs=0, nan_ok=True)


@given(DEPTHS, DEPTHS, arrays(np.bool_, (6, 7)), st.sampled_from(["none", "scale", "scale and shift"]))
def test_delta1_alone_is_that_of_all_depth_scores(prediction, truth, known, alignment):
    truth, clamp = np.where(known, truth, np.nan), Clamp(0.3, 1.5)
    wanted = depth_scores(prediction, truth, alignment, clamp)["delta1"]
    assert delta1(prediction, truth, alignment, clamp) == pytest.approx(wanted, abs=1e-12, nan_ok=True)
