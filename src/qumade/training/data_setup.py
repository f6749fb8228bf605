"""From a config to its data: opens the datasets and finds every field that the config leaves open."""

import hashlib
import json
import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from qumade.data.dataset import SampleDataset
from qumade.data.folder import FolderDataset
from qumade.data.loader import Batches, training_batches
from qumade.data.mixture import Ingredient, Mixture
from qumade.data.opening import open_dataset
from qumade.data.photos import PhotoFolder
from qumade.data.shards import ShardDataset
from qumade.data.statistics import STATISTICS
from qumade.data.synthetic import SyntheticDataset
from qumade.depth.words import prior_note
from qumade.errors import ConfigError, RunError
from qumade.generation.describe import describe_assets
from qumade.io.files import read_bytes
from qumade.models.config import NetworkConfig, Task
from qumade.models.encoders import EncoderWeights, encoder_statistics
from qumade.plan.indices import stratified_indices
from qumade.plan.splits import few_samples
from qumade.recipe import place_fields
from qumade.training.config import TrainConfig, left_open
from qumade.training.depth_range import MEASURED_PICTURES, DepthRange, default_depth_loss, kind_of_depth, note_on_units
from qumade.training.fine_tuning import RATE_SHARE, EarlierRun, read_earlier_run
from qumade.training.losses import Objective
from qumade.training.runtime import default_workers, has_bf16_units, new_accelerator
from qumade.training.start import Start, default_optimizer, default_rate, find_start

__all__ = ["Setup", "open_setup", "with_steps"]

STRIDE = 32
AREA = {"tiny": 128 * 128, "small": 224 * 224, "base": 224 * 224}  # pixels
MICRO_BATCH = 16  # samples that a CPU computes together
LEAST_SPREAD = 1e-3
VALIDATIONS = 20  # in a training whose budget is in steps or minutes
MAX_STATISTICS_BYTES = 1 << 24


@dataclass(frozen=True, eq=False)
class Setup:
    """An open config: its data, and where it is computed.

    `config` is complete but for steps and lr, where the clock or the learning-rate finder decides them. `validation`
    holds positions in the dataset `main`. `fingerprint` identifies the data: a run resumes on the same data only.
    `notes` are lines for the user. `workers` processes read training batches ahead. `encoder_weights` are where the
    encoder starts, None for random weights; `earlier` is the run whose weights all start from, None for none.
    """

    config: TrainConfig
    mixture: Mixture
    main: SampleDataset
    validation: NDArray[np.int64]
    fingerprint: str
    notes: tuple[str, ...]
    accelerator: Accelerator
    workers: int
    encoder_weights: EncoderWeights | None = None
    earlier: EarlierRun | None = None

    def batches(self, start: int, stop: int) -> Batches:
        """Return the training batches `start` to `stop - 1`, this process's share of each."""
        config, accelerator = self.config, self.accelerator
        return training_batches(
            self.mixture,
            size=config.size or (0, 0),
            batch_size=config.batch_size,
            seed=config.seed,
            start=start,
            stop=stop,
            augmentation=config.augmentation,
            workers=self.workers,
            device=accelerator.device,
            rank=accelerator.process_index,
            world_size=accelerator.num_processes,
        )

    def network_config(self) -> NetworkConfig:
        """Return the config of the network to train."""
        names = ("model", "encoder", "mean", "std", "inverse_depth_limits", "size")
        fields = {name: getattr(self.config, name) for name in names}
        labels: dict[Task, bool] = {"mask": self.mixture.has_masks, "depth": self.mixture.has_depth}
        trained_tasks = tuple(task for task, there in labels.items() if there)
        return NetworkConfig(
            **fields,
            depth_kind=kind_of_depth(self.mixture, self.config.depth_loss),
            depth_sources=self.mixture.depth_sources,
            trained_tasks=trained_tasks,
            classes=self.mixture.classes,
        )

    def objective(self) -> Objective:
        """Return the loss to minimise."""
        config = self.config
        return Objective(
            config.mask_loss,
            config.depth_loss or "silog_ssi",
            span=config.inverse_depth_limits or (0.0, 1.0),
            weights=(config.mask_weight, 1.0),
            task_weights=config.task_weights,
        )


