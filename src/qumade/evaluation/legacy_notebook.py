"""The metrics of the original notebooks, for comparison with published results that use them.

Mask and depth are treated alike: both maps grey in [0, 1], 1e-5 added to each, the pixels of all pictures pooled. These
are poor metrics: most pixels of a mask are 0 in both maps, and ratios of inverse depth are taken without alignment.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qumade.data.dataset import LabeledSample
from qumade.depth.encoding import DepthEncoding
from qumade.evaluation.report import Section, Table
from qumade.evaluation.summary import format_number
from qumade.evaluation.targets import Predicted
from qumade.metrics.ground_truth import ground_truth_of
from qumade.models.config import TASKS, Task

__all__ = [
    "LEGACY_METRICS", "LegacyMetrics", "LegacyScores", "format_legacy", "legacy_grey", "legacy_scores",
    "legacy_section", "legacy_sums",
]  # fmt: skip

LegacyScores = dict[str, dict[str, float | None]]

LEGACY_METRICS = ("a1", "a2", "a3", "abs_rel", "rmse", "log_10")
TITLE = "Metrics of the legacy notebook"
NOTE = "Both maps grey in [0, 1] with 1e-5 added, all pixels pooled, no alignment."
THETA = 1e-5
DELTA = 1.25


class LegacyMetrics:
    """Collects the sums of every picture while a dataset is evaluated: pass `add` to `evaluate` as `observe`."""

    def __init__(self, encoding: DepthEncoding | None, trained_tasks: Sequence[Task] = TASKS) -> None:
        """`encoding` is that of the dataset's depth; only `trained_tasks` are scored."""
        self._encoding, self._tasks = encoding, trained_tasks
        self._sums: list[NDArray[np.float64]] = []

    def add(self, sample: LabeledSample, predicted: Predicted) -> None:
        """Add a picture: a sample and its prediction."""
        truth, sums = ground_truth_of(sample, None), np.zeros((2, 7))
        if truth.mask is not None and "mask" in self._tasks:
            sums[0] = legacy_sums(predicted.mask, truth.mask)
        if sample.inverse_depth is not None and self._encoding is not None and "depth" in self._tasks:
            ignored = False if sample.ignore is None else sample.ignore
            grey = legacy_grey(np.where(ignored, np.float32(np.nan), sample.inverse_depth), self._encoding)
            sums[1] = legacy_sums(grey, legacy_grey(predicted.inverse_depth, self._encoding))
        self._sums.append(sums)

    def scores(self, keep: NDArray[np.bool_]) -> LegacyScores:
        """Return the LEGACY_METRICS for "mask" and "depth", pooled over the pictures to keep, bool [pictures]. They are
        None where undefined."""
        pooled = dict(zip(TASKS, np.array(self._sums).reshape(-1, 2, 7)[keep].sum(axis=0), strict=True))
        return {
            task: {key: None if math.isnan(value) else value for key, value in legacy_scores(sums).items()}
            for task, sums in pooled.items()
        }


def legacy_grey(inverse_depth: NDArray[np.floating], encoding: DepthEncoding) -> NDArray[np.float64]:
    """Return inverse depth as the grey of a depth picture: float64 in [0, 1] over the range of the dataset's encoding,
    or over 0 to 1 / m where it is encoded in metres. NaN stays NaN."""
    far, near = encoding.limits or (0.0, 1.0)
    return np.clip((inverse_depth.astype(np.float64) - far) / (near - far), 0.0, 1.0)


def legacy_sums(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return what one picture adds: sums over its known pixels for the six metrics, and their number; float64 [7].

    Errors are relative to `first`. The original passed its function the predicted mask first, but the true depth.
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


def legacy_section(scores: LegacyScores) -> Section:
    """Return `LegacyMetrics.scores` as a section of the report."""
    rows = tuple((name, *(format_number(value) for value in values.values())) for name, values in scores.items())
    return Section(TITLE, NOTE, table=Table(("", *LEGACY_METRICS), rows))


def format_legacy(scores: LegacyScores) -> str:
    """Return `LegacyMetrics.scores` as text: a title, a table with a line each for mask and depth, and a note."""
    lines = [f"{TITLE}:", f"{'':8}" + "".join(f"{name:>10}" for name in LEGACY_METRICS)]
    for name, values in scores.items():
        lines.append(f"{name:8}" + "".join(f"{format_number(value):>10}" for value in values.values()))
    return "\n".join([*lines, NOTE])
