"""The whole way on the bundled samples: from pictures to a network and its report, with pictures to look at."""

import sys
from pathlib import Path

from qumade.assets.bundled import write_samples
from qumade.data.folder import FolderDataset
from qumade.data.statistics import format_statistics, statistics, write_statistics
from qumade.generate.audit import audit
from qumade.generate.engine import generate
from qumade.recipe import load_recipe
from qumade.synth.check import check_assets, format_report
from qumade.viz.placements import write_placements
from qumade.viz.sheets import preview_dataset

__all__ = ["run_demo"]

_MINUTES = 2.5
_PREDICTED = 8


def run_demo(out: Path, workers: int | None = None, *, minutes: float = _MINUTES) -> None:
    """Samples, dataset, a network trained for `minutes`, its report and predictions in `out`; a second run goes on
    from the first."""
    out = out.absolute()
    samples, dataset, run = out / "samples", out / "dataset", out / "run"
    sheet, placements = _compose(samples, dataset, out, workers)
    report = _train_and_judge(samples, dataset, run, out / "report", minutes)
    predictions = _predict(samples, run, out / "predictions")
    print("\nLook at")
    for path, what in (
        (sheet, "samples of the dataset: image, mask, depth"),
        (placements, "where the objects stand, and how large"),
        (run / "val_pred.png", "what the network says of cars and roads it has not seen"),
        (report, "its scores on 64 scenes with ground truth, beside a trivial baseline"),
        (predictions, "its masks, depth maps and cut-outs"),
    ):
        print(f"  {path}\n      {what}")


def _compose(samples: Path, dataset_path: Path, out: Path, workers: int | None) -> tuple[Path, Path]:
    """From the bundled samples to a dataset; returns its contact sheet and the picture of its placements."""
    _step("1. The bundled samples", samples)
    write_samples(samples)
    recipe = load_recipe(samples / "recipe.yaml")
    _step("2. Check them", samples)
    print(format_report(check_assets(recipe)))
    _step("3. Compose a dataset: images, masks and depth", dataset_path)
    summary = generate(recipe, dataset_path, workers=workers)
    print("It was finished already." if summary is None else f"{summary.samples:,} samples.")
    dataset = FolderDataset(dataset_path)
    _step("4. Measure it", write_statistics(dataset, result := statistics(dataset, workers=workers)))
    print(format_statistics(result))
    sheet, placements = out / "samples.png", out / "placements.png"
    _step("5. Look at it", sheet)
    preview_dataset(dataset, 24).save(sheet)
    write_placements(dataset, placements)
    _step("6. Audit it: draw samples again and compare", dataset_path)
    audited = audit(dataset_path)
    print(*audited.problems, f"{audited.redrawn} samples drawn again, {len(audited.problems)} problems.", sep="\n")
    return sheet, placements


def _train_and_judge(samples: Path, dataset_path: Path, run: Path, report: Path, minutes: float) -> Path:
    """Trains on the dataset, judges on the true scenes; returns the report's page."""
    from qumade.evaluate.folder import evaluate_into
    from qumade.evaluate.summary import format_summary
    from qumade.predict.predictor import load_predictor
    from qumade.train.config import TrainConfig
    from qumade.train.loop import train

    _step(f"7. Train a network on it, for {minutes:g} minutes", run)
    train(TrainConfig(data=dataset_path, minutes=minutes), run)
    _step("8. Judge it on true scenes", report)
    scenes = FolderDataset(samples / "reference")
    judged = evaluate_into(load_predictor(run), scenes, report)
    print(format_summary(judged.evaluation, judged.groups))
    return judged.report


def _predict(samples: Path, run: Path, out: Path) -> Path:
    from qumade.predict.files import find_pictures, predict_files
    from qumade.predict.predictor import load_predictor

    _step("9. Predict", out)
    pictures = find_pictures([samples / "reference" / "images"])[:: 64 // _PREDICTED]
    result = predict_files(load_predictor(run), pictures, out)
    print(f"{result.predicted} pictures predicted.")
    return out


def _step(title: str, where: Path) -> None:
    print(f"\n{title}\n   {where}", flush=True)
    sys.stderr.flush()
