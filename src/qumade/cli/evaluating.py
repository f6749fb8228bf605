"""Verbs that evaluate networks: evaluate, compare."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from qumade.cli.common import Json, finish

__all__: list[str] = []


def evaluate(
    run: Path,
    data_path: str,
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

    Writes scores.parquet (one row per image), worst.png (the 32 worst images) and report.html into a folder.

    Example: `qumade evaluate RUN DATA_PATH --split test --out evaluation`

    Parameters
    ----------
    run
        The folder of a training run, or an .onnx file.
    data_path
        The folder or the URL of a dataset, or a recipe file. Its splits show which images a network has seen only if it
        was trained on the training part of this dataset.
    out
        Folder to write into.
    split
        Only images of this split of the dataset: train, val, test, "seen background", "seen foreground" or mixed; may
        be repeated.
    limit
        Evaluate at most that many images, a stratified selection.
    min_object_share
        Count only images in which the object covers at least this share (0.01: one percent).
    protocol
        legacy_notebook: adds the metrics of the original notebooks, all pixels pooled.
    explain
        Show in the report which parts of an image the network uses (Grad-CAM); not for an .onnx file.
    device
        Device to run on; a GPU if available.
    json
        Print one JSON object as the last line on stdout.
    """
    from qumade.evaluation.class_scores import classes_as_json, format_classes
    from qumade.evaluation.legacy_notebook import format_legacy
    from qumade.evaluation.runs import evaluate as evaluate_run
    from qumade.evaluation.summary import as_json, format_summary
    from qumade.evaluation.targets import as_text
    from qumade.io.pictures import printable

    found = evaluate_run(
        run,
        data_path,
        out,
        splits=split,
        limit=limit,
        min_object_share=min_object_share,
        legacy=protocol == "legacy_notebook",
        explain=explain,
        device=device,
    )
    text = format_summary(found.evaluation, found.groups)
    if found.classes:
        text += f"\n{format_classes(found.classes)}"
    for note in filter(None, (*found.verdict, found.warning, found.trained)):
        text += f"\n{note}"
    if found.legacy is not None:
        text += f"\n\n{format_legacy(found.legacy)}"
    scores = as_json(found.evaluation, found.groups, min_object_share) | classes_as_json(found.classes)
    result = {"run": as_text(str(run.absolute())), **scores, "legacy": found.legacy, "report": str(found.report)}
    result["verdict"] = found.verdict
    finish(json, result, f"{text}\n{printable(found.report)}")


def compare(
    *runs: Path,
    on: Annotated[tuple[str, ...], Parameter(consume_multiple=True)],
    out: Path = Path("comparison"),
    split: tuple[str, ...] = (),
    limit: int | None = None,
    min_object_share: float = 0.0,
    seed: int = 0,
    device: Literal["cpu", "cuda"] | None = None,
    json: Json = False,
) -> None:
    """Compares networks on datasets: all scores, differences with 95 % intervals, the pictures where each one wins, and
    how the pictures differ from those that each network was trained on.

    Writes comparison.html, which needs no other file, into a folder.

    Example: `qumade compare RUN_A RUN_B --on DATA_PATH PHOTOS --out comparison`

    Parameters
    ----------
    runs
        Folders of training runs, or .onnx files; all others are compared with the first.
    on
        Folders or URLs of datasets, or recipe files.
    out
        Folder to write into.
    split
        Only images of this split: train, val, test, "seen background", "seen foreground" or mixed; may be repeated.
    limit
        Evaluate at most that many images of each dataset, a stratified selection.
    min_object_share
        Count only images in which the object covers at least this share (0.01: one percent).
    seed
        Seed of the bootstrap.
    device
        Device to run on; a GPU if available.
    json
        Print one JSON object as the last line on stdout.
    """
    from qumade.evaluation.compare import comparison_as_json, format_comparison
    from qumade.evaluation.gap import format_gaps
    from qumade.evaluation.runs import compare as compare_runs
    from qumade.io.pictures import printable

    found = compare_runs(
        runs, on, out, splits=split, limit=limit, min_object_share=min_object_share, seed=seed, device=device
    )
    result = comparison_as_json(found.runs, found.comparisons)
    lines = [format_comparison(found.runs, found.comparisons)]
    for values, comparison, gaps in zip(result["datasets"], found.comparisons, found.gaps, strict=True):
        values["gaps"] = {one.letter: [asdict(gap) for gap in one.gaps] for one in gaps}
        for one in gaps:
            lines += ["", f"{comparison.dataset} against the training of {one.letter}: {one.about}"]
            lines += [*(format_gaps(one.gaps) if one.gaps else []), one.sentence]
    finish(json, result | {"report": str(found.report)}, "\n".join([*lines, printable(found.report)]))
