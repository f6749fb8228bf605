"""Means over pictures, by split: what is printed, reported and compared."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qumade.errors import QumadeError
from qumade.evaluate.alignment import Clamp, DepthKind
from qumade.evaluate.evaluation import DEPTH_REGIONS, SCORES, Evaluation
from qumade.evaluate.legacy_notebook import LEGACY_METRICS, legacy_scores
from qumade.evaluate.metrics import DEPTH_METRICS, MASK_METRICS
from qumade.plan.splits import SAMPLE_SPLITS

__all__ = [
    "KNOW_NOTHING",
    "SPLITS_NOTE",
    "SPLIT_WORDS",
    "Group",
    "ScoreName",
    "aligned",
    "as_json",
    "check_share",
    "format_legacy",
    "format_number",
    "format_summary",
    "how_judged",
    "left_out",
    "legacy_means",
    "score_matrix",
    "score_names",
    "selected",
    "summarise",
]

SPLIT_WORDS = {
    "all": "all pictures",
    "train": "background and object are in the training part of this dataset",
    "seen background": "the background is in the training part, the object is not",
    "seen foreground": "the object is in the training part, the background is not",
    "val": "neither is in the training part; training on this dataset stops on it",
    "test": "neither is in the training part",
    "mixed": "neither is in the training part; one is of val, one of test",
}
SPLITS_NOTE = (
    "Splits are those of this dataset: they tell what was seen in training only of a network that was trained on this "
    "dataset's training part."
)
KNOW_NOTHING = "know-nothing, all"  # the head of its column, which is of all pictures
KIND_WORDS = {
    "metric": "metric",
    "scaled": "scaled (true up to one factor)",
    "affine": "affine (true up to factor and shift)",
    None: "of unknown kind",
}
IN_METRES = ("sq_rel", "rmse")  # where depth is; every other score has no unit


class ScoreName(NamedTuple):
    """A column of scores: its name, the group of rows it stands in, its title, and which way is better."""

    column: str
    section: str
    title: str
    higher_is_better: bool


@dataclass(frozen=True)
class Group:
    """Means over the pictures of one split, or of all. `no_object` pictures have neither a true nor a predicted object
    and are left out of the mask's means; `counts` says how many pictures each mean is of."""

    name: str
    pictures: int
    no_object: int
    means: dict[str, float | None]
    counts: dict[str, int]
    baselines: dict[str, float | None]


def score_names(evaluation: Evaluation) -> list[ScoreName]:
    """Return the scores that the dataset has the labels for, in the order of tables."""
    names = []
    if evaluation.has_masks:
        names += [ScoreName(f"mask_{m.key}", "mask", m.title, m.higher_is_better) for m in MASK_METRICS]
    for region in DEPTH_REGIONS if evaluation.has_depth else ():
        if region != "object_depth" or evaluation.has_masks:
            words = region.replace("_", " ")
            for metric in DEPTH_METRICS:
                unit = " (m)" if metric.key in IN_METRES and evaluation.truth_kind == "metric" else ""
                titles = (words, metric.title + unit)
                names.append(ScoreName(f"{region}_{metric.key}", *titles, metric.higher_is_better))
    return names


def summarise(evaluation: Evaluation, min_object_share: float = 0.0) -> list[Group]:
    """Return the means of all pictures and of each split that they have, in that order.

    With `min_object_share` only pictures count of which the object is at least that share. QumadeError where none is.
    """
    keep = selected(evaluation, min_object_share)
    splits = np.asarray(evaluation.scores["split"].to_pylist(), np.str_)
    present = [name for name in SAMPLE_SPLITS if name is not None and (splits[keep] == name).any()]
    matrix, baselines = score_matrix(evaluation.scores), score_matrix(evaluation.baselines)
    nothing = left_out(evaluation)
    groups = []
    for name in ["all", *present]:
        rows = keep if name == "all" else keep & (splits == name)
        groups.append(
            Group(
                name=name,
                pictures=int(rows.sum()),
                no_object=int((rows & nothing).sum()),
                means=_means(matrix[rows]),
                counts={
                    column: int(n) for column, n in zip(SCORES, (~np.isnan(matrix[rows])).sum(axis=0), strict=True)
                },
                baselines=_means(baselines[rows]),
            )
        )
    return groups


def selected(evaluation: Evaluation, min_object_share: float = 0.0) -> NDArray[np.bool_]:
    """Return which pictures show an object of at least that share of the picture, bool [pictures]; all at 0."""
    check_share(min_object_share)
    if min_object_share == 0:
        return np.ones(evaluation.scores.num_rows, bool)
    shares = evaluation.scores["object_share"].to_numpy()
    keep: NDArray[np.bool_] = shares >= min_object_share
    if not keep.any():
        largest = f"{np.nanmax(shares, initial=0):.3g}, the largest of the {len(keep)} pictures of {evaluation.dataset}"
        raise QumadeError(f"Invalid least share of an object: got {min_object_share}; must be at most {largest}")
    return keep


def check_share(min_object_share: float) -> None:
    """Refuse a least share of an object that is not from 0 to 1."""
    if not 0 <= min_object_share <= 1:
        raise QumadeError(f"Invalid least share of an object: got {min_object_share}; must be from 0 to 1")


def score_matrix(table: pa.Table) -> NDArray[np.float64]:
    """Return the SCORES of a table of pictures, float64 [pictures, scores], NaN where they cannot be told."""
    return np.stack([table[column].to_numpy().astype(np.float64) for column in SCORES], axis=1)


