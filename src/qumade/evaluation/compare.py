"""Comparison of networks on the same pictures: all scores, and confidence intervals of their differences."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qumade.data.dataset import SampleDataset
from qumade.errors import ConfigError
from qumade.evaluation.class_scores import ClassGroup, class_confusions, class_groups, class_lines, classes_as_json
from qumade.evaluation.evaluation import SCORES, Evaluation, evaluate
from qumade.evaluation.panels import Row, headline_scores, row_of
from qumade.evaluation.summary import (
    Group,
    aligned,
    as_json,
    check_share,
    few_pictures,
    format_number,
    how_evaluated,
    score_matrix,
    score_names,
    selected,
    summarise,
    swapped_depth,
)
from qumade.evaluation.targets import Predict, as_text, choose, predict_each
from qumade.io.storage import absolute
from qumade.metrics.alignment import DepthKind, default_alignment, depth_kind
from qumade.metrics.bootstrap import Interval, class_iou_differences, mean_differences
from qumade.models.config import TASKS, Task

__all__ = [
    "Comparison",
    "Run",
    "compare",
    "comparison_as_json",
    "draw_wins",
    "format_comparison",
    "format_interval",
    "letter",
    "require_same_classes",
    "swapped_runs",
    "unique_names",
    "wins",
]


@dataclass(frozen=True, eq=False)
class Run:
    """A network to compare: its name, its predictor, its kind of depth, its trained tasks, and its classes."""

    name: str
    predict: Predict
    depth_kind: DepthKind = None
    trained_tasks: Sequence[Task] = TASKS
    classes: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Comparison:
    """All runs on one dataset: an evaluation and the means of each, over the same pictures and with the same alignment.

    `keep`, bool [pictures], marks the pictures that count. `differences` holds, for each run but the first, the first
    run's mean minus its mean, by column of scores. `classes` are the scores of several classes of each run,
    `class_differences` those of each run but the first: the IoU of each class, and of their mean as the last.
    """

    evaluations: tuple[Evaluation, ...]
    keep: NDArray[np.bool_]
    groups: tuple[Group, ...]
    differences: tuple[dict[str, Interval], ...]
    min_object_share: float
    classes: tuple[ClassGroup, ...] = ()
    class_differences: tuple[tuple[Interval, ...], ...] = ()

    @property
    def dataset(self) -> str:
        return self.evaluations[0].dataset


def compare(
    runs: Sequence[Run],
    dataset: SampleDataset,
    *,
    splits: Sequence[str] = (),
    limit: int | None = None,
    min_object_share: float = 0.0,
    seed: int = 0,
    progress: bool = False,
) -> Comparison:
    """Evaluate all runs on a dataset. The weakest kind of depth among runs and dataset decides the alignment of all.
    Only tasks that all runs were trained on are compared.

    `splits` and `limit` select samples as in `choose`, `min_object_share` as in `summarise`; `seed` is that of the
    bootstrap.
    """
    if len(runs) < 2:
        raise ConfigError(f"Invalid comparison: got {len(runs)} runs; must be at least 2")
    check_share(min_object_share)
    require_same_classes(runs)
    positions = choose(dataset, splits, limit)
    trained_tasks = [task for task in TASKS if all(task in run.trained_tasks for run in runs)]
    if not trained_tasks:
        raise ConfigError(
            "Invalid comparison: got runs trained on masks only and runs trained on depth only; must share a task"
        )
    encoding = dataset.depth_encoding if "depth" in trained_tasks else None
    kinds = [run.depth_kind for run in runs]
    alignment = None if encoding is None else default_alignment(depth_kind(encoding), *kinds)
    evaluations = tuple(
        evaluate(
            run.predict,
            dataset,
            predicted_kind=run.depth_kind,
            trained_tasks=trained_tasks,
            classes=run.classes,
            positions=positions,
            alignment=alignment,
            progress=progress,
        )
        for run in runs
    )
    keep = selected(evaluations[0], min_object_share)
    groups = tuple(summarise(evaluation, min_object_share)[0] for evaluation in evaluations)
    classes = [
        class_groups(evaluation, [group], keep, runs[0].classes)
        for evaluation, group in zip(evaluations, groups, strict=True)
    ]
    first, *others = (score_matrix(evaluation.scores)[keep] for evaluation in evaluations)
    return Comparison(
        evaluations=evaluations,
        keep=keep,
        min_object_share=min_object_share,
        groups=groups,
        differences=tuple(
            dict(zip(SCORES, mean_differences(first, other, seed=seed), strict=True)) for other in others
        ),
        classes=tuple(found for of_run in classes for found in of_run),
        class_differences=_class_differences(evaluations, keep, runs[0].classes, seed),
    )


def _class_differences(
    evaluations: Sequence[Evaluation], keep: NDArray[np.bool_], classes: Sequence[str], seed: int
) -> tuple[tuple[Interval, ...], ...]:
    of_runs = (class_confusions(evaluation, classes) for evaluation in evaluations)
    confusions = [of_run[keep] for of_run in of_runs if of_run is not None]
    return tuple(tuple(class_iou_differences(confusions[0], other, seed=seed)) for other in confusions[1:])


def require_same_classes(runs: Sequence[Run]) -> None:
    """Refuse networks that tell different classes apart: their masks show different things."""
    for number, run in enumerate(runs[1:], 1):
        if sorted(run.classes) != sorted(runs[0].classes):
            got = " and ".join(
                f"{', '.join(each.classes) or 'one class'} of {letter(place)} ({each.name})"
                for place, each in ((0, runs[0]), (number, run))
            )
            raise ConfigError(f"Invalid comparison: got {got}; must be the same classes")


def wins(comparison: Comparison, winner: int, loser: int, score: int = 0, count: int = 8) -> list[tuple[int, float]]:
    """Return the rows where one run beats another, with the difference, largest first, at most `count`.

    `score` is the index of one of `headline_scores`.
    """
    better, worse = (headline_scores(comparison.evaluations[run])[score][1] for run in (winner, loser))
    lead = np.where(comparison.keep, better - worse, np.nan)
    order = np.argsort(-lead, kind="stable")
    return [(int(row), float(lead[row])) for row in order[:count] if lead[row] > 0]


def draw_wins(
    comparison: Comparison, runs: Sequence[Run], dataset: SampleDataset, pair: tuple[int, int], rows: Sequence[int]
) -> list[Row]:
    """Return the panels of these rows: predictions of two runs side by side, and both scores in the captions."""
    evaluations = [comparison.evaluations[run] for run in pair]
    positions = evaluations[0].scores["sample"].to_numpy()[list(rows)]
    streams = [predict_each(runs[run].predict, dataset, positions) for run in pair]
    drawn = []
    for row, (position, sample, first), (_, _, second) in zip(rows, *streams, strict=True):
        parts = [evaluations[0].scores["stem"][row].as_py() or f"sample {position}"]
        for (title, a), (_, b) in zip(*(headline_scores(evaluation) for evaluation in evaluations), strict=True):
            parts.append(f"{title}: {letter(pair[0])} {a[row]:.3f}, {letter(pair[1])} {b[row]:.3f}")
        predictions = [(f"{letter(pair[0])}'s", first), (f"{letter(pair[1])}'s", second)]
        drawn.append(row_of(evaluations[0], row, sample, predictions, dataset.depth_encoding, " · ".join(parts)))
    return drawn


def letter(run: int) -> str:
    """Return the letter of a run in tables and plots: A, B, ..., Z, then A26, A27."""
    return chr(ord("A") + run) if run < 26 else f"A{run}"


def unique_names(names: Sequence[str], paths: Sequence[Path | str]) -> list[str]:
    """Return the names of networks or datasets; where two are equal, their paths."""
    return [
        as_text(name if list(names).count(name) == 1 else absolute(path))
        for name, path in zip(names, paths, strict=True)
    ]


def format_comparison(runs: Sequence[Run], comparisons: Sequence[Comparison]) -> str:
    """Return means and differences as tables of text, one for each dataset."""
    lines = [f"{letter(number)}  {run.name}" for number, run in enumerate(runs)]
    heads = [letter(number) for number in range(len(runs))] + [f"A - {letter(n)}" for n in range(1, len(runs))]
    for comparison in comparisons:
        first = comparison.evaluations[0]
        lines += [
            "",
            f"{comparison.dataset}: {comparison.groups[0].pictures:,} pictures. {how_evaluated(first, len(runs))}",
            *swapped_runs(comparison),
        ]
        lines += filter(None, [few_pictures(comparison.groups[:1])])
        rows = [["", *heads]]
        for name in score_names(first):
            values = [format_number(group.means[name.column]) for group in comparison.groups]
            values += [format_interval(found[name.column]) for found in comparison.differences]
            rows.append([f"{name.section} {name.title}", *values])
        for number, (title, ious) in enumerate(class_lines(comparison.classes)):
            differences = [format_interval(found[number]) for found in comparison.class_differences]
            rows.append([f"class IoU {title}", *(format_number(iou) for iou in ious), *differences])
        lines += aligned(rows)
    return "\n".join(lines)


def format_interval(interval: Interval) -> str:
    """Return a difference and, where there are enough pictures, its 95 % interval."""
    if np.isnan(interval.value):
        return "-"
    if interval.low is None or interval.high is None:
        return f"{interval.value:+.3g}"
    return f"{interval.value:+.3g} ({interval.low:+.3g} to {interval.high:+.3g})"


def comparison_as_json(runs: Sequence[Run], comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Return all means and differences for programs. Runs are identified by letters; "runs" gives their names."""
    names = {letter(number): run.name for number, run in enumerate(runs)}
    datasets = []
    for comparison in comparisons:
        columns = [name.column for name in score_names(comparison.evaluations[0])]
        summaries = [as_json(e, [g]) for e, g in zip(comparison.evaluations, comparison.groups, strict=True)]
        datasets.append(
            {
                **{key: summaries[0][key] for key in ("dataset", "alignment", "clamp_depth", "truth_kind")},
                "min_object_share": comparison.min_object_share,
                "pictures": comparison.groups[0].pictures,
                "runs": {letter(number): values["groups"]["all"] for number, values in enumerate(summaries)},
                **_classes_json(comparison),
                "differences": [
                    {
                        "first": letter(0),
                        "second": letter(number),
                        "scores": {column: _interval_json(found[column]) for column in columns},
                        **_class_differences_json(comparison, number - 1),
                    }
                    for number, found in enumerate(comparison.differences, 1)
                ],
            }
        )
    return {"runs": names, "datasets": datasets}


def swapped_runs(comparison: Comparison) -> list[str]:
    """Return a sentence for each run that predicts depth inside out in some pictures."""
    told = [(letter(number), swapped_depth(group)) for number, group in enumerate(comparison.groups)]
    return [f"{name}: {sentence}" for name, sentence in told if sentence]


def _classes_json(comparison: Comparison) -> dict[str, Any]:
    found = {letter(number): classes_as_json([group])["classes"] for number, group in enumerate(comparison.classes)}
    return {"classes": found} if found else {}


def _class_differences_json(comparison: Comparison, pair: int) -> dict[str, Any]:
    if not comparison.class_differences:
        return {}
    *each, mean = (_interval_json(found) for found in comparison.class_differences[pair])
    return {"classes": {"iou": dict(zip(comparison.classes[0].classes, each, strict=True)), "mean_iou": mean}}


def _interval_json(interval: Interval) -> dict[str, Any]:
    values = asdict(interval)
    return values | {"value": None if np.isnan(interval.value) else interval.value}
