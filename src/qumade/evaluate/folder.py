"""A network judged on a dataset, with everything that a person looks at, in one folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qumade.data.files import write_bytes
from qumade.evaluate.evaluation import Evaluation, evaluate, write_scores
from qumade.evaluate.pictures import draw_rows, png, sheet, worst
from qumade.evaluate.report import Section, write_report
from qumade.evaluate.samples import Samples, as_text, choose
from qumade.evaluate.summary import Group, summarise
from qumade.predict import Predictor

if TYPE_CHECKING:
    from qumade.models.network import MaskDepthNetwork

__all__ = ["Judged", "evaluate_into"]

WORST = 32


@dataclass(frozen=True)
class Judged:
    """What was found, and the page that shows it."""

    evaluation: Evaluation
    groups: list[Group]
    report: Path


def evaluate_into(
    predict: Predictor,
    network: Path,
    dataset: Samples,
    folder: Path,
    *,
    splits: Sequence[str] = (),
    limit: int | None = None,
    min_object_share: float = 0.0,
    original: bool = False,
    explain: "MaskDepthNetwork | None" = None,
    progress: bool = True,
) -> Judged:
    """Judge `predict`, which was read from `network`, and write scores.parquet, worst.png and report.html.

    `splits`, `limit`: which samples, spread evenly (see `choose`); `min_object_share` as in `summarise`; `original` as
    in `evaluate`. The report explains a few pictures by the gradients of the network `explain`.
    """
    evaluation = evaluate(
        predict,
        dataset,
        predicted_kind=predict.config.depth_kind,
        learnt=predict.config.learnt,
        positions=choose(dataset, splits, limit),
        original=original,
        progress=progress,
    )
    groups = summarise(evaluation, min_object_share)
    rows = draw_rows(evaluation, predict, dataset, worst(evaluation, WORST, min_object_share))
    name = as_text(network.absolute().name)
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    write_scores(evaluation, folder / "scores.parquet")
    title = f"{name} on {dataset.name}: the {len(rows)} worst pictures"
    write_bytes(folder / "worst.png", png(sheet(rows, title)))
    report = folder / "report.html"
    extra: list[Section] = []
    if explain is not None:
        from qumade.evaluate.explained import explained  # needs torch, which judging an .onnx file does not

        extra.append(explained(explain, evaluation, dataset))
    write_report(report, name, evaluation, groups, rows, extra, min_object_share)
    return Judged(evaluation, groups, report)
