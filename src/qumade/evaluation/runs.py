"""Evaluating and comparing trained runs on datasets, each with its page: the two functions of the public API."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qumade.data.dataset import SampleDataset
from qumade.data.opening import open_dataset
from qumade.errors import QumadeError
from qumade.evaluation.cards import further_data
from qumade.evaluation.compare import Comparison, Run, draw_wins, letter, require_same_classes, unique_names, wins
from qumade.evaluation.compare import compare as compare_on
from qumade.evaluation.folder import Evaluated, check_folder, evaluate_into
from qumade.evaluation.gap import RunGaps, Values, measure, transfer_gaps
from qumade.evaluation.panels import headline_scores
from qumade.evaluation.report import Wins, write_comparison
from qumade.evaluation.targets import choose
from qumade.io.files import only_one
from qumade.io.pictures import one_line
from qumade.plan.indices import stratified_indices
from qumade.prediction.predictor import Predictor, load_predictor
from qumade.training.config import load_config

if TYPE_CHECKING:
    from qumade.models.network import MaskDepthNetwork

__all__ = ["ComparedRuns", "compare", "evaluate"]

_log = logging.getLogger(__name__)

SIDE_BY_SIDE = 8  # pictures where a run wins, of each score


@dataclass(frozen=True)
class ComparedRuns:
    """Runs that were compared on one dataset after another, and the page that shows it. `gaps`: for each dataset, how
    its pictures differ from those that each run was trained on, as far as these can be read."""

    runs: tuple[Run, ...]
    comparisons: tuple[Comparison, ...]
    gaps: tuple[tuple[RunGaps, ...], ...]
    report: Path


def evaluate(
    run: Path | str | Predictor,
    dataset: Path | str | SampleDataset,
    out: Path | str,
    *,
    splits: Sequence[str] = (),
    limit: int | None = None,
    min_object_share: float = 0.0,
    legacy: bool = False,
    explain: bool = False,
    device: str | None = None,
    progress: bool = True,
) -> Evaluated:
    """Evaluate a trained run, or an .onnx file, on a dataset: scores by split, and those of a trivial baseline:
    background everywhere, and flat ground, fitted to each image by scale and shift.

    Writes scores.parquet, worst.png and report.html into the folder `out`. Only samples of `splits` are used (all where
    none is named), at most `limit` of them; means are over pictures of which the object covers at least
    `min_object_share`. `legacy` adds the metrics of the original notebooks, `explain` Grad-CAM of a few pictures, which
    needs a run. Raises QumadeError where something does not fit, before anything is written.
    """
    opened = open_dataset(dataset) if isinstance(dataset, Path | str) else dataset
    network = _network(run) if explain else None
    return evaluate_into(
        _predictor(run, device),
        opened,
        Path(out),
        splits=splits,
        limit=limit,
        min_object_share=min_object_share,
        legacy=legacy,
        explain=network,
        data_path=dataset if isinstance(dataset, Path | str) else None,
        progress=progress,
    )


def compare(
    runs: Sequence[Path | str],
    datasets: Sequence[Path | str],
    out: Path | str,
    *,
    splits: Sequence[str] = (),
    limit: int | None = None,
    min_object_share: float = 0.0,
    seed: int = 0,
    device: str | None = None,
    progress: bool = True,
) -> ComparedRuns:
    """Compare runs, or .onnx files, with the first of them on each dataset: all scores, differences with 95 %
    intervals of the bootstrap with this `seed`, and the pictures where each one wins.

    Writes comparison.html into the folder `out`. Samples are chosen as in `evaluate`. Raises QumadeError where
    something does not fit, before the first prediction.
    """
    out = Path(out).absolute()
    check_folder(out)
    run_paths = [Path(run) for run in runs]
    opened = [open_dataset(path) for path in datasets]
    for dataset, name in zip(opened, unique_names([dataset.name for dataset in opened], datasets), strict=True):
        dataset.name = name
        choose(dataset, splits, limit)  # refused before the others are evaluated
    networks = []
    for path, name in zip(
        run_paths, unique_names([one_line(p.absolute().name) for p in run_paths], run_paths), strict=True
    ):
        predictor = load_predictor(path, device)
        config = predictor.config
        networks.append(Run(name, predictor, config.depth_kind, config.trained_tasks, config.classes))
    require_same_classes(networks)
    comparisons, won = [], []
    for dataset in opened:
        comparison = compare_on(
            networks,
            dataset,
            splits=splits,
            limit=limit,
            min_object_share=min_object_share,
            seed=seed,
            progress=progress,
        )
        comparisons.append(comparison)
        won.append(_wins(comparison, networks, dataset))
    trained_on = [_training_pictures(path) for path in run_paths]
    gaps = tuple(_gaps(trained_on, dataset) for dataset in opened)
    report = out / "comparison.html"
    with only_one(out, "comparing"):
        write_comparison(report, networks, comparisons, won, gaps)
    return ComparedRuns(tuple(networks), tuple(comparisons), gaps, report)


def _training_pictures(run: Path) -> tuple[str, Values | None]:
    """Return what the data that a run was trained on is called, and the measured pictures of its training split, with
    what else it was trained on, which is not measured. Where it cannot be read, as it was moved or is on another
    machine: why, and None."""
    if not run.is_dir():
        return "an .onnx file does not name the data that it was trained on", None
    try:
        config = load_config(run / "config.yaml")
        dataset = open_dataset(config.data)
        positions = dataset.positions("train")
        about = f"trained on {one_line(dataset.name)}"
        if len(positions):
            about += ", whose split train is measured"
        else:
            positions = dataset.positions("")
        if config.limit is not None:
            positions = positions[stratified_indices(len(positions), config.limit)]
        if others := further_data(config):
            about += f"; also trained on {one_line(' and '.join(others))}, not measured"
        return about, measure(dataset, positions=positions)
    except QumadeError as error:
        _log.warning("No gap to the training pictures of %s: %s", one_line(run.name), error)
        return f"the data that it was trained on cannot be read: {error}", None


def _gaps(trained_on: Sequence[tuple[str, Values | None]], dataset: SampleDataset) -> tuple[RunGaps, ...]:
    """Return the gaps between the measured pictures of each run and those of a dataset. A gap is a note: what cannot be
    measured does not stop the comparison."""
    try:
        here = measure(dataset)
    except QumadeError as error:
        _log.warning("No gap to the pictures of %s: %s", one_line(dataset.name), error)
        about = f"pictures of {one_line(dataset.name)} cannot be read: {error}"
        return tuple(RunGaps(letter(number), about) for number in range(len(trained_on)))
    return tuple(
        RunGaps(letter(number), about, () if values is None else transfer_gaps(values, here))
        for number, (about, values) in enumerate(trained_on)
    )


def _predictor(run: Path | str | Predictor, device: str | None) -> Predictor:
    return run if isinstance(run, Predictor) else load_predictor(Path(run), device)


def _network(run: Path | str | Predictor) -> "MaskDepthNetwork":
    from qumade.training.run_folder import load_network  # needs torch, which evaluating an .onnx file does not

    path = run.path if isinstance(run, Predictor) else Path(run)
    if path is None:
        raise ValueError("explain needs a predictor that was read from a run")
    return load_network(path)


def _wins(comparison: Comparison, networks: Sequence[Run], dataset: SampleDataset) -> list[Wins]:
    """For each score and each pair with the first run, the pictures where one and where the other wins."""
    found = []
    for score, (title, _) in enumerate(headline_scores(comparison.evaluations[0])):
        for other in range(1, len(networks)):
            for winner, loser in ((0, other), (other, 0)):
                rows = [row for row, _ in wins(comparison, winner, loser, score, SIDE_BY_SIDE)]
                pictures = draw_wins(comparison, networks, dataset, (0, other), rows)
                heading = f"Where {letter(winner)} beats {letter(loser)} in {title}, largest differences first"
                found.append(Wins(heading, tuple(pictures)))
    return found
