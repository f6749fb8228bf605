"""Means over pictures, by split, as they are printed, reported and compared."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qumade.depth.words import KIND_WORDS
from qumade.errors import ConfigError
from qumade.evaluation.evaluation import DEPTH_REGIONS, SCORES, Evaluation
from qumade.io.listing import counted
from qumade.metrics.alignment import Clamp, DepthKind
from qumade.metrics.scores import DEPTH_METRICS, MASK_METRICS
from qumade.plan.splits import SAMPLE_SPLITS, few_samples

__all__ = [
    "BASELINE",
    "HEADLINES",
    "SPLITS_NOTE",
    "SPLIT_WORDS",
    "Group",
    "ScoreName",
    "aligned",
    "as_json",
    "check_share",
    "count_rows",
    "few_pictures",
    "format_number",
    "format_summary",
    "how_evaluated",
    "left_out",
    "score_matrix",
    "score_names",
    "selected",
    "summarise",
    "swapped_depth",
    "told_pictures",
]

HEADLINES = ("mask_iou", "depth_delta1")
"""The columns of the scores that a verdict tells, where they are defined."""

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
    "Splits are those of this dataset: they show which pictures a network has seen only if it was trained on the "
    "training part of this dataset."
)
BASELINE = "trivial baseline, all"  # the head of its column, which is of all pictures
IN_METRES = ("sq_rel", "rmse")  # where depth is; every other score has no unit


class ScoreName(NamedTuple):
    """A column of scores: its name, its section of the table, its title, and which direction is better."""

    column: str
    section: str
    title: str
    higher_is_better: bool


@dataclass(frozen=True)
class Group:
    """Means over the pictures of one split, or of all. `no_object` pictures have neither a true nor a predicted object
    and are left out of the mask's means, as are those whose mask is `unknown` everywhere. In `swapped` pictures near
    and far are. `counts` holds the number of pictures behind each mean, `baselines` the means of the trivial
    baseline."""

    name: str
    pictures: int
    no_object: int
    means: dict[str, float | None]
    counts: dict[str, int]
    baselines: dict[str, float | None]
    unknown: int = 0
    swapped: int = 0


def score_names(evaluation: Evaluation) -> list[ScoreName]:
    """Return the scores for which the dataset has labels, in the order of tables."""
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
    """Return the means of all pictures and of each of their splits, in that order.

    With `min_object_share` only pictures count in which the object covers at least that share. QumadeError where none
    does.
    """
    keep = selected(evaluation, min_object_share)
    splits = np.asarray(evaluation.scores["split"].to_pylist(), np.str_)
    present = [name for name in SAMPLE_SPLITS if name is not None and (splits[keep] == name).any()]
    matrix, baselines = score_matrix(evaluation.scores), score_matrix(evaluation.baselines)
    empty = left_out(evaluation)
    unknown = evaluation.scores["mask_pixels"].to_numpy() == 0
    swapped = evaluation.scores["depth_swapped"].to_numpy() == 1
    groups = []
    for name in ["all", *present]:
        rows = keep if name == "all" else keep & (splits == name)
        groups.append(
            Group(
                name=name,
                pictures=int(rows.sum()),
                no_object=int((rows & empty).sum()),
                means=_means(matrix[rows]),
                counts={
                    column: int(n) for column, n in zip(SCORES, (~np.isnan(matrix[rows])).sum(axis=0), strict=True)
                },
                baselines=_means(baselines[rows]),
                unknown=int((rows & unknown).sum()) if evaluation.has_masks else 0,
                swapped=int((rows & swapped).sum()),
            )
        )
    return groups


def selected(evaluation: Evaluation, min_object_share: float = 0.0) -> NDArray[np.bool_]:
    """Return which pictures have an object that covers at least that share, bool [pictures]; all where it is 0."""
    check_share(min_object_share)
    if min_object_share == 0:
        return np.ones(evaluation.scores.num_rows, bool)
    shares = evaluation.scores["object_share"].to_numpy()
    keep: NDArray[np.bool_] = shares >= min_object_share
    if not keep.any():
        largest = f"{np.nanmax(shares, initial=0):.3g}, the largest of the {len(keep)} pictures of {evaluation.dataset}"
        raise ConfigError(f"Invalid least share of an object: got {min_object_share}; must be at most {largest}")
    return keep


def check_share(min_object_share: float) -> None:
    """Refuse a least share of an object that is not from 0 to 1."""
    if not 0 <= min_object_share <= 1:
        raise ConfigError(f"Invalid least share of an object: got {min_object_share}; must be from 0 to 1")


def score_matrix(table: pa.Table) -> NDArray[np.float64]:
    """Return the SCORES of a table of pictures, float64 [pictures, scores], NaN where undefined."""
    return np.stack([table[column].to_numpy().astype(np.float64) for column in SCORES], axis=1)


def left_out(evaluation: Evaluation) -> NDArray[np.bool_]:
    """Return which pictures have a labelled mask, but neither a true nor a predicted object: bool [pictures]."""
    labelled = evaluation.scores["mask_pixels"].to_numpy() > 0
    empty: NDArray[np.bool_] = labelled & np.isnan(evaluation.scores["mask_iou"].to_numpy())
    return empty


def how_evaluated(evaluation: Evaluation, networks: int = 1) -> str:
    """Return how depth was evaluated: kinds, alignment and clamp, without which its scores have no meaning. Also state
    which task was not evaluated, because the network, or one of the `networks` compared, was not trained on it."""
    who = "the network" if networks == 1 else "one of the networks"
    if "mask" not in evaluation.trained_tasks:
        return f"Masks are not evaluated: {who} was trained on depth only. {_depth_evaluated(evaluation)}"
    if "depth" not in evaluation.trained_tasks:
        return f"Depth is not evaluated: {who} was trained on masks only."
    return _depth_evaluated(evaluation)


def _depth_evaluated(evaluation: Evaluation) -> str:
    if evaluation.clamp is None or evaluation.alignment is None:
        return "The dataset has no depth."
    means = {
        "none": "none, as predicted",
        "scale": "the scale of each picture (ratio of medians of inverse depth)",
        "scale and shift": "the scale, at least 0, and shift of each picture (least squares in inverse depth)",
    }
    text = (
        f"True depth is {KIND_WORDS[evaluation.truth_kind]}, predicted depth {KIND_WORDS[evaluation.predicted_kind]}. "
    )
    text += f"Alignment: {means[evaluation.alignment]}. "
    return text + f"Clamp: depth {_ends(evaluation.clamp, evaluation.truth_kind)}."


def as_json(evaluation: Evaluation, groups: list[Group], min_object_share: float = 0.0) -> dict[str, Any]:
    """Return a summary for programs; undefined numbers are None."""
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
                "mask_unknown": group.unknown,
                "depth_swapped": group.swapped,
                "means": {column: group.means[column] for column in columns},
                "counts": {column: group.counts[column] for column in columns},
                "trivial_baseline": {column: group.baselines[column] for column in columns},
            }
            for group in groups
        },
    }


def format_summary(evaluation: Evaluation, groups: list[Group]) -> str:
    """Return the means as a table of text: one row per score, one column per split, and last the trivial baseline."""
    heads = ["", *(group.name for group in groups), BASELINE]
    lines = [heads, ["pictures", *(f"{group.pictures:,}" for group in groups), ""]]
    lines += [[title, *(f"{count:,}" for count in counts), ""] for title, counts in count_rows(evaluation, groups)]
    section = ""
    for name in score_names(evaluation):
        if name.section != section:
            section = name.section
            lines.append([section, *("" for _ in heads[1:])])
        values = [*(group.means[name.column] for group in groups), groups[0].baselines[name.column]]
        lines.append([f"  {name.title}", *(format_number(value) for value in values)])
    notes = [how_evaluated(evaluation), SPLITS_NOTE if len(groups) > 1 else "", few_pictures(groups)]
    return "\n".join([*aligned(lines), *filter(None, notes)])


def few_pictures(groups: Sequence[Group]) -> str:
    """Return a warning that names the splits in which few pictures have a score; "" if there are none."""
    return few_samples(
        {group.name: told_pictures(group) for group in groups if len(groups) == 1 or group.name != "all"}
    )


def told_pictures(group: Group) -> int:
    """Return the number of pictures behind the headline scores of a group, the smallest one; 0 without a score."""
    return min((group.counts[column] for column in HEADLINES if group.counts[column]), default=0)


def swapped_depth(group: Group) -> str:
    """Return a sentence where depth is inside out in pictures of a group, "" where it is in none."""
    if not group.swapped:
        return ""
    pictures = counted(group.counts["depth_delta1"], "picture", "pictures")
    return f"In {group.swapped:,} of {pictures} near and far are swapped."


def count_rows(evaluation: Evaluation, groups: Sequence[Group]) -> list[tuple[str, list[int]]]:
    """Return what tables say of the pictures of each group, as a title and their numbers: which ones are left out of
    the mask's means, and in which near and far are swapped."""
    rows = [("no object, left out", [group.no_object for group in groups])] if evaluation.has_masks else []
    if groups[0].unknown:
        rows.append(("mask unknown, left out", [group.unknown for group in groups]))
    if groups[0].swapped:
        rows.append(("near and far swapped", [group.swapped for group in groups]))
    return rows


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table of text, two spaces between columns as wide as their longest entries: the first
    column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return [line.rstrip() for line in lines]


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
    return f"from 1 to {far / near:.3g} times that of the nearest level"


def _means(matrix: NDArray[np.float64]) -> dict[str, float | None]:
    means: dict[str, float | None] = {}
    for column, values in zip(SCORES, matrix.T, strict=True):
        known = values[~np.isnan(values)]
        means[column] = float(known.mean()) if known.size else None
    return means