def open_setup(
    config: TrainConfig,
    accelerator: Accelerator | None = None,
    *,
    workers: int | None = None,
    resumed: bool = False,
) -> Setup:
    """Open the data of a config and find the fields that it leaves open; QumadeError where it cannot be trained on.

    `accelerator` and `workers` are found too where they are None. A `resumed` training takes its weights from a
    checkpoint, so no pretrained ones are looked for.
    """
    accelerator = accelerator or new_accelerator()
    wishes = config.found | left_open(config)
    earlier = None if resumed else read_earlier_run(config)
    kept = {} if earlier is None else {n: value for n, value in earlier.fields.items() if n in wishes}
    config = config.model_copy(update=kept)
    main = open_dataset(config.data, resample_placements=config.resample_placements)
    positions = _stratified(_training_positions(main), config.limit)
    if config.twins and not _has_effects(main):
        raise ConfigError(
            f"Invalid twins: got true for {main.name}; must be false unless data is a recipe with effects"
        )
    ingredients = [Ingredient(main, positions, 1 - config.other_shares, twins=config.twins)]
    for further in config.extra_datasets:
        dataset = open_dataset(further.data, resample_placements=config.resample_placements)
        twins = config.twins and _has_effects(dataset)
        ingredients.append(Ingredient(dataset, _training_positions(dataset), further.share, further.parts, twins))
    if config.size is None:
        height, width = main.read(int(positions[0])).image.shape[:2]
        config = config.model_copy(update={"size": _training_size(width, height, AREA[config.model])})
    notes: list[str] = []
    found: dict[str, Any] = {**kept, "size": config.size}
    if config.unlabelled is not None:
        photos = PhotoFolder(config.unlabelled.photos, config.size or (0, 0))
        ingredients.append(Ingredient(photos, photos.positions(""), config.unlabelled.share))
        notes += [f"Left out of the unlabelled photos: {finding}" for finding in photos.findings]
    mixture = Mixture(ingredients)
    if earlier is not None:
        earlier.require_classes(mixture.classes, main.name)
    validation = _stratified(main.positions("val"), config.val_limit)
    found |= _found_budget(config, mixture.epoch_batches(config.batch_size))
    found["found"] = wishes
    found |= _device_fields(config, accelerator)
    start = Start({}, None, "" if earlier is None else earlier.note)
    if not (resumed or earlier):
        start = find_start(config)
    config, found = config.model_copy(update=start.found), found | start.found
    notes += [start.note] if start.note else []
    if not len(validation):
        notes.append(
            f"{main.name} has no validation samples: training does not stop early, and the best weights are the last"
        )
    if len(positions) < config.batch_size:
        notes.append(
            f"{main.name} has {len(positions)} training samples, fewer than a batch of {config.batch_size}: every "
            "batch repeats some of them"
        )
    if few := few_samples({"val": len(validation)}):
        notes.append(few)
    if config.mean is None:
        found["mean"], found["std"], source = _colours(config, main, positions)
        notes.append(f"Mean and standard deviation of the pictures: {source}")
    depth_range, limits, depth_loss = DepthRange(ingredients), config.inverse_depth_limits, config.depth_loss
    if note := note_on_units(ingredients, depth_loss):
        notes.append(note)
    found["depth_loss"] = depth_loss = depth_loss or default_depth_loss(mixture)
    if limits is None:
        limits, measured = depth_range.found()
        found["inverse_depth_limits"], notes = limits, [*notes, *measured]
    if not resumed:
        notes += depth_range.notes_on(limits, depth_loss)
    found["optimizer"] = optimizer = config.optimizer or default_optimizer(config)
    if config.lr is None:
        found["lr"] = default_rate(config, optimizer) * (1.0 if earlier is None else RATE_SHARE)
    depth_kind = kind_of_depth(mixture, depth_loss)
    if earlier is not None and mixture.has_depth and earlier.network.depth_kind not in (None, depth_kind):
        notes.append(
            f"The depth of {main.name} is {depth_kind}, that of {earlier.folder.root} was "
            f"{earlier.network.depth_kind}: it is learned anew"
        )
    labels = [name for name, there in (("masks", mixture.has_masks), ("depth", mixture.has_depth)) if there]
    if (
        config.inverse_depth_limits is not None
        and mixture.depth_kind in ("metric", "scaled")
        and config.inverse_depth_limits[0] < 0
    ):
        raise ConfigError(
            f"Invalid inverse_depth_limits: got {config.inverse_depth_limits} for {mixture.depth_kind} depth; must "
            "begin at 0 or above"
        )
    if note := prior_note(main.depth_encoding):
        notes.append(f"{main.name}: {note}")
    if mixture.has_masks and not any(_shows_objects(part) for part in ingredients if part.has_masks):
        notes.append(
            f"No mask of {main.name} shows an object, as far as {MEASURED_PICTURES} training samples tell: the network "
            "will learn that there are none"
        )
    if len(labels) == 1:
        notes.append(f"The data has {labels[0]} only: the other output of the network is not trained")
    return Setup(
        config=config.model_copy(update=found),
        mixture=mixture,
        main=main,
        validation=validation,
        fingerprint=_fingerprint(ingredients, validation),
        notes=tuple(notes),
        accelerator=accelerator,
        workers=default_workers(accelerator.device) if workers is None else workers,
        encoder_weights=start.weights,
        earlier=earlier,
    )


