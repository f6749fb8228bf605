"""Verbs that evaluate networks: evaluate, compare."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from qumade.cli.common import Json, finish

if TYPE_CHECKING:
    from qumade.data.dataset import SampleDataset
    from qumade.evaluate.compare import Comparison, Run
    from qumade.evaluate.report import Wins

__all__: list[str] = []

SIDE_BY_SIDE = 8  # pictures where a run wins, of each score


def evaluate(
    run: Path,
    data_path: Path,
    /,
    *,
    out: Path = Path("evaluation"),
    split: tuple[str, ...] = (),
    limit: int | None = None,
    min_object_share: float = 0.0,
    protocol: Literal["standard", "legacy_notebook"] = "standard",
    explain: Annotated[bool, Parameter(negative="")] = False,
    device: Literal["cpu", "cuda"] | None = None,
    json: Json = False,
) -> None:
    """Evaluates a trained network on a dataset: scores by split, beside a trivial baseline.

    Writes scores.parquet (one row per picture), worst.png (the 32 worst pictures) and report.html into a folder.

    Example: `qumade evaluate RUN DATA_PATH --split test --out evaluation`

    Parameters
    ----------
    run
        The folder of a training, or an .onnx file.
    data_path
        The folder of a dataset, or a recipe file. Its splits show which pictures a network has seen only if it was
        trained on the training part of this dataset.
    out
        Folder to write into.
    split
        Only pictures of this split of the dataset: train, val, test, "seen background", "seen foreground" or mixed; may
        be repeated.
    limit
        Evaluate at most that many pictures, spread evenly.
    min_object_share
        Count only pictures in which the object covers at least this share (0.01: one percent).
    protocol
        legacy_notebook: adds the metrics of the original notebooks, all pixels pooled.
    explain
        Show in the report which parts of a picture the network uses (Grad-CAM); not for an .onnx file.
    device
        Where to compute; the GPU where there is one.
    json
        One JSON object as the last line on stdout.
    """
    from qumade.data.opening import open_dataset
    from qumade.evaluate.folder import evaluate_into
    from qumade.evaluate.legacy_notebook import format_legacy
    from qumade.evaluate.summary import as_json, format_summary
    from qumade.evaluate.targets import as_text
    from qumade.predict.predictor import load_predictor

    dataset = open_dataset(data_path)
    if explain:
        from qumade.train.run_folder import load_network
    found = evaluate_into(
        load_predictor(run, device),
        dataset,
        out,
        splits=split,
        limit=limit,
        min_object_share=min_object_share,
        legacy=protocol == "legacy_notebook",
        explain=load_network(run) if explain else None,
        data_path=data_path,
    )
    text = format_summary(found.evaluation, found.groups)
    if found.trained:
        text += f"\n{found.trained}"
    if found.legacy is not None:
        text += f"\n\n{format_legacy(found.legacy)}"
    scores = as_json(found.evaluation, found.groups, min_object_share)
    result = {"run": as_text(str(run.absolute())), **scores, "legacy": found.legacy, "report": str(found.report)}
    finish(json, result, f"{text}\n{found.report}")


def compare(
    *runs: Path,
    on: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)],
    out: Path = Path("comparison"),
    split: tuple[str, ...] = (),
    limit: int | None = None,
    min_object_share: float = 0.0,
    seed: int = 0,
    device: Literal["cpu", "cuda"] | None = None,
    json: Json = False,
) -> None:
    """Compares networks on datasets: all scores, differences with 95 % intervals, and the pictures where each one wins.

    Writes comparison.html, which needs no other file, into a folder.

    Example: `qumade compare RUN_A RUN_B --on DATA_PATH PHOTOS --out comparison`

    Parameters
    ----------
    runs
        Folders of trainings, or .onnx files; the others are compared with the first.
    on
        Folders of datasets, or recipe files.
    out
        Folder to write into.
    split
        Only pictures of this split: train, val, test, "seen background", "seen foreground" or mixed; may be repeated.
    limit
        Evaluate at most that many pictures of each dataset, spread evenly.
    min_object_share
        Count only pictures in which the object covers at least this share (0.01: one percent).
    seed
        Of the bootstrap.
    device
        Where to compute; the GPU where there is one.
    json
        One JSON object as the last line on stdout.
    """
    from qumade.data.opening import open_dataset
    from qumade.evaluate.compare import Run, comparison_as_json, format_comparison, unique_names
    from qumade.evaluate.compare import compare as compare_runs
    from qumade.evaluate.folder import check_folder
    from qumade.evaluate.report import write_comparison
    from qumade.evaluate.targets import choose
    from qumade.predict.predictor import load_predictor

    check_folder(out)
    datasets = [open_dataset(path) for path in on]
    for dataset, name in zip(datasets, unique_names([dataset.name for dataset in datasets], on), strict=True):
        dataset.name = name
        choose(dataset, split, limit)  # refused before the others are evaluated
    networks = []
    for path, name in zip(runs, unique_names([path.absolute().name for path in runs], runs), strict=True):
        predictor = load_predictor(path, device)
        networks.append(Run(name, predictor, predictor.config.depth_kind, predictor.config.trained_tasks))
    comparisons, wins = [], []
    for dataset in datasets:
        comparison = compare_runs(
            networks, dataset, splits=split, limit=limit, min_object_share=min_object_share, seed=seed, progress=True
        )
        comparisons.append(comparison)
        wins.append(_wins(comparison, networks, dataset))
    out.absolute().mkdir(parents=True, exist_ok=True)
    report = out.absolute() / "comparison.html"
    write_comparison(report, networks, comparisons, wins)
    result = comparison_as_json(networks, comparisons) | {"report": str(report)}
    finish(json, result, f"{format_comparison(networks, comparisons)}\n{report}")


def _wins(comparison: "Comparison", networks: "list[Run]", dataset: "SampleDataset") -> "list[Wins]":
    """Return, for each score and each pair with the first run, where one and where the other wins."""
    from qumade.evaluate.compare import draw_wins, letter, wins
    from qumade.evaluate.panels import headline_scores
    from qumade.evaluate.report import Wins

    found = []
    for score, (title, _) in enumerate(headline_scores(comparison.evaluations[0])):
        for other in range(1, len(networks)):
            for winner, loser in ((0, other), (other, 0)):
                rows = [row for row, _ in wins(comparison, winner, loser, score, SIDE_BY_SIDE)]
                pictures = draw_wins(comparison, networks, dataset, (0, other), rows)
                heading = f"Where {letter(winner)} beats {letter(loser)} in {title}, largest differences first"
                found.append(Wins(heading, tuple(pictures)))
    return found
