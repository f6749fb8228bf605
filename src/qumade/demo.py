"""The whole way on the bundled samples, with pictures to look at."""

import sys
from pathlib import Path

from qumade.assets.build import build_catalog
from qumade.assets.bundled import write_samples
from qumade.assets.check import check_assets, format_report
from qumade.data.layout import open_dataset
from qumade.data.placements import write_placements
from qumade.data.preview import preview_dataset
from qumade.data.statistics import format_statistics, statistics, write_statistics
from qumade.generate.audit import audit_dataset
from qumade.generate.engine import generate
from qumade.recipe import load_recipe

__all__ = ["run_demo"]


def run_demo(out: Path, workers: int | None = None) -> None:
    """Samples, check, dataset, statistics, preview and audit in `out`; a second run goes on from the first."""
    samples, dataset_path = out.absolute() / "samples", out.absolute() / "dataset"
    _step("1. The bundled samples", samples)
    write_samples(samples)
    recipe = load_recipe(samples / "recipe.yaml")
    _step("2. Check them", samples)
    report = check_assets(recipe)
    print(format_report(report))
    _step("3. Compose a dataset: images, masks and depth", dataset_path)
    catalog, _ = build_catalog(recipe)
    summary = generate(recipe, catalog, dataset_path, workers=workers)
    print("It was finished already." if summary is None else f"{summary.samples:,} samples.")
    dataset = open_dataset(dataset_path)
    _step("4. Measure it", write_statistics(dataset, result := statistics(dataset, workers=workers)))
    print(format_statistics(result))
    sheet, placements = out.absolute() / "samples.png", out.absolute() / "placements.png"
    _step("5. Look at it", sheet)
    preview_dataset(dataset, 24).save(sheet)
    write_placements(dataset, placements)
    _step("6. Audit it: draw samples again and compare", dataset_path)
    audit = audit_dataset(dataset_path)
    print(*audit.problems, f"{audit.redrawn} samples drawn again, {len(audit.problems)} problems.", sep="\n")
    print(f"\nLook at\n  {sheet}\n  {placements}")


def _step(title: str, where: Path) -> None:
    print(f"\n{title}\n   {where}", flush=True)
    sys.stderr.flush()
