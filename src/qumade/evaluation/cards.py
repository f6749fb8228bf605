"""What a report says about its dataset and its network: how they were made, and under which licence."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qumade.data.dataset import SampleDataset
from qumade.data.folder import FolderDataset
from qumade.data.metadata import Metadata
from qumade.data.synthetic import SyntheticDataset
from qumade.depth.words import KIND_WORDS, depth_in_words, learned_from
from qumade.errors import ConfigError, RunError
from qumade.evaluation.targets import as_text
from qumade.io.files import read_bytes
from qumade.io.pictures import one_line
from qumade.io.storage import absolute
from qumade.models.config import NetworkConfig
from qumade.recipe import recipe_to_dict
from qumade.training.config import TrainConfig, load_config
from qumade.training.enough import undertrained
from qumade.viz.score_plots import plot_training

__all__ = ["Card", "dataset_card", "further_data", "run_card", "training_note"]

MAX_BYTES = 1 << 24
RECIPE_FIELDS = ("placement", "policy_weights", "objects", "per_pair", "seed")


class Card(NamedTuple):
    """A heading, rows of a title and its text, and plots as SVG with their captions."""

    title: str
    rows: tuple[tuple[str, str], ...]
    plots: tuple[tuple[bytes, str], ...] = ()


def dataset_card(dataset: SampleDataset, path: Path | str | None) -> Card:
    """Return how a dataset was made, its samples, splits, labels and kind of depth. `path`: where it was read from."""
    rows = [("Dataset", dataset.name if path is None else f"{dataset.name} ({absolute(path)})")]
    metadata = getattr(dataset, "metadata", None) if isinstance(dataset, FolderDataset) else None
    if isinstance(dataset, SyntheticDataset):
        catalog = dataset.synthesizer.catalog
        recipe = recipe_to_dict(dataset.recipe, Path.cwd())
        rows += _composed(recipe, len(catalog.backgrounds), len(catalog.foregrounds), "drawn when they are read")
    elif metadata is not None:
        rows += _made(metadata)
    else:
        rows.append(("How it was made", "not stated: there is no dataset.yaml"))
    image = dataset.read(0).image
    fixed = metadata is not None and metadata.size is not None
    size = f"{image.shape[1]}x{image.shape[0]} px" + (
        "" if fixed or isinstance(dataset, SyntheticDataset) else ", the first"
    )
    rows.append(("Samples", f"{len(dataset):,}, {size}"))
    names, counts = np.unique(dataset.splits, return_counts=True)
    splits = [f"{count:,} {name}" for name, count in zip(names.tolist(), counts.tolist(), strict=True) if name]
    rows.append(("Splits", ", ".join(splits) or "none"))
    labels = [("masks", dataset.has_masks), ("depth", dataset.depth_encoding is not None)]
    labels += [(name, bool(getattr(dataset, f"has_{name}", False))) for name in ("ignore", "instances")]
    rows.append(("Labels", ", ".join(name for name, there in labels if there) or "none"))
    if dataset.depth_encoding is not None:
        rows.append(("Depth", depth_in_words(dataset.depth_encoding)))
    return Card("The data", _texts(rows))


def run_card(config: NetworkConfig, path: Path | None) -> Card:
    """Return how a network was trained, as far as its run folder says, with the curves of its training. `path` is the
    folder or an .onnx file."""
    width, height = config.size
    rows = [("Network", f"{config.model}, encoder {config.encoder}, {width}x{height} px")]
    if "depth" in config.trained_tasks:
        rows.append(
            ("Its depth", ", ".join(filter(None, [KIND_WORDS[config.depth_kind], learned_from(config.depth_sources)])))
        )
    if path is None or not path.is_dir():
        rows.append(("Training", "not known: the settings are in the run folder that the network was exported from"))
        return Card("The network", _texts(rows))
    config_of_run = _config(path)
    if config_of_run is not None:
        settings = config_of_run.model_dump()
        rows.append(("Trained on", " and ".join([str(config_of_run.data), *further_data(config_of_run)])))
        names = ("steps", "batch_size", "optimizer", "lr", "precision", "seed")
        rows.append(
            ("Settings", ", ".join(f"{name} {settings[name]}" for name in names if settings.get(name) is not None))
        )
    rows += _history(path)
    results = _results(path)
    if length := _length_of_training(path, results):
        steps, seconds = length
        spent = f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.0f} seconds"
        best = _best_step(path, results)
        text = f"{steps:,} steps in {spent}" + (f", best weights after step {best:,}" if best is not None else "")
        rows.append(("Length", text))
    return Card("The network", _texts(rows), tuple(plot_training(results)) if len(results) > 1 else ())


def training_note(path: Path | None) -> str:
    """Return a warning where the run in a folder took too few steps to be judged; "" where it is not known to."""
    if path is None or not path.is_dir() or (length := _length_of_training(path, _results(path))) is None:
        return ""
    config = _config(path)
    return "" if config is None else undertrained(config, *length)


def _made(metadata: Metadata) -> list[tuple[str, str]]:
    if metadata.recipe:
        backgrounds, foregrounds = (_length(metadata.assets.get(name)) for name in ("backgrounds", "foregrounds"))
        version = f"composed by qumade {metadata.package.get('qumade', '')}".strip()
        return _composed(metadata.recipe, backgrounds, foregrounds, version)
    source = metadata.source.get("dataset")
    made = f"imported: {source}" if source else "not stated in dataset.yaml"
    return [("How it was made", made)]


def _length(found: object) -> int | None:
    return len(found) if isinstance(found, list) else None


def _composed(
    recipe: Mapping[str, Any], backgrounds: int | None, foregrounds: int | None, how: str
) -> list[tuple[str, str]]:
    sides = (
        ""
        if backgrounds is None or foregrounds is None
        else f" of {backgrounds:,} backgrounds and {foregrounds:,} cut-outs"
    )
    fields = [f"{name} {recipe[name]}" for name in RECIPE_FIELDS if recipe.get(name) not in (None, {}, [])]
    return [("How it was made", f"composites{sides}, {how}"), ("Recipe", ", ".join(fields))]


def further_data(config: TrainConfig) -> list[str]:
    """Return what a network was trained on besides `data`: each further dataset and photos without labels, with their
    shares."""
    parts = [f"{one.data} ({100 * one.share:.3g} % of every batch)" for one in config.extra_datasets]
    if photos := config.unlabelled:
        parts.append(f"photos without labels in {photos.photos} ({100 * photos.share:.3g} %)")
    return parts


def _length_of_training(path: Path, results: list[dict[str, float | None]]) -> tuple[int, float] | None:
    """Return the steps and the seconds of a training, None where its folder does not say. An adapted run has no
    results of its own: it says how long the network was trained before."""
    before = _note(path / "weights" / "best.json").get("before_adapting")
    steps, seconds = None, None
    if results:
        steps, seconds = results[-1].get("step"), results[-1].get("seconds")
    elif isinstance(before, dict):
        steps, seconds = before.get("steps"), before.get("seconds")
    if not isinstance(steps, int | float):
        return (0, 0.0) if results else None
    return int(steps), float(seconds) if isinstance(seconds, int | float) else 0.0


def _best_step(path: Path, results: list[dict[str, float | None]]) -> int | None:
    """Return the step of the best weights, None where nothing says it: scores alone do not, since a training without
    validation has none, and of equal ones either may be the best."""
    bests = [row.get("step") for row in results if row.get("best") == 1]
    step = bests[-1] if bests else _note(path / "weights" / "best.json").get("step")
    return int(step) if isinstance(step, int | float) else None


def _history(path: Path) -> list[tuple[str, str]]:
    """Return what the notes of a run folder say; one that is missing or damaged says nothing."""
    rows = []
    encoder = _note(path / "encoder.json")
    weights = encoder.get("pretrained")
    if isinstance(weights, dict):
        text = (
            f"{encoder.get('encoder')} from {weights.get('source')}, licence: {weights.get('licence') or 'not stated'}"
        )
        rows.append(("Pretrained weights", text))
    elif encoder:
        rows.append(("Pretrained weights", "none, the encoder started from random weights"))
    if (start := _note(path / "start.json")).keys() >= {"run", "step"}:
        rows.append(("Fine-tuned from", f"{start.get('run')}, its step {start.get('step')}"))
    if adapted := _note(path / "adapted.json"):
        rows.append(
            (
                "Adapted",
                ", ".join(f"{name} {value}" for name, value in adapted.items() if isinstance(value, str | int | float)),
            )
        )
    starts = _note(path / "environment.json").get("starts")
    if isinstance(starts, list) and starts and isinstance(starts[0], dict):
        first = starts[0]
        machine = f"{first.get('gpu') or first.get('cpu')}, threads: {first.get('threads')}"
        rows.append(("Trained", f"{str(first.get('started'))[:10]} on {first.get('device')} ({machine})"))
        versions = first.get("versions")
        if isinstance(versions, dict):
            rows.append(("Versions", ", ".join(f"{name} {versions.get(name)}" for name in ("qumade", "torch", "timm"))))
    return rows


def _note(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_bytes(path, MAX_BYTES, RunError)) if path.is_file() else {}
    except (RunError, OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _config(path: Path) -> TrainConfig | None:
    try:
        return load_config(path / "config.yaml") if (path / "config.yaml").is_file() else None
    except ConfigError:  # the network was loaded without it
        return None


def _results(path: Path) -> list[dict[str, float | None]]:
    from qumade.training.run_folder import read_results  # needs torch, as a run's network does

    try:
        return read_results(path / "results.csv") if (path / "results.csv").is_file() else []
    except (RunError, OSError, ValueError, AttributeError):  # damaged: the report is possible without
        return []


def _texts(rows: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((title, as_text(one_line(text))) for title, text in rows if text)
