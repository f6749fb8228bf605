"""Confidence intervals of means over pictures: percentile intervals of the bootstrap (Efron 1979)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST_PICTURES", "Interval", "mean_differences", "means"]

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
    random = np.random.Generator(np.random.Philox(seed))
    drawn = []
    step = max(1, CELLS // max(rows, 1))
    for start in range(0, resamples if rows else 0, step):
        counts = np.empty((min(step, resamples - start), rows))
        for row in counts:
            row[:] = np.bincount(random.integers(rows, size=rows), minlength=rows)
        drawn.append(_differences(counts, filled, weights))
    resampled = np.concatenate(drawn) if drawn else np.full((1, len(value)), np.nan)
    pictures = np.minimum(*(mask.sum(axis=0) for mask in there))
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