def with_steps(config: TrainConfig, steps: int, validations: int = VALIDATIONS) -> TrainConfig:
    """Return the config with a number of steps, and with so many validations where it leaves them open."""
    epoch_steps = config.epoch_steps or math.ceil(steps / validations)
    return config.model_copy(update={"steps": steps, "epoch_steps": epoch_steps})


def _found_budget(config: TrainConfig, a_pass: int) -> dict[str, Any]:
    if config.steps is not None:
        complete = with_steps(config, config.steps)
        return {"epoch_steps": a_pass if config.epoch_steps is None and config.epochs else complete.epoch_steps}
    if config.epochs is not None:
        return {"steps": config.epochs * a_pass, "epoch_steps": config.epoch_steps or a_pass}
    return {}


def _device_fields(config: TrainConfig, accelerator: Accelerator) -> dict[str, Any]:
    """Return the fields that depend on the device: the precision, and how many samples are computed together."""
    found: dict[str, Any] = {}
    if config.precision == "auto":
        found["precision"] = "bf16" if has_bf16_units(accelerator.device) else "fp32"
    if config.micro_batch is None:
        share = config.batch_size // accelerator.num_processes
        alone_on_cpu = accelerator.num_processes == 1 and accelerator.device.type == "cpu"
        found["micro_batch"] = min(MICRO_BATCH, share) if alone_on_cpu else share
    return found


def _training_positions(dataset: SampleDataset) -> NDArray[np.int64]:
    positions = dataset.positions("train")
    if not len(positions):
        positions = dataset.positions("")
    if not len(positions):
        raise RunError(f"Invalid dataset: got no training sample in {dataset.name}; must have split train, or none")
    return positions


def _has_effects(dataset: SampleDataset) -> bool:
    return isinstance(dataset, SyntheticDataset) and dataset.recipe.effects.on


def _stratified(positions: NDArray[np.int64], limit: int | None) -> NDArray[np.int64]:
    return positions if limit is None else positions[stratified_indices(len(positions), limit)]


