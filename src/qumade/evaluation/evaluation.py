"""Evaluation of a network on a dataset: every picture is predicted once and scored, beside a trivial baseline."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qumade.assets.ground import PRIOR_HORIZON
from qumade.data.dataset import LabeledSample, SampleDataset, known_classes, renumbering
from qumade.errors import DatasetError, RunError
from qumade.evaluation.targets import Predict, Predicted, as_text, choose, predict_each
from qumade.geometry import flat_ground_prior, inverse_depth_map
from qumade.io.files import write_bytes
from qumade.metrics.alignment import (
    Aligned,
    Alignment,
    Clamp,
    DepthKind,
    align,
    default_alignment,
    default_clamp,
    depth_kind,
)
from qumade.metrics.classes import class_ious, confusion_matrix
from qumade.metrics.ground_truth import GroundTruth, ground_truth_of
from qumade.metrics.scores import DEPTH_METRICS, MASK_METRICS, THRESHOLD, depth_errors, mask_scores
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

    `scores` has one row per picture: `sample` (position in the dataset), `stem`, `split`, `object_share` (of the
    picture, true) and `predicted_share`, both of pixels with a known mask alone and null where there are none,
    `fitted_delta1` (delta < 1.25 of depth after scale and shift), `depth_swapped` (1 where near and far are swapped: a
    scale below 0 would fit best), `mask_pixels` and `depth_pixels` that were evaluated, `depth_scale` and `depth_shift`
    of the alignment, and SCORES, null where undefined. `baselines` has the SCORES of a trivial baseline on the same
    pictures: all background, and flat ground, fitted to each picture by scale and shift. Outputs other than
    `trained_tasks` are neither scored nor shown. With several `classes` masks are scored as objects of any of them, and
    `confusions` int64 [pictures, K + 1, K + 1] are their confusion matrices.
    """

    dataset: str
    scores: pa.Table
    baselines: pa.Table
    truth_kind: DepthKind
    predicted_kind: DepthKind
    alignment: Alignment | None  # None without depth
    clamp: Clamp | None
    trained_tasks: tuple[Task, ...] = TASKS
    classes: tuple[str, ...] = ()
    confusions: NDArray[np.int64] | None = None

    @property
    def has_masks(self) -> bool:
        return any(self.scores["mask_pixels"].to_pylist())

    @property
    def has_depth(self) -> bool:
        return self.clamp is not None


def evaluate(
    predict: Predict,
    dataset: SampleDataset,
    *,
    predicted_kind: DepthKind = None,
    trained_tasks: Sequence[Task] = TASKS,
    classes: Sequence[str] = (),
    positions: NDArray[np.integer] | None = None,
    alignment: Alignment | None = None,
    clamp: Clamp | None = None,
    observe: Callable[[LabeledSample, Predicted], None] | None = None,
    batch_size: int = 8,
    progress: bool = False,
) -> Evaluation:
    """Predict and score the samples at these positions (all).

    Alignment and clamp follow the kinds of the predicted and the true depth where they are not given. Only
    `trained_tasks` are scored. `classes` are those that the network tells apart. `observe` receives every sample with
    its prediction. Raises QumadeError where the dataset lacks labels of all these tasks or has other classes, and where
    a prediction does not fit its picture.
    """
    positions = choose(dataset) if positions is None else positions
    encoding = dataset.depth_encoding if "depth" in trained_tasks else None
    masks = "mask" in trained_tasks
    if encoding is None and not (masks and dataset.has_masks):
        needed = " or ".join({"mask": "masks", "depth": "depth"}[task] for task in trained_tasks)
        raise DatasetError(
            f"Invalid dataset: got {dataset.name} without {needed}; must have labels of a task that the network was "
            "trained on"
        )
    if encoding is not None:
        alignment = alignment or default_alignment(predicted_kind, depth_kind(encoding))
        clamp = clamp or default_clamp(encoding)
    else:
        alignment = clamp = None
    classes = tuple(classes) if masks and dataset.has_masks else ()
    table = _class_table(dataset, classes)
    confusions: list[NDArray[np.int64]] = []
    stems, splits = dataset.stems, dataset.splits
    rows: list[dict[str, object]] = []
    baseline_rows: list[dict[str, float]] = []
    for position, sample, predicted in predict_each(predict, dataset, positions, batch_size, progress):
        truth = ground_truth_of(sample, encoding)
        probability = predicted.mask if masks else None
        try:
            scored = _score(probability, predicted.inverse_depth, truth, alignment, clamp)
            if classes:
                confusions.append(_confusion(sample, predicted, table, len(classes)))
        except RunError as error:
            raise RunError(f"{error} (sample {position} of {dataset.name})") from error
        identity = {
            "sample": position,
            "stem": as_text(str(stems[position])),
            "split": str(splits[position]),
            "predicted_share": math.nan if probability is None else _predicted_share(probability, truth.mask),
        }
        evaluated = _evaluated_pixels(truth, clamp) | ({} if masks else {"mask_pixels": 0})
        fitted: Alignment | None = None if alignment is None else "scale and shift"
        best = scored if fitted == alignment else _score(None, predicted.inverse_depth, truth, fitted, clamp)
        identity["fitted_delta1"] = best.get("depth_delta1", math.nan)
        rows.append(identity | evaluated | scored | {"depth_swapped": best.get("depth_swapped", math.nan)})
        ground = _flat_ground(*sample.image.shape[:2])
        baseline_rows.append(_score(np.zeros_like(ground) if masks else None, ground, truth, fitted, clamp))
        if observe is not None:
            observe(sample, predicted)
    return Evaluation(
        dataset=as_text(dataset.name),
        scores=_table(rows),
        baselines=_table(baseline_rows),
        truth_kind=None if encoding is None else depth_kind(encoding),
        predicted_kind=predicted_kind,
        alignment=alignment,
        clamp=clamp,
        trained_tasks=tuple(trained_tasks),
        classes=classes,
        confusions=np.stack(confusions) if classes else None,
    )


