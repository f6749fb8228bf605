"""Confidence intervals of means over pictures: percentile intervals of the bootstrap (Efron 1979)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST_PICTURES", "Interval", "class_iou_differences", "mean_differences", "means"]

FEWEST_PICTURES = 20
RESAMPLES = 2000
CELLS = 4_000_000  # of the table of counts in memory at once


@dataclass(frozen=True)
class Interval:
    """A mean, or a difference of two, and its 95 % interval; None with fewer than 20 pictures. `pictures` is the number
    of pictures behind the mean; for a difference, the smaller of both numbers."""

    value: float
    low: float | None
    high: float | None
    pictures: int


def means(values: NDArray[np.floating], *, seed: int = 0, resamples: int = RESAMPLES) -> list[Interval]:
    """Return mean and interval of each column of values [pictures, columns]; NaN is left out."""
    return mean_differences(values, np.zeros_like(values), seed=seed, resamples=resamples)


def mean_differences(
    first: NDArray[np.floating], second: NDArray[np.floating], *, seed: int = 0, resamples: int = RESAMPLES
) -> list[Interval]:
    """Return mean(first) - mean(second) of each column of two tables [pictures, columns] over the same pictures.

    NaN is left out of its own mean only, as in the reported means: a picture without an object counts for the network
    that predicts one. Pictures are drawn with replacement, the same ones for both tables and all columns, so that the
    difficulty of a picture, which both share, does not widen the interval.
    """
    tables = [np.asarray(first, np.float64), np.asarray(second, np.float64)]
    there = [~np.isnan(table) for table in tables]
    filled = [np.where(mask, table, 0.0) for table, mask in zip(tables, there, strict=True)]
    rows = len(tables[0])
    weights = [mask.astype(np.float64) for mask in there]
    value = _differences(np.ones((1, rows)), filled, weights)[0]
    drawn = [_differences(counts, filled, weights) for counts in _resamples(rows, seed, resamples)]
    return _intervals(value, drawn, np.minimum(*(mask.sum(axis=0) for mask in there)))


def class_iou_differences(
    first: NDArray[np.int64], second: NDArray[np.int64], *, seed: int = 0, resamples: int = RESAMPLES
) -> list[Interval]:
    """Return the difference of the IoU of each class, and last of their mean, between two networks on the same
    pictures, with intervals; the arguments are confusion matrices int64 [pictures, K + 1, K + 1].

    The IoU of a class is over the pixels of all pictures together, as from `class_ious`: so pictures are drawn as in
    `mean_differences`, and their matrices are added. `pictures` is the number of those that show the class, or any.
    """
    tables = [_class_pixels(confusions) for confusions in (first, second)]
    shown = first.sum(axis=2)[:, 1:] > 0
    rows = len(first)
    value = _class_differences(np.ones((1, rows)), tables)[0]
    drawn = [_class_differences(counts, tables) for counts in _resamples(rows, seed, resamples)]
    return _intervals(value, drawn, np.append(shown.sum(axis=0), shown.any(axis=1).sum()))


def _resamples(rows: int, seed: int, resamples: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each of `rows` pictures is drawn in each resample, in parts [resamples, rows]."""
    random = np.random.Generator(np.random.Philox(seed))
    step = max(1, CELLS // max(rows, 1))
    for start in range(0, resamples if rows else 0, step):
        counts = np.empty((min(step, resamples - start), rows))
        for row in counts:
            row[:] = np.bincount(random.integers(rows, size=rows), minlength=rows)
        yield counts


def _intervals(
    value: NDArray[np.float64], drawn: list[NDArray[np.float64]], pictures: NDArray[np.integer]
) -> list[Interval]:
    resampled = np.concatenate(drawn) if drawn else np.full((1, len(value)), np.nan)
    result = []
    for column, number in enumerate(pictures):
        low = high = None
        if number >= FEWEST_PICTURES:
            low, high = (float(end) for end in np.nanpercentile(resampled[:, column], (2.5, 97.5)))
        result.append(Interval(float(value[column]), low, high, int(number)))
    return result


def _differences(
    counts: NDArray[np.float64], filled: list[NDArray[np.float64]], weights: list[NDArray[np.float64]]
) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        a, b = ((counts @ table) / (counts @ weight) for table, weight in zip(filled, weights, strict=True))
    return a - b


def _class_pixels(confusions: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    """Return the pixels of each class [pictures, K] that truth and prediction share, that either has, and of truth."""
    common = np.diagonal(confusions, axis1=1, axis2=2)
    actual, predicted = confusions.sum(axis=2), confusions.sum(axis=1)
    union = actual + predicted - common
    return tuple(pixels[:, 1:].astype(np.float64) for pixels in (common, union, actual))


def _class_differences(
    counts: NDArray[np.float64], tables: list[tuple[NDArray[np.float64], ...]]
) -> NDArray[np.float64]:
    """Return the differences of IoU and of their mean, [resamples, K + 1]; NaN for a class that no drawn picture
    shows, which the mean leaves out."""
    ious = []
    for table in tables:
        common, union, actual = (counts @ pixels for pixels in table)
        each = np.where(actual > 0, common / np.maximum(union, 1), np.nan)
        known = np.maximum((actual > 0).sum(axis=1), 1)
        mean = np.where((actual > 0).any(axis=1), np.nansum(each, axis=1) / known, np.nan)
        ious.append(np.column_stack([each, mean]))
    difference: NDArray[np.float64] = ious[0] - ious[1]
    return difference