def _training_size(width: int, height: int, area: int) -> tuple[int, int]:
    """Return width and height in multiples of the stride, with at most about this area."""
    factor = min(1.0, math.sqrt(area / (width * height)))
    sides = [max(STRIDE, round(side * factor / STRIDE) * STRIDE) for side in (width, height)]
    return sides[0], sides[1]


def _colours(config: TrainConfig, dataset: SampleDataset, positions: NDArray[np.int64]) -> tuple[Any, Any, str]:
    if config.pretrained == "required" and config.encoder is not None:
        return *encoder_statistics(config.encoder), "those with which the encoder was pretrained"
    path = dataset.root / STATISTICS if isinstance(dataset, FolderDataset) else None
    if path is not None and path.is_file():
        try:
            images = json.loads(read_bytes(path, MAX_STATISTICS_BYTES))["images"]
            mean, std = (tuple(float(value) for value in images[name]) for name in ("mean", "std"))
            if len(mean) != 3 or len(std) != 3 or not all(0 <= value <= 1 for value in (*mean, *std)):
                raise ValueError
        except (ValueError, TypeError, KeyError, RecursionError):
            raise RunError(
                f"Invalid statistics: cannot read images.mean and .std in {path}; must be what `qumade stats` writes"
            ) from None
        source = f"from {path}"
    else:
        chosen = _stratified(positions, MEASURED_PICTURES)
        # sums of 64-bit integers do not depend on the order
        sums, squares, pixels = np.zeros(3, np.int64), np.zeros(3, np.int64), 0
        for position in chosen.tolist():
            image = dataset.read(position).image.reshape(-1, 3).astype(np.int64)
            sums, squares, pixels = sums + image.sum(0), squares + (image * image).sum(0), pixels + len(image)
        average = sums / pixels
        spread = np.sqrt(np.maximum(squares / pixels - average * average, 0.0))
        mean, std = tuple((average / 255).tolist()), tuple((spread / 255).tolist())
        source = f"measured on {len(chosen)} training samples (`qumade stats` measures all of a dataset)"
    return mean, tuple(max(value, LEAST_SPREAD) for value in std), source


def _shows_objects(part: Ingredient) -> bool:
    masks = (part.dataset.read(position).mask for position in _stratified(part.positions, MEASURED_PICTURES).tolist())
    return any(mask is not None and bool((mask >= 128).any()) for mask in masks)


def _fingerprint(ingredients: list[Ingredient], validation: NDArray[np.int64]) -> str:
    digest = hashlib.sha256(validation.tobytes())
    for part in ingredients:
        dataset, code = part.dataset, part.dataset.depth_encoding
        source = ""
        if isinstance(dataset, SyntheticDataset):
            recipe = dataset.recipe
            # Files count by name and hash: a run resumes after its folders have moved.
            source = recipe.model_dump_json(exclude=place_fields(recipe)) + json.dumps(
                describe_assets(dataset.synthesizer)
            )
        elif isinstance(dataset, PhotoFolder):
            source = " ".join(dataset.sha256)
        elif isinstance(dataset, ShardDataset):
            source = dataset.metadata.model_dump_json() + " ".join(entry.tar_sha256 for entry in dataset.shards)
        elif isinstance(dataset, FolderDataset):
            meta = dataset.metadata
            source = ("" if meta is None else meta.model_dump_json()) + _listing(dataset)
        digest.update(part.positions.tobytes())
        digest.update(f"{len(dataset)} {code and code.model_dump_json()} {source}".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _listing(files: FolderDataset) -> str:
    """Return a hash of the names and sizes of a dataset's pictures: reading them all would take too long."""
    digest = hashlib.sha256()
    for folder, suffixes in files.suffixes.items():
        with os.scandir(files.root / folder) as entries:
            sizes = {entry.name: entry.stat().st_size for entry in entries}
        names = np.strings.add(files.stems, suffixes).tolist()
        digest.update(f"{folder}\n".encode())
        digest.update("".join(f"{name} {sizes.get(name)}\n" for name in names).encode())
    return digest.hexdigest()
