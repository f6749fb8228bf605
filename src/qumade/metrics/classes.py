"""Metrics of several classes: which class pixels show, and which class is predicted for them."""

import numpy as np
from numpy.typing import NDArray

from qumade.errors import RunError

__all__ = ["class_ious", "confusion_matrix", "mean_iou"]


def confusion_matrix(
    predicted: NDArray[np.uint8], truth: NDArray[np.uint8], ignore: NDArray[np.bool_] | None, classes: int
) -> NDArray[np.int64]:
    """Return the number of pixels of each true class (row) that are predicted as each class (column), int64 [K + 1,
    K + 1]; 0 is the background, k the k-th of K `classes`.

    Both maps are uint8 [H, W]; pixels in `ignore` are left out. Raises QumadeError where they do not fit.
    """
    if predicted.shape != truth.shape:
        raise RunError(f"Invalid prediction: got classes of shape {predicted.shape}; must be {truth.shape}")
    for what, numbers in (("prediction", predicted), ("sample", truth)):
        if numbers.max(initial=0) > classes:
            raise RunError(f"Invalid {what}: got class number {numbers.max()}; must be at most {classes}")
    pairs = truth.astype(np.int64) * (classes + 1) + predicted
    counted = pairs.ravel() if ignore is None else pairs[~ignore]
    counts: NDArray[np.int64] = np.bincount(counted, minlength=(classes + 1) ** 2).reshape(classes + 1, classes + 1)
    return counts


def class_ious(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the IoU of each class but the background over all pixels of a confusion matrix, float64 [K], in [0, 1].

    It is the measure of Pascal VOC, the pixels that truth and prediction share over those that either has (M.
    Everingham et al., IJCV 2010). NaN for a class that no pixel shows: how well it would be found is unknown.
    """
    common, actual, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    union = actual + predicted - common
    ious: NDArray[np.float64] = np.where(actual > 0, common / np.maximum(union, 1), np.nan)[1:]
    return ious


def mean_iou(confusion: NDArray[np.int64]) -> float:
    """Return the mean IoU of the classes that a pixel shows, NaN where there are none."""
    ious = class_ious(confusion)
    known = ious[~np.isnan(ious)]
    return float(known.mean()) if known.size else float("nan")