def _class_table(dataset: SampleDataset, classes: tuple[str, ...]) -> NDArray[np.uint8] | None:
    """Return the network's number of each class of a dataset, None where they are the same. Refuses other classes: what
    the network was trained to find may be unlabelled in this dataset."""
    if not classes:
        return None
    found = known_classes(dataset)
    if sorted(found) != sorted(classes):
        raise DatasetError(
            f"Invalid dataset: got {', '.join(found) or 'one class'} in {dataset.name}; must have the classes of the "
            f"network, {', '.join(classes)}, and instances/ that says where they are"
        )
    return renumbering(found, classes)


def _confusion(
    sample: LabeledSample, predicted: Predicted, table: NDArray[np.uint8] | None, classes: int
) -> NDArray[np.int64]:
    if sample.class_map is None or predicted.class_map is None:
        raise RunError("Invalid prediction: got no classes of a sample or its prediction; must have both")
    truth = sample.class_map if table is None else table[sample.class_map]
    return confusion_matrix(predicted.class_map, truth, sample.ignore, classes)


def write_scores(evaluation: Evaluation, path: Path) -> None:
    """Write the table of pictures as parquet, with alignment and clamp (nearest and farthest depth) in its metadata.

    With several classes it has a column `iou_CLASS` for each, null where no true pixel shows the class.
    """
    clamp = evaluation.clamp
    stated = {
        "dataset": evaluation.dataset,
        "alignment": evaluation.alignment,
        "clamp_depth": clamp and [1 / clamp.near, 1 / clamp.far],
        "truth_kind": evaluation.truth_kind,
        "predicted_kind": evaluation.predicted_kind,
    }
    table = evaluation.scores
    if evaluation.confusions is not None:
        ious = np.array([class_ious(confusion) for confusion in evaluation.confusions])
        for name, column in zip(evaluation.classes, ious.T, strict=True):
            table = table.append_column(f"iou_{as_text(name)}", pa.array(column, from_pandas=True))  # NaN is null
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({"qumade": json.dumps(stated)}), sink, compression="zstd")
    write_bytes(path, sink.getvalue().to_pybytes())


def _score(
    probability: NDArray[np.floating] | None,
    inverse_depth: NDArray[np.floating],
    truth: GroundTruth,
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
    swapped = math.nan if math.isnan(aligned.scale) else float(aligned.swapped)
    return scores | {"depth_scale": aligned.scale, "depth_shift": aligned.shift, "depth_swapped": swapped}


def _evaluated_pixels(truth: GroundTruth, clamp: Clamp | None) -> dict[str, object]:
    """Return how much of a picture is evaluated, and how much of it is object."""
    evaluated: dict[str, object] = {"object_share": math.nan, "mask_pixels": 0, "depth_pixels": 0}
    if truth.mask is not None:
        known = int(np.count_nonzero(~np.isnan(truth.mask)))
        evaluated["mask_pixels"] = known
        if known:  # what is unknown everywhere may well show an object
            evaluated["object_share"] = float((truth.mask >= THRESHOLD).mean())
    if truth.inverse_depth is not None and clamp is not None:
        evaluated["depth_pixels"] = int(np.count_nonzero(truth.inverse_depth >= clamp.far))
    return evaluated


def _predicted_share(probability: NDArray[np.floating], truth: NDArray[np.floating] | None) -> float:
    """Return the share of a picture that is predicted as object, in pixels whose mask is known, as for the true one: an
    object in an ignored region counts for neither."""
    predicted = probability >= THRESHOLD
    if truth is None:
        return float(predicted.mean())
    known = ~np.isnan(truth)
    return float((predicted & known).mean()) if known.any() else math.nan


def _table(rows: Sequence[dict[str, object]] | Sequence[dict[str, float]]) -> pa.Table:
    """Return rows as a table of fixed columns; NaN and missing values become null, which every reader leaves out."""
    integers = [name for name in ("sample", "mask_pixels", "depth_pixels") if rows and name in rows[0]]
    texts = [name for name in ("stem", "split") if rows and name in rows[0]]
    numbers = ["object_share", "predicted_share", "fitted_delta1", "depth_swapped"] if texts else []
    columns: dict[str, pa.Array] = {}
    for name in integers[:1] + texts + numbers + integers[1:] + ["depth_scale", "depth_shift", *SCORES]:
        if name in integers or name in texts:
            columns[name] = pa.array([row[name] for row in rows], pa.int64() if name in integers else pa.string())
        else:
            values = np.array([row.get(name, math.nan) for row in rows], np.float64)
            columns[name] = pa.array(values, pa.float64(), from_pandas=True)
    return pa.table(columns)


def _flat_ground(height: int, width: int) -> NDArray[np.float32]:
    """Return the prior that recipes use where nothing is known of a photo's depth, float32 [H, W]."""
    return inverse_depth_map(flat_ground_prior(PRIOR_HORIZON * height, height), width, height)
