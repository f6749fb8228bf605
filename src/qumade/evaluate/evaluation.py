"""Judging a network on a dataset: every picture is predicted once and scored, beside predictions that know nothing."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qumade.data.dataset import LabeledSample
from qumade.depth.encoding import DepthEncoding
from qumade.errors import QumadeError
from qumade.evaluate.alignment import (
    Aligned,
    Alignment,
    Clamp,
    DepthKind,
    align,
    default_alignment,
    default_clamp,
    depth_kind,
)
from qumade.evaluate.legacy_notebook import legacy_grey, legacy_sums
from qumade.evaluate.metrics import DEPTH_METRICS, MASK_METRICS, THRESHOLD, depth_errors, mask_scores
from qumade.evaluate.targets import Predict, Samples, Truth, as_text, choose, predict_each, truth_of
from qumade.io.files import write_bytes
from qumade.models.config import TASKS, Task

__all__ = ["DEPTH_REGIONS", "SCORES", "Evaluation", "evaluate", "write_scores"]

DEPTH_REGIONS = {
    "depth": "known pixels up to the clamp's far end, without sky",
    "known_depth": "all known pixels, sky as far as the clamp's far end",
    "object_depth": "pixels of objects up to the clamp's far end",
}
SCORES = (
    *(f"mask_{metric.key}" for metric in MASK_METRICS),
    *(f"{region}_{metric.key}" for region in DEPTH_REGIONS for metric in DEPTH_METRICS),
)
"""Columns of scores in a table of pictures."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of one network on one dataset.

    `scores` has a row a picture: `sample` (position in the dataset), `stem`, `split`, `object_share` (of the picture,
    true), `predicted_share`, `mask_pixels` and `depth_pixels` that took part, `depth_scale` and `depth_shift` of the
    alignment, and SCORES, null where they cannot be told. `baselines` has the SCORES of the same pictures for all
    background and the mean inverse depth everywhere. `legacy` has, where it was asked for, the `legacy_sums` of
    each picture for "mask" and "depth", float64 [pictures, 7].
    """

    dataset: str
    scores: pa.Table
    baselines: pa.Table
    truth_kind: DepthKind
    predicted_kind: DepthKind
    alignment: Alignment | None  # None without depth
    clamp: Clamp | None
    legacy: dict[str, NDArray[np.float64]] | None
    trained_tasks: tuple[Task, ...] = TASKS  # what else the network says is neither scored nor shown

    @property
    def has_masks(self) -> bool:
        return any(self.scores["mask_pixels"].to_pylist())

    @property
    def has_depth(self) -> bool:
        return self.clamp is not None


def evaluate(
    predict: Predict,
    dataset: Samples,
    *,
    predicted_kind: DepthKind = None,
    trained_tasks: Sequence[Task] = TASKS,
    positions: NDArray[np.integer] | None = None,
    alignment: Alignment | None = None,
    clamp: Clamp | None = None,
    legacy: bool = False,
    batch_size: int = 8,
    progress: bool = False,
) -> Evaluation:
    """Predict and score the samples at these positions (all). Alignment and clamp follow the kinds of the predicted and
    the true depth where they are not given. Only `trained_tasks` are scored. Raises QumadeError where the
    dataset has nothing of that, and where a prediction does not fit its picture."""
    positions = choose(dataset) if positions is None else positions
    code = dataset.depth_encoding if "depth" in trained_tasks else None
    if code is None and not ("mask" in trained_tasks and getattr(dataset, "has_masks", True)):
        needed = " or ".join({"mask": "masks", "depth": "depth"}[task] for task in trained_tasks)
        raise QumadeError(
            f"Invalid dataset: got {dataset.name} without {needed}; must have labels of a task that the network was "
            "trained on"
        )
    if code is not None:
        alignment = alignment or default_alignment(predicted_kind, depth_kind(code))
        clamp = clamp or default_clamp(code)
    else:
        alignment = clamp = None
    # a constant is moved to the truth whatever it is, but where nothing is aligned
    mean = _mean_inverse_depth(dataset, positions) if alignment == "none" else 1.0
    stems, splits = getattr(dataset, "stems", None), dataset.splits
    rows: list[dict[str, object]] = []
    baseline_rows: list[dict[str, float]] = []
    sums: list[dict[str, NDArray[np.float64]]] = []
    for position, triple, predicted in predict_each(predict, dataset, positions, batch_size, progress):
        truth = truth_of(triple, code)
        told = predicted.mask if "mask" in trained_tasks else None
        try:
            scored = _score(told, predicted.inverse_depth, truth, alignment, clamp)
        except QumadeError as error:
            raise QumadeError(f"{error} (sample {position} of {dataset.name})") from error
        identity = {
            "sample": position,
            "stem": "" if stems is None else as_text(str(stems[position])),
            "split": str(splits[position]),
            "predicted_share": math.nan if told is None else float((told >= THRESHOLD).mean()),
        }
        size = _size(truth, clamp) | ({} if "mask" in trained_tasks else {"mask_pixels": 0})
        rows.append(identity | size | scored)
        nothing = np.zeros(triple.image.shape[:2])
        baseline_rows.append(_score(None if told is None else nothing, nothing + mean, truth, alignment, clamp))
        if legacy:
            sums.append(_legacy(told, predicted.inverse_depth, triple, truth, code))
    return Evaluation(
        dataset=as_text(dataset.name),
        scores=_table(rows),
        baselines=_table(baseline_rows),
        truth_kind=None if code is None else depth_kind(code),
        predicted_kind=predicted_kind,
        alignment=alignment,
        clamp=clamp,
        legacy={name: np.array([one[name] for one in sums]).reshape(-1, 7) for name in TASKS} if legacy else None,
        trained_tasks=tuple(trained_tasks),
    )


def write_scores(evaluation: Evaluation, path: Path) -> None:
    """Write the table of pictures as parquet, with alignment and clamp (nearest and farthest depth) as its metadata."""
    clamp = evaluation.clamp
    stated = {
        "dataset": evaluation.dataset,
        "alignment": evaluation.alignment,
        "clamp_depth": clamp and [1 / clamp.near, 1 / clamp.far],
        "truth_kind": evaluation.truth_kind,
        "predicted_kind": evaluation.predicted_kind,
    }
    sink = pa.BufferOutputStream()
    pq.write_table(evaluation.scores.replace_schema_metadata({"qumade": json.dumps(stated)}), sink, compression="zstd")
    write_bytes(path, sink.getvalue().to_pybytes())


def _score(
    probability: NDArray[np.floating] | None,
    inverse_depth: NDArray[np.floating],
    truth: Truth,
    alignment: Alignment | None,
    clamp: Clamp | None,
) -> dict[str, float]:
    scores: dict[str, float] = {}
    if truth.mask is not None and probability is not None:
        scores |= {f"mask_{key}": value for key, value in mask_scores(probability, truth.mask).items()}
    if truth.inverse_depth is None or alignment is None or clamp is None:
        return scores
    aligned: Aligned = align(inverse_depth, truth.inverse_depth, alignment, clamp)
    near_enough = truth.inverse_depth >= clamp.far
    regions = {"depth": near_enough, "known_depth": np.ones_like(near_enough)}
    if truth.mask is not None:
        regions["object_depth"] = near_enough & (truth.mask >= THRESHOLD)
    found = depth_errors(aligned.inverse_depth, truth.inverse_depth, clamp, list(regions.values()))
    for name, errors in zip(regions, found, strict=True):
        scores |= {f"{name}_{key}": value for key, value in errors.items()}
    return scores | {"depth_scale": aligned.scale, "depth_shift": aligned.shift}


def _size(truth: Truth, clamp: Clamp | None) -> dict[str, object]:
    """Return how much of a picture there is to judge."""
    size: dict[str, object] = {"object_share": math.nan, "mask_pixels": 0, "depth_pixels": 0}
    if truth.mask is not None:
        size["object_share"] = float((truth.mask >= THRESHOLD).mean())
        size["mask_pixels"] = int(np.count_nonzero(~np.isnan(truth.mask)))
    if truth.inverse_depth is not None and clamp is not None:
        size["depth_pixels"] = int(np.count_nonzero(truth.inverse_depth >= clamp.far))
    return size


def _table(rows: Sequence[dict[str, object]] | Sequence[dict[str, float]]) -> pa.Table:
    """Return rows as a table of fixed columns; NaN and what a row lacks become null, which every reader leaves out."""
    integers = [name for name in ("sample", "mask_pixels", "depth_pixels") if rows and name in rows[0]]
    texts = [name for name in ("stem", "split") if rows and name in rows[0]]
    numbers = ["object_share", "predicted_share"] if texts else []
    columns: dict[str, pa.Array] = {}
    for name in integers[:1] + texts + numbers + integers[1:] + ["depth_scale", "depth_shift", *SCORES]:
        if name in integers or name in texts:
            columns[name] = pa.array([row[name] for row in rows], pa.int64() if name in integers else pa.string())
        else:
            values = np.array([row.get(name, math.nan) for row in rows], np.float64)
            columns[name] = pa.array(values, pa.float64(), from_pandas=True)
    return pa.table(columns)


def _mean_inverse_depth(dataset: Samples, positions: NDArray[np.integer]) -> float:
    """Return the mean of the means of the pictures that have known depth."""
    found = []
    for position in positions:
        truth = truth_of(dataset.read(int(position)), dataset.depth_encoding).inverse_depth
        if truth is not None and not np.isnan(truth).all():
            found.append(float(np.nanmean(truth)))
    return math.fsum(found) / len(found) if found else 1.0


def _legacy(
    probability: NDArray[np.floating] | None,
    inverse_depth: NDArray[np.floating],
    triple: LabeledSample,
    truth: Truth,
    code: DepthEncoding | None,
) -> dict[str, NDArray[np.float64]]:
    sums = {"mask": np.zeros(7), "depth": np.zeros(7)}
    if truth.mask is not None and probability is not None:
        sums["mask"] = legacy_sums(probability, truth.mask)
    if triple.inverse_depth is not None and code is not None:
        ignored = False if triple.ignore is None else triple.ignore
        grey = legacy_grey(np.where(ignored, np.float32(np.nan), triple.inverse_depth), code)
        sums["depth"] = legacy_sums(grey, legacy_grey(inverse_depth, code))
    return sums
