"""Metrics of one picture: how well a predicted mask and a predicted depth map agree with ground truth.

Pixels whose ground truth is NaN (unknown, unlabelled or ignored) are left out. An undefined metric is NaN.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter1d

from qumade.errors import RunError
from qumade.metrics.alignment import Alignment, Clamp, align

__all__ = [
    "DEPTH_METRICS", "MASK_METRICS", "THRESHOLD", "Metric", "delta1", "depth_errors", "depth_scores", "mask_iou",
    "mask_scores",
]  # fmt: skip

THRESHOLD = 0.5  # of probability and of coverage
DILATION_RATIO = 0.02  # of the diagonal: the default of Cheng et al. 2021
DELTA = 1.25


class Metric(NamedTuple):
    """A metric: its key in tables, its title for people, and which direction is better."""

    key: str
    title: str
    higher_is_better: bool


MASK_METRICS = (
    Metric("iou", "IoU", True),
    Metric("dice", "Dice", True),
    Metric("boundary_iou", "boundary IoU", True),
    Metric("mae", "MAE", False),
)
DEPTH_METRICS = (
    Metric("delta1", "delta < 1.25", True),
    Metric("delta2", "delta < 1.25²", True),
    Metric("delta3", "delta < 1.25³", True),
    Metric("abs_rel", "AbsRel", False),
    Metric("sq_rel", "SqRel", False),
    Metric("rmse", "RMSE", False),
    Metric("rmse_log", "RMSElog", False),
    Metric("log10", "log10", False),
    Metric("silog", "SILog x 100", False),
)


def mask_iou(probability: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Return the IoU of `mask_scores` alone, in [0, 1] or NaN."""
    _, _, common, union = _overlap(probability, truth)
    return common / union if union else math.nan


def mask_scores(probability: NDArray[np.floating], truth: NDArray[np.floating]) -> dict[str, float]:
    """Return the MASK_METRICS of a predicted mask, probability [H, W] in [0, 1], against coverage [H, W] in [0, 1].

    Both are object from 0.5 on for IoU = |P & T| / |P | T|, Dice = 2 |P & T| / (|P| + |T|) and boundary IoU (Cheng et
    al. 2021: the IoU of the parts of each mask within 2 % of the diagonal, at least one pixel, of its contour; the
    picture's edge is contour, the boundary of an ignored region is not). MAE is the mean of |probability - coverage|.
    All are NaN where neither shows an object. QumadeError where the shapes differ or a probability is not in [0, 1].
    """
    actual, predicted, common, union = _overlap(probability, truth)
    if union == 0:
        return {metric.key: math.nan for metric in MASK_METRICS}
    counted = ~np.isnan(truth)
    reach = max(1, round(DILATION_RATIO * math.hypot(*truth.shape)))
    actual_boundary, predicted_boundary = _boundary(actual, counted, reach), _boundary(predicted, counted, reach)
    boundary_common = int(np.count_nonzero(actual_boundary & predicted_boundary))
    boundary_union = int(np.count_nonzero(actual_boundary | predicted_boundary))
    return {
        "iou": common / union,
        "dice": 2 * common / (common + union),
        "boundary_iou": boundary_common / boundary_union if boundary_union else math.nan,
        "mae": float(np.abs(probability - truth)[counted].mean(dtype=np.float64)),
    }


def delta1(prediction: NDArray[np.floating], truth: NDArray[np.floating], alignment: Alignment, clamp: Clamp) -> float:
    """Return the "delta1" of `depth_scores` alone, in [0, 1] or NaN."""
    evaluated = truth >= clamp.far
    if not evaluated.any():
        return math.nan
    aligned = align(prediction, truth, alignment, clamp).inverse_depth
    _, ratio = _clamped(aligned[evaluated], truth[evaluated], clamp)
    return float(np.count_nonzero(np.maximum(ratio, 1 / ratio) < DELTA)) / ratio.size


def depth_scores(
    prediction: NDArray[np.floating], truth: NDArray[np.floating], alignment: Alignment, clamp: Clamp
) -> dict[str, float]:
    """Return the DEPTH_METRICS of predicted inverse depth [H, W], after alignment, over the known pixels up to the
    clamp's far end, which leaves out sky. All are NaN where there is no such pixel."""
    aligned = align(prediction, truth, alignment, clamp).inverse_depth
    return depth_errors(aligned, truth, clamp, [truth >= clamp.far])[0]


