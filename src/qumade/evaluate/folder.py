"""A network judged on a dataset, with everything that a person looks at, in one folder."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qumade.errors import QumadeError
from qumade.evaluate.evaluation import Evaluation, evaluate, write_scores
from qumade.evaluate.panels import draw_rows, png, sheet, worst
from qumade.evaluate.report import Section, write_report
from qumade.evaluate.summary import Group, check_share, summarise
from qumade.evaluate.targets import Samples, as_text, choose
from qumade.extras import needs
from qumade.io.files import write_bytes
from qumade.predict.predictor import Predictor

if TYPE_CHECKING:
    from qumade.models.network import MaskDepthNetwork

__all__ = ["Judged", "check_folder", "evaluate_into", "trained_elsewhere"]

WORST = 32


@dataclass(frozen=True)
class Judged:
    """What was found, the page that shows it, and `trained_elsewhere` where there are splits."""

    evaluation: Evaluation
    groups: list[Group]
    report: Path
    trained: str = ""


def evaluate_into(
    predict: Predictor,
    network: Path,
    dataset: Samples,
    folder: Path,
    *,
    splits: Sequence[str] = (),
    limit: int | None = None,
    min_object_share: float = 0.0,
    legacy: bool = False,
    explain: "MaskDepthNetwork | None" = None,
    data_path: Path | None = None,
    progress: bool = True,
) -> Judged:
    """Judge `predict`, which was read from `network`, and write scores.parquet, worst.png and report.html.

    `splits`, `limit`: which samples, spread evenly (see `choose`); `min_object_share` as in `summarise`; `legacy` as
    in `evaluate`. The report explains a few pictures by the gradients of the network `explain`. `data_path`: where the
    dataset was read from. What is refused is refused before anything is written.
    """
    folder = folder.absolute()
    check_share(min_object_share)
    check_folder(folder)
    if explain is not None:
        with needs("explain", "an explanation"):
            import captum.attr  # noqa: F401 - told before the work is done
        from qumade.evaluate.explained import explained  # needs torch, which judging an .onnx file does not
    evaluation = evaluate(
        predict,
        dataset,
        predicted_kind=predict.config.depth_kind,
        trained_tasks=predict.config.trained_tasks,
        positions=choose(dataset, splits, limit),
        legacy=legacy,
        progress=progress,
    )
    groups = summarise(evaluation, min_object_share)
    rows = draw_rows(evaluation, predict, dataset, worst(evaluation, WORST, min_object_share))
    extra: list[Section] = []
    if explain is not None:
        extra.append(explained(explain, evaluation, dataset))
    name = as_text(network.absolute().name)
    title = f"{name} on {dataset.name}: the {len(rows)} worst pictures"
    worst_png = png(sheet(rows, title))
    trained = "" if data_path is None or len(groups) == 1 else trained_elsewhere(network, data_path)
    folder.mkdir(parents=True, exist_ok=True)
    write_scores(evaluation, folder / "scores.parquet")
    write_bytes(folder / "worst.png", worst_png)
    report = folder / "report.html"
    write_report(report, name, evaluation, groups, rows, extra, min_object_share, trained)
    return Judged(evaluation, groups, report, trained)


def check_folder(folder: Path) -> None:
    """Refuse what is no folder to write into and cannot become one; nothing is made."""
    folder = folder.absolute()
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not there.is_dir():
        raise QumadeError(
            f"Invalid --out: got {folder}, and {there} is no folder; must be one, or where one can be made"
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise QumadeError(f"Invalid --out: got {folder}; must be where you may write, which {there} is not")


def trained_elsewhere(network: Path, data_path: Path) -> str:
    """Return a sentence where the config.yaml of a run names data that is still there, and not at `data_path`; else "".

    No more is certain: a dataset may have been generated from the recipe that was trained on, or copied.
    """
    config_path = network / "config.yaml"
    if not config_path.is_file():
        return ""
    from qumade.train.config import load_config

    try:
        config = load_config(config_path)
    except QumadeError:  # the network was read without it
        return ""
    trained = [config.data, *(further.data for further in config.extra_datasets)]
    if not all(path.exists() for path in trained) or data_path.resolve() in [path.resolve() for path in trained]:
        return ""
    paths = " and ".join(map(str, trained))
    return as_text(
        f"The network was trained on {paths}, not on {data_path.absolute()}: unless both are the same dataset, "
        "the splits do not tell what it has seen."
    )
