"""The numbers as the original reported them, to compare with what others measured by it.

Mask and depth are treated alike: both maps grey in [0, 1], 1e-5 added to each, the pixels of all pictures pooled. These
are no good metrics: most pixels of a mask are 0 in both maps, and ratios of inverse depth are taken without alignment.
"""

import math

import numpy as np
from numpy.typing import NDArray

from qumade.depth.encoding import DepthEncoding

__all__ = ["LEGACY_METRICS", "legacy_grey", "legacy_scores", "legacy_sums"]

LEGACY_METRICS = ("a1", "a2", "a3", "abs_rel", "rmse", "log_10")
THETA = 1e-5
DELTA = 1.25


def legacy_grey(inverse_depth: NDArray[np.floating], code: DepthEncoding) -> NDArray[np.float64]:
    """Return inverse depth as the grey of a depth picture: float64 in [0, 1] over the range of the dataset's code, or
    over 0 to 1 / m where it is coded in metres. NaN stays NaN."""
    far, near = code.range if isinstance(code.range, tuple) else (0.0, 1.0)
    return np.clip((inverse_depth.astype(np.float64) - far) / (near - far), 0.0, 1.0)


def legacy_sums(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return what one picture adds: sums over its known pixels for the six metrics, and their number; float64 [7].

    `first` is what errors are relative to: the original gave its function the predicted mask first, but the true depth.
    """
    known = ~(np.isnan(first) | np.isnan(second))
    g, p = first[known].astype(np.float64) + THETA, second[known].astype(np.float64) + THETA
    worse = np.maximum(g / p, p / g)
    return np.array(
        [
            *(np.count_nonzero(worse < DELTA**power) for power in (1, 2, 3)),
            np.sum(np.abs(g - p) / g),
            np.sum((g - p) ** 2),
            np.sum(np.abs(np.log10(g) - np.log10(p))),
            g.size,
        ]
    )


def legacy_scores(sums: NDArray[np.float64]) -> dict[str, float]:
    """Return the six metrics from sums over pictures: shares with a ratio below 1.25, its square and its cube, mean
    relative error, root mean square error, mean difference of log10; NaN where no pixel was known."""
    if sums[-1] == 0:
        return dict.fromkeys(LEGACY_METRICS, math.nan)
    means = dict(zip(LEGACY_METRICS, (float(value) for value in sums[:-1] / sums[-1]), strict=True))
    return means | {"rmse": math.sqrt(means["rmse"])}