def depth_errors(
    aligned: NDArray[np.floating], truth: NDArray[np.floating], clamp: Clamp, regions: Sequence[NDArray[np.bool_]]
) -> list[dict[str, float]]:
    """Return the DEPTH_METRICS of aligned inverse depth over the known pixels of each region, bool [H, W].

    Both maps are clamped first, which moves sky to the far end. With d predicted and d* true depth (1 / inverse depth)
    and means over pixels: delta_k, the share with max(d / d*, d* / d) < 1.25^k; AbsRel, mean |d - d*| / d*;
    SqRel, mean (d - d*)^2 / d*; RMSE, root of mean (d - d*)^2; RMSElog, the same of ln d; log10, mean |log10 d -
    log10 d*| (Eigen et al. 2014, Liu et al. 2015); SILog, 100 times the standard deviation of ln d - ln d* (KITTI).
    """
    known = ~np.isnan(truth)
    predicted = aligned[known]
    if predicted.size == 0 or np.isnan(predicted[0]):
        return [dict.fromkeys((metric.key for metric in DEPTH_METRICS), math.nan) for _ in regions]
    actual, ratio = _clamped(predicted, truth[known], clamp)
    worse = np.maximum(ratio, 1 / ratio)
    pixels = np.empty((9, ratio.size))
    for power in (1, 2, 3):
        pixels[power - 1] = worse < DELTA**power
    relative = np.abs(1 / ratio - 1, out=pixels[3])
    difference = relative / actual
    np.multiply(relative, difference, out=pixels[4])
    np.multiply(difference, difference, out=pixels[5])
    log = np.log(ratio, out=pixels[6])
    np.abs(log, out=pixels[7])
    np.multiply(log, log, out=pixels[8])
    return [_means(pixels, region[known]) for region in regions]


def _means(pixels: NDArray[np.float64], region: NDArray[np.bool_]) -> dict[str, float]:
    number = np.count_nonzero(region)
    if number == 0:
        return dict.fromkeys((metric.key for metric in DEPTH_METRICS), math.nan)
    delta1, delta2, delta3, abs_rel, sq_rel, square, log, log_abs, log_square = (
        float(value) for value in pixels @ region.astype(np.float64) / number
    )
    return {
        "delta1": delta1,
        "delta2": delta2,
        "delta3": delta3,
        "abs_rel": abs_rel,
        "sq_rel": sq_rel,
        "rmse": math.sqrt(square),
        "rmse_log": math.sqrt(log_square),
        "log10": log_abs / math.log(10),
        "silog": 100 * math.sqrt(max(log_square - log**2, 0.0)),
    }


def _overlap(
    probability: NDArray[np.floating], truth: NDArray[np.floating]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], int, int]:
    """Return both masks, bool [H, W] and False where unknown, and the pixels of their intersection and union."""
    if probability.shape != truth.shape:
        raise RunError(f"Invalid prediction: got a mask of shape {probability.shape}; must be {truth.shape}")
    if probability.size and not (probability.min() >= 0 and probability.max() <= 1):
        raise RunError("Invalid prediction: got a mask with values that are no probabilities; must be in [0, 1]")
    actual = truth >= THRESHOLD
    predicted = ~np.isnan(truth) & (probability >= THRESHOLD)
    return actual, predicted, int(np.count_nonzero(actual & predicted)), int(np.count_nonzero(actual | predicted))


def _clamped(
    predicted: NDArray[np.floating], actual: NDArray[np.floating], clamp: Clamp
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the true inverse depth of pixels [n] and the ratio of the predicted one to it, d* / d, both clamped."""
    inverse_depth: NDArray[np.float64] = np.clip(actual.astype(np.float64), clamp.far, clamp.near)
    return inverse_depth, np.clip(predicted.astype(np.float64), clamp.far, clamp.near) / inverse_depth


def _boundary(mask: NDArray[np.bool_], counted: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Return the pixels of a mask within `reach` pixels (along the larger of both axes) of one outside it."""
    inside = (mask | ~counted).astype(np.uint8)  # an ignored region may continue the object: no contour
    size = 2 * reach + 1
    core = minimum_filter1d(minimum_filter1d(inside, size, 0, mode="constant"), size, 1, mode="constant")
    boundary: NDArray[np.bool_] = mask & (core == 0)
    return boundary
