"""An evaluation in one folder: table of scores, sheet of the worst pictures, report."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qumade.data.dataset import SampleDataset
from qumade.depth.words import truth_note
from qumade.errors import ConfigError, DatasetError
from qumade.evaluation.cards import dataset_card, run_card, training_note
from qumade.evaluation.class_scores import ClassGroup, class_groups
from qumade.evaluation.class_section import class_section
from qumade.evaluation.evaluation import Evaluation, evaluate, write_scores
from qumade.evaluation.legacy_notebook import LegacyMetrics, LegacyScores, legacy_section
from qumade.evaluation.panels import best, draw_rows, sheet, typical, worst
from qumade.evaluation.report import Section, write_report
from qumade.evaluation.summary import Group, check_share, selected, summarise
from qumade.evaluation.targets import as_text, choose
from qumade.evaluation.verdict import how_good, weakness
from qumade.extras import needs
from qumade.io.encode import png_bytes
from qumade.io.files import only_one, write_bytes
from qumade.io.storage import absolute, is_url
from qumade.prediction.predictor import Predictor

if TYPE_CHECKING:
    from qumade.models.network import MaskDepthNetwork

__all__ = ["Evaluated", "check_folder", "evaluate_into", "trained_elsewhere"]

WORST = 32
FEW = 4  # typical ones, and best ones


@dataclass(frozen=True)
class Evaluated:
    """An evaluation with its means and the page that shows them.

    `legacy` holds the metrics of the legacy notebook where they were requested, `trained` the warning of
    `trained_elsewhere` where there are splits, `warning` what to know before all scores, such as that the network is
    undertrained, `verdict` the two sentences with which the page begins, `classes` the scores of several classes by
    group.
    """

    evaluation: Evaluation
    groups: list[Group]
    report: Path
    legacy: LegacyScores | None = None
    trained: str = ""
    warning: str = ""
    verdict: tuple[str, ...] = ()
    classes: tuple[ClassGroup, ...] = ()


def evaluate_into(
    predictor: Predictor,
    dataset: SampleDataset,
    folder: Path,
    *,
    splits: Sequence[str] = (),
    limit: int | None = None,
    min_object_share: float = 0.0,
    legacy: bool = False,
    explain: "MaskDepthNetwork | None" = None,
    data_path: Path | str | None = None,
    progress: bool = True,
) -> Evaluated:
    """Evaluate a network on a dataset, and write scores.parquet, worst.png and report.html.

    `splits` and `limit` select samples as in `choose`, `min_object_share` as in `summarise`; `legacy` adds the metrics
    of the legacy notebook. The report explains a few pictures by the gradients of the network `explain`. `data_path` is
    where the dataset was read from. QumadeError, before anything is written, where something does not fit.
    """
    folder = folder.absolute()
    check_share(min_object_share)
    check_folder(folder)
    if explain is not None:
        with needs("explain", "an explanation"):
            import captum.attr  # noqa: F401 - reported before the work is done
        from qumade.evaluation.explained import explained  # needs torch, which evaluating an .onnx file does not
    config = predictor.config
    legacy_metrics = LegacyMetrics(dataset.depth_encoding, config.trained_tasks) if legacy else None
    evaluation = evaluate(
        predictor,
        dataset,
        predicted_kind=config.depth_kind,
        trained_tasks=config.trained_tasks,
        classes=config.classes,
        positions=choose(dataset, splits, limit),
        observe=None if legacy_metrics is None else legacy_metrics.add,
        progress=progress,
    )
    groups = summarise(evaluation, min_object_share)
    rows = draw_rows(evaluation, predictor, dataset, worst(evaluation, WORST, min_object_share))
    classes = class_groups(evaluation, groups, selected(evaluation, min_object_share))
    shown = {
        title: draw_rows(evaluation, predictor, dataset, choice(evaluation, FEW, min_object_share))
        for title, choice in (("Typical pictures", typical), ("The best pictures", best))
    }
    extra: list[Section] = [class_section(classes)] if classes else []
    legacy_scores = None
    if legacy_metrics is not None:
        legacy_scores = legacy_metrics.scores(selected(evaluation, min_object_share))
        extra.append(legacy_section(legacy_scores))
    if explain is not None:
        extra.append(explained(explain, evaluation, dataset))
    name = "network" if predictor.path is None else as_text(predictor.path.name)
    worst_png = png_bytes(sheet(rows, f"{name} on {dataset.name}: the {len(rows)} worst pictures"))
    trained = ""
    if predictor.path is not None and data_path is not None and len(groups) > 1:
        trained = trained_elsewhere(predictor.path, data_path)
    report = folder / "report.html"
    cards = [dataset_card(dataset, data_path), run_card(config, predictor.path)]
    warning = ". ".join(filter(None, [training_note(predictor.path), truth_note(dataset.depth_encoding)]))
    keep = selected(evaluation, min_object_share)
    verdict = how_good(evaluation, groups, keep), weakness(evaluation, keep)
    with only_one(folder, "evaluating"):
        write_scores(evaluation, folder / "scores.parquet")
        write_bytes(folder / "worst.png", worst_png)
        write_report(
            report, name, evaluation, groups, rows, extra, min_object_share, trained,
            shown=shown, cards=cards, warning=warning, verdict=verdict,
        )  # fmt: skip
    return Evaluated(evaluation, groups, report, legacy_scores, trained, warning, verdict, tuple(classes))


def check_folder(folder: Path) -> None:
    """Raise QumadeError where a folder cannot be written into or created. Creates nothing."""
    folder = folder.absolute()
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not there.is_dir():
        raise DatasetError(
            f"Invalid --out: got {folder}, and {there} is no folder; must be one, or where one can be made"
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise DatasetError(f"Invalid --out: got {folder}; must be where you may write, which {there} is not")


def trained_elsewhere(network: Path, data_path: Path | str) -> str:
    """Return a warning where the config.yaml of a run names data that still exists, but not at `data_path`; else "".

    More is not certain: the dataset may be a copy, or generated from the recipe that the network was trained on.
    """
    config_path = network / "config.yaml"
    if not config_path.is_file():
        return ""
    from qumade.training.config import load_config

    try:
        config = load_config(config_path)
    except ConfigError:  # the network was loaded without it
        return ""
    trained = [config.data, *(further.data for further in config.extra_datasets)]
    if not all(is_url(path) or Path(path).exists() for path in trained):
        return ""
    if _resolved(data_path) in map(_resolved, trained):
        return ""
    paths = " and ".join(map(str, trained))
    return as_text(
        f"The network was trained on {paths}, not on {absolute(data_path)}: unless both are the same dataset, "
        "the splits do not show which pictures it has seen."
    )


def _resolved(path: Path | str) -> str:
    return str(path) if is_url(path) else os.path.realpath(path)