def left_out(evaluation: Evaluation) -> NDArray[np.bool_]:
    """Return which pictures have labels of the mask, but neither a true nor a predicted object: bool [pictures]."""
    labelled = evaluation.scores["mask_pixels"].to_numpy() > 0
    nothing: NDArray[np.bool_] = labelled & np.isnan(evaluation.scores["mask_iou"].to_numpy())
    return nothing


def how_judged(evaluation: Evaluation, networks: int = 1) -> str:
    """Return the sentence without which the depth scores mean nothing: kinds, alignment, clamp; and what is not judged,
    for the network, or one of the `networks` compared, was not trained on it."""
    who = "the network" if networks == 1 else "one of the networks"
    if "mask" not in evaluation.trained_tasks:
        return f"Masks are not evaluated: {who} was trained on depth only. {_depth_judged(evaluation)}"
    if "depth" not in evaluation.trained_tasks:
        return f"Depth is not evaluated: {who} was trained on masks only."
    return _depth_judged(evaluation)


def _depth_judged(evaluation: Evaluation) -> str:
    if evaluation.clamp is None or evaluation.alignment is None:
        return "The dataset has no depth."
    means = {
        "none": "none, as predicted",
        "scale": "the scale of each picture (ratio of medians of inverse depth)",
        "scale and shift": "the scale and shift of each picture (least squares in inverse depth)",
    }
    text = (
        f"True depth is {KIND_WORDS[evaluation.truth_kind]}, predicted depth {KIND_WORDS[evaluation.predicted_kind]}. "
    )
    text += f"Alignment: {means[evaluation.alignment]}. "
    return text + f"Clamp: depth {_ends(evaluation.clamp, evaluation.truth_kind)}."


def as_json(evaluation: Evaluation, groups: list[Group], min_object_share: float = 0.0) -> dict[str, Any]:
    """Return everything that is stated of an evaluation, for a program; numbers that cannot be told are None."""
    columns = [name.column for name in score_names(evaluation)]
    clamp = evaluation.clamp
    return {
        "dataset": evaluation.dataset,
        "alignment": evaluation.alignment,
        "clamp_depth": clamp and [1 / clamp.near, 1 / clamp.far],
        "truth_kind": evaluation.truth_kind,
        "predicted_kind": evaluation.predicted_kind,
        "min_object_share": min_object_share,
        "groups": {
            group.name: {
                "pictures": group.pictures,
                "no_object": group.no_object,
                "means": {column: group.means[column] for column in columns},
                "counts": {column: group.counts[column] for column in columns},
                "know_nothing": {column: group.baselines[column] for column in columns},
            }
            for group in groups
        },
        "legacy": evaluation.legacy
        and {
            name: {key: None if math.isnan(value) else value for key, value in scores.items()}
            for name, scores in legacy_means(evaluation, min_object_share).items()
        },
    }


def format_summary(evaluation: Evaluation, groups: list[Group]) -> str:
    """Return the means as a table of text: a row a score, a column a split, last what knows nothing, over all."""
    heads = ["", *(group.name for group in groups), KNOW_NOTHING]
    lines = [heads, ["pictures", *(f"{group.pictures:,}" for group in groups), ""]]
    if evaluation.has_masks:
        lines.append(["no object, left out", *(f"{group.no_object:,}" for group in groups), ""])
    section = ""
    for name in score_names(evaluation):
        if name.section != section:
            section = name.section
            lines.append([section, *("" for _ in heads[1:])])
        values = [*(group.means[name.column] for group in groups), groups[0].baselines[name.column]]
        lines.append([f"  {name.title}", *(format_number(value) for value in values)])
    notes = [how_judged(evaluation), *([SPLITS_NOTE] if len(groups) > 1 else [])]
    return "\n".join([*aligned(lines), *notes])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table of text, two spaces between columns as wide as their longest entries: the first
    column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return [line.rstrip() for line in lines]


def legacy_means(evaluation: Evaluation, min_object_share: float = 0.0) -> dict[str, dict[str, float]]:
    """Return the numbers as the original reported them, for "mask" and "depth", pooled over the pictures that count
    as in `summarise`; none where the evaluation did not take them."""
    keep = selected(evaluation, min_object_share)
    return {name: legacy_scores(sums[keep].sum(axis=0)) for name, sums in (evaluation.legacy or {}).items()}


def format_legacy(evaluation: Evaluation, min_object_share: float = 0.0) -> str:
    """Return `legacy_means` as a table of text, a line each for mask and depth."""
    lines = [f"{'':8}" + "".join(f"{name:>10}" for name in LEGACY_METRICS)]
    for name, scores in legacy_means(evaluation, min_object_share).items():
        lines.append(f"{name:8}" + "".join(f"{format_number(value):>10}" for value in scores.values()))
    return "\n".join(lines) + "\nBoth maps grey in [0, 1] with 1e-5 added, all pixels pooled, no alignment."


def format_number(value: float | None) -> str:
    """Return a number short enough for a table: three decimals, or three digits where it is large or tiny."""
    if value is None or math.isnan(value):
        return "-"
    if value == 0 or 0.001 <= abs(value) < 100:
        return f"{value:.3f}"
    return f"{value:.3g}"


def _ends(clamp: Clamp, kind: DepthKind) -> str:
    near, far = 1 / clamp.near, 1 / clamp.far
    if kind == "metric":
        return f"from {near:.3g} m to {far:.3g} m"
    return f"from 1 to {far / near:.3g} times that of the nearest code"


def _means(matrix: NDArray[np.float64]) -> dict[str, float | None]:
    means: dict[str, float | None] = {}
    for column, values in zip(SCORES, matrix.T, strict=True):
        known = values[~np.isnan(values)]
        means[column] = float(known.mean()) if known.size else None
    return means
