"""Runs the whole pipeline on the bundled samples: from assets to a trained network, its report and predictions."""

import sys
from pathlib import Path

from qumade.assets.bundled import write_samples
from qumade.data.folder import FolderDataset
from qumade.data.statistics import format_statistics, statistics, write_statistics
from qumade.generation.audit import audit
from qumade.generation.engine import generate
from qumade.io.listing import counted
from qumade.recipe import load_recipe
from qumade.synth.check import check_assets, format_report
from qumade.viz.placements import write_placements
from qumade.viz.sheets import preview_dataset, save_sheet

__all__ = ["run_demo"]

_STEPS = 300  # not minutes: on a slow machine few steps would fit, and show a network that has learned nothing
_PREDICTED = 8


def run_demo(out: Path, workers: int | None = None, *, steps: int = _STEPS) -> None:
    """Writes samples, dataset, a network trained for so many steps, its report and predictions into `out`.

    After an interruption, the same call resumes.
    """
    out = out.absolute()
    samples, dataset, run = out / "samples", out / "dataset", out / "run"
    sheet, placements = _compose(samples, dataset, out, workers)
    report = _train_and_evaluate(samples, dataset, run, out / "report", steps)
    predictions = _predict(samples, run, out / "predictions")
    print("\nLook at")
    for path, content in (
        (sheet, "samples of the dataset: image, mask, depth"),
        (placements, "where the objects stand, and how large"),
        (run / "val_pred.png", "predictions of the network for held-out cars and roads"),
        (report, "its scores on 64 scenes with ground truth, beside a trivial baseline"),
        (predictions, "its masks, depth maps and cut-outs"),
    ):
        print(f"  {path}\n      {content}")


def _compose(samples: Path, dataset_path: Path, out: Path, workers: int | None) -> tuple[Path, Path]:
    """Composes a dataset of the bundled samples; returns the paths of its contact sheet and its plot of placements."""
    _step("1. Write the bundled samples", samples)
    write_samples(samples)
    recipe = load_recipe(samples / "recipe.yaml")
    _step("2. Check them", samples)
    print(format_report(check_assets(recipe)))
    _step("3. Compose a dataset: images, masks and depth", dataset_path)
    summary = generate(recipe, dataset_path, workers=workers)
    print("It is already complete." if summary is None else f"{counted(summary.samples, 'sample', 'samples')}.")
    dataset = FolderDataset(dataset_path)
    _step("4. Measure it", write_statistics(dataset, result := statistics(dataset, workers=workers)))
    print(format_statistics(result))
    sheet, placements = out / "samples.png", out / "placements.png"
    _step("5. Look at it", sheet)
    save_sheet(preview_dataset(dataset, 24), sheet)
    write_placements(dataset, placements)
    _step("6. Audit it: redraw samples and compare", dataset_path)
    audited = audit(dataset_path)
    redrawn = counted(audited.redrawn, "sample", "samples")
    problems = counted(len(audited.problems), "problem", "problems")
    print(*audited.problems, f"{redrawn} redrawn, {problems}.", sep="\n")
    return sheet, placements


def _train_and_evaluate(samples: Path, dataset_path: Path, run: Path, report: Path, steps: int) -> Path:
    """Trains on the dataset and evaluates on the reference scenes; returns the path of the report."""
    from qumade.evaluation.folder import evaluate_into
    from qumade.evaluation.summary import format_summary
    from qumade.prediction.predictor import load_predictor
    from qumade.training.config import TrainConfig
    from qumade.training.loop import train

    _step(f"7. Train a network on it, {counted(steps, 'step', 'steps')}", run)
    train(TrainConfig(data=dataset_path, steps=steps), run)
    _step("8. Evaluate it on scenes with exact ground truth", report)
    scenes = FolderDataset(samples / "reference")
    evaluated = evaluate_into(load_predictor(run), scenes, report)
    print(format_summary(evaluated.evaluation, evaluated.groups))
    for sentence in filter(None, [*evaluated.verdict, evaluated.warning]):
        print(sentence)
    return evaluated.report


def _predict(samples: Path, run: Path, out: Path) -> Path:
    from qumade.prediction.files import find_pictures, predict_files
    from qumade.prediction.predictor import load_predictor

    _step("9. Predict", out)
    pictures = find_pictures([samples / "reference" / "images"])[:: 64 // _PREDICTED]
    result = predict_files(load_predictor(run), pictures, out)
    print(f"{result.predicted} images predicted.")
    return out


def _step(title: str, where: Path) -> None:
    print(f"\n{title}\n   {where}", flush=True)
    sys.stderr.flush()
