"""Helpers of the notebooks: paths, bundled data, and images of batches, results and curves to display."""

import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from qumade.assets.bundled import write_samples
from qumade.data.dataset import SampleDataset
from qumade.data.metadata import read_metadata
from qumade.evaluation.evaluation import evaluate
from qumade.evaluation.panels import draw_rows, sheet
from qumade.evaluation.targets import choose
from qumade.generation.engine import generate
from qumade.plan.splits import SAMPLE_SPLITS
from qumade.recipe import Policy, load_recipe, recipe_from_dict, save_recipe
from qumade.viz.sheets import coloured_depth

if TYPE_CHECKING:
    from qumade.prediction.predictor import Predictor
    from qumade.training.config import TrainConfig
    from qumade.training.data_setup import Setup
    from qumade.training.report import AfterEpoch

__all__ = [
    "bundled_dataset",
    "bundled_recipe",
    "bundled_run",
    "live_curves",
    "of_each_split",
    "project_path",
    "run_for",
    "show_batch",
    "show_pictures",
    "show_results",
]

PER_PAIR = 10  # for the dataset of bundled samples: enough to train on, and drawn in seconds
HELD_OUT = "test", "val"


def project_path(path: Path | str) -> Path:
    """Return an absolute path. A relative path starts at the current folder, or at its parent if the current folder is
    named notebooks, so a notebook finds the same files wherever it is started."""
    here = Path.cwd()
    return (here.parent if here.name == "notebooks" else here) / Path(path).expanduser()


def bundled_recipe(folder: Path) -> Path:
    """Write the bundled samples into folder/samples and return the path of their recipe."""
    write_samples(folder / "samples")
    return folder / "samples" / "recipe.yaml"


def bundled_dataset(folder: Path) -> Path:
    """Return folder/dataset. If it is not complete yet, compose it of the bundled samples."""
    data_path, description = folder / "dataset", folder / "dataset" / "dataset.yaml"
    if not description.is_file() or not read_metadata(description).complete:
        fields = load_recipe(bundled_recipe(folder)).model_dump() | {"per_pair": PER_PAIR}
        recipe = recipe_from_dict(fields, "the bundled recipe", folder)
        generate(recipe, data_path)
    return data_path


def bundled_run(folder: Path, placement: Policy, *, steps: int, size: tuple[int, int]) -> Path:
    """Train briefly on the bundled samples with one placement policy and return the folder of the run: perspective
    places cars on the road at the right size, random places them anywhere. A finished run is reused."""
    from qumade.training.config import TrainConfig
    from qumade.training.loop import train

    fields = load_recipe(bundled_recipe(folder)).model_dump() | {"policy_weights": {placement: 1.0}}
    recipe = folder / f"{placement}.yaml"
    save_recipe(recipe_from_dict(fields, "the bundled recipe", folder), recipe)
    run = folder / "runs" / f"{placement}_{size[0]}x{size[1]}_{steps}_steps"
    return train(TrainConfig(data=recipe, steps=steps, epoch_steps=-(-steps // 4), val_limit=64, size=size), run)


def run_for(config: "TrainConfig", setup: "Setup", runs: Path) -> Path:
    """Return the folder in `runs` for a training with this config on the data of `setup`: the one that has begun it,
    which then resumes, or has finished it; else the next free one of run_1, run_2 and so on."""
    from qumade.training.checkpoint import read_latest
    from qumade.training.config import differences, load_config
    from qumade.training.run_folder import RunFolder

    for number in itertools.count(1):
        folder = RunFolder(runs / f"run_{number}")
        if not folder.config.is_file():
            break
        latest = read_latest(folder.checkpoints)
        data = setup.fingerprint if latest is None else latest[2].get("data")
        if data == setup.fingerprint and not differences(config, load_config(folder.config)):
            break
    return folder.root


def of_each_split(dataset: SampleDataset, count: int) -> NDArray[np.int64]:
    """Return the positions of at most `count` samples of each split, a stratified selection in ascending order. Without
    splits, select from all samples."""
    present = [name for name in SAMPLE_SPLITS if name is not None and (dataset.splits == name).any()]
    chosen = [choose(dataset, [name], count) for name in present] or [choose(dataset, limit=count)]
    return np.sort(np.concatenate(chosen))


def show_batch(training: "TrainConfig | Setup", count: int = 12) -> Image.Image:
    """Return a sheet of the first training batch as the network sees it: augmented images, masks and depth."""
    from qumade.training.config import TrainConfig
    from qumade.training.data_setup import open_setup
    from qumade.viz.batch_sheet import batch_sheet

    setup = open_setup(training) if isinstance(training, TrainConfig) else training
    batches = setup.batches(0, 1)
    try:
        batch = next(iter(batches))
    finally:
        batches.close()
    title = "A training batch, as the network sees it"
    return batch_sheet(batch, setup.network_config(), title, count=count)


def show_results(
    predict: "Predictor", dataset: SampleDataset, count: int = 8, splits: Sequence[str] = HELD_OUT
) -> Image.Image:
    """Return a sheet of samples with ground truth, predictions and scores. The samples come from the first of `splits`
    that the dataset has, or from all samples if it has none of them."""
    chosen = next(([name] for name in splits if (dataset.splits == name).any()), [])
    positions = choose(dataset, chosen, count)
    evaluation = evaluate(
        predict,
        dataset,
        predicted_kind=predict.config.depth_kind,
        trained_tasks=predict.config.trained_tasks,
        positions=positions,
    )
    rows = draw_rows(evaluation, predict, dataset, range(len(positions)))
    title = f"{dataset.name}: {len(rows)} samples" + (f" of split {chosen[0]}" if chosen else "")
    return sheet(rows, title, columns=1)  # notebooks shrink wider sheets until nothing is visible


def show_pictures(pictures: Mapping[str, NDArray[Any]], *, mark: tuple[int, int] | None = None) -> Image.Image:
    """Return images side by side under their titles: uint8 [H, W, 3], grey uint8 or bool [H, W], and float [H, W],
    which is inverse depth and coloured from black (far) to bright (near). A cross marks (column, row)."""
    steepest = max(picture.shape[0] / picture.shape[1] for picture in pictures.values())
    figure = Figure(figsize=(4 * len(pictures), 4 * steepest + 0.3), dpi=100, layout="constrained")
    for axes, (title, picture) in zip(np.atleast_1d(figure.subplots(1, len(pictures))), pictures.items(), strict=True):
        if picture.ndim == 2 and np.issubdtype(picture.dtype, np.floating):
            picture = coloured_depth(picture.astype(np.float32), None)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1 if picture.dtype == bool else 255)
        if mark is not None:
            axes.plot(*mark, "+", color="white", markersize=16, markeredgewidth=2)
        axes.set_title(title)
        axes.set_axis_off()
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image.open(buffer)


def live_curves(run: Path) -> "AfterEpoch":
    """Return an `after_epoch` for `train` that shows the curves below the cell and updates them after every epoch. The
    curves of an existing run are shown at once."""
    from IPython import display as ipython

    from qumade.training.run_folder import RunFolder
    from qumade.viz.curves import draw_curves

    display: Any = ipython  # IPython has no type hints
    curves = RunFolder(run).curves
    before = display.Image(filename=str(curves)) if curves.is_file() else display.Markdown("*curves after an epoch*")
    handle = display.display(before, display_id=True)

    def after_epoch(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
        draw_curves(rows, curves)
        if handle is not None:  # None outside of notebooks
            handle.update(display.Image(filename=str(curves)))

    return after_epoch
