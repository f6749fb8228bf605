"""The training configuration: one frozen object; YAML in and out.

What changes a weight is a field here. Where the run lies, how many processes read the data and how many threads compute
is not. Fields that are None are found when the run begins, and the run's own config.yaml then holds what was found.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from qumade.data.augmentation import Augmentation
from qumade.io.config import (
    DatasetLocation,
    RelativePath,
    parse_model,
    plain_values,
    read_yaml,
    shown,
    write_yaml,
    wrong_field,
)

__all__ = [
    "BUDGET", "FOUND_FOR", "ExtraDataset", "TrainConfig", "UnlabelledPhotos", "config_from_dict", "differences",
    "left_open", "load_config", "save_config", "with_changes",
]  # fmt: skip

DEFAULT_EPOCHS = 20
BUDGET = {"epochs", "minutes", "steps"}

_NETWORK = {"model", "start_from"}
_SAMPLES = {"data", "extra_datasets", "unlabelled", "limit"}
FOUND_FOR: dict[str, set[str]] = {
    "size": {"data", *_NETWORK},
    "pretrained": {*_NETWORK, "encoder", "encoder_weights"},
    "encoder": {*_NETWORK, "pretrained", "encoder_weights"},
    "encoder_frozen": {*_NETWORK, "pretrained", "encoder"},
    "mean": {"data", "limit", "start_from", "pretrained", "encoder"},
    "std": {"data", "limit", "start_from", "pretrained", "encoder"},
    "inverse_depth_limits": {*_SAMPLES, "start_from"},
    "depth_loss": {"data", "extra_datasets"},
    "optimizer": {"model", "pretrained", "encoder_frozen"},
    "lr": {
        *_SAMPLES,
        *_NETWORK,
        "pretrained",
        "encoder",
        "encoder_frozen",
        "optimizer",
        "batch_size",
        "size",
        "mask_loss",
        "depth_loss",
    },
    "micro_batch": {"batch_size"},
    "steps": {*_SAMPLES, *BUDGET, "batch_size", "model", "size", "twins"},
    "epoch_steps": {*_SAMPLES, *BUDGET, "batch_size", "twins"},
    "ema_decay": BUDGET,
    "precision": set(),
}
"""Fields that can be left open, each with what it is then found for; those come first that others are found for."""

_SPEED = {
    "start_from", "pretrained", "encoder", "encoder_frozen", "optimizer", "micro_batch", "precision", "mask_loss",
    "depth_loss", "val_limit", "augmentation",
}  # fmt: skip
"""What decides, besides the fields in FOUND_FOR, how many steps and validations fit into the minutes of a training."""


def _by_strides(size: tuple[int, int]) -> tuple[int, int]:
    if size[0] % 32 or size[1] % 32:
        raise ValueError("width and height that are multiples of 32")
    return size


def _ordered(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] >= ends[1]:
        raise ValueError("far and near inverse depth, far below near")
    return ends


def _rate(value: object) -> object:
    if value == "find":
        return value
    try:
        rate = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        rate = math.nan
    if not 0 < rate < math.inf:
        raise ValueError("a number above 0, or find")
    return rate


Side = Annotated[int, Field(ge=32, le=4096)]
Positive = Annotated[float, Field(gt=0.0)]
PositiveShare = Annotated[float, Field(gt=0.0, le=1.0)]
Channel = Annotated[float, Field(ge=0.0, le=1.0)]
Spread = Annotated[float, Field(gt=0.0, le=1.0)]


class ExtraDataset(BaseModel):
    """A further dataset or recipe, its share of every batch, and which of its labels count."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    data: DatasetLocation
    """Folder or URL of a dataset, or a recipe file."""
    share: Annotated[float, Field(gt=0.0, lt=1.0)]
    """Share of every batch; the shares of all extra datasets and of unlabelled photos add up to less than 1."""
    parts: Literal["both", "mask", "depth"] = "both"
    """Labels that are used."""


class UnlabelledPhotos(BaseModel):
    """Photos without labels that a training learns from as well: its averaged network labels them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    photos: RelativePath
    """Folder of photos, such as those that the network is meant for."""
    share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    """Share of every batch."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.9
    """Probability of object or background from which a pixel's label counts."""
    paste: bool = True
    """Paste the object of a labelled sample onto half of the photos."""


class TrainConfig(BaseModel):
    """What a network is trained on, and how. Frozen; equal configs over equal data give equal weights on a CPU."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    data: DatasetLocation
    """Folder of a dataset, or a recipe file, from which samples are drawn when they are needed."""
    extra_datasets: tuple[ExtraDataset, ...] = ()
    """Further datasets and recipes, each with its share of every batch."""
    unlabelled: UnlabelledPhotos | None = None
    """Photos without labels, and their share of every batch."""
    resample_placements: bool = True
    """With a recipe: every epoch draws new placements of the same pairs."""
    twins: bool = False
    """With a recipe that has effects: each sample fills two consecutive places of a batch, with equal labels, the same
    augmentation and different effects."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Largest number of training samples, spread evenly over the training split."""
    val_limit: Annotated[int, Field(ge=1)] = 256
    """Largest number of validation samples, spread evenly over the validation split."""
    augmentation: Augmentation = Augmentation()
    """Augmentation of the training samples."""

    model: Literal["tiny", "small", "base"] = "tiny"
    """Network: tiny for a CPU, small and base for a GPU."""
    start_from: RelativePath | None = None
    """Folder of a finished run whose best weights the network starts from. Its model and encoder are kept, and by
    default its size, mean, std and inverse_depth_limits; the default lr is three tenths of the usual one."""
    encoder: str | None = None
    """Encoder: a convolutional network of timm, such as tf_efficientnet_lite0, or slim_resnet18d. By default
    tf_efficientnet_lite0 for tiny if its weights are found, else slim_resnet18d; resnet34d for small; convnext_tiny for
    base."""
    pretrained: Literal["auto", "required", "none"] = "auto"
    """Weights of the encoder from training on ImageNet. auto: use them if they are found in encoder_weights, an
    installed package or the Hugging Face hub; required: stop if they are not; none: start from random weights."""
    encoder_weights: RelativePath | None = None
    """File of the encoder's pretrained weights under timm's names (.safetensors or .pth), or a folder with one."""
    encoder_lr: PositiveShare = 1.0
    """Learning rate of a pretrained encoder, as a share of lr."""
    encoder_frozen: Annotated[int, Field(ge=0, le=5)] | None = None
    """Number of the finest levels of a pretrained encoder that are not trained: the layers that lead to them keep their
    weights. By default all 5 for tiny, none for the others."""
    size: Annotated[tuple[Side, Side], AfterValidator(_by_strides)] | None = None
    """Width and height that samples are resized to. By default the shape of the samples, with at most the area of
    128x128 for tiny and of 224x224 for the others."""
    mean: tuple[Channel, Channel, Channel] | None = None
    """Mean of R, G, B in [0, 1]. By default from the dataset's statistics.json, else from a sample of the images."""
    std: tuple[Spread, Spread, Spread] | None = None
    """Standard deviation of R, G, B. By default from the same source as mean."""
    inverse_depth_limits: Annotated[tuple[float, float], AfterValidator(_ordered)] | None = None
    """Output range of predicted inverse depth, far and near end. By default the dataset's, else measured."""

    epochs: Annotated[int, Field(ge=1)] | None = None
    """Passes over the training samples; 20 unless minutes or steps are given."""
    minutes: Positive | None = None
    """Instead of epochs: approximate training time. Speed is measured first, then the number of steps is fixed."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Number of batches. By default from epochs or minutes."""
    epoch_steps: Annotated[int, Field(ge=1)] | None = None
    """Batches between two validations. By default one pass if epochs are given, else a twentieth of the steps."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Stop early after this many validations in a row without improvement. By default never."""

    batch_size: Annotated[int, Field(ge=1)] = 32
    """Samples in a batch, over all processes together."""
    micro_batch: Annotated[int, Field(ge=1)] | None = None
    """Samples that are normalised by their own statistics. A CPU computes such parts of a batch in parallel, a GPU one
    after the other. By default 16 on a CPU and the whole batch on a GPU; with several processes always a process's
    share."""
    optimizer: Literal["muon", "adamw"] | None = None
    """Optimizer. By default muon for tiny, unless it trains a pretrained encoder, and adamw otherwise."""
    lr: Annotated[float | Literal["find"], BeforeValidator(_rate)] | None = None
    """Peak of the one-cycle schedule; `find` searches for it. By default what measured well for model and optimizer."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    """Decoupled weight decay: a step takes this share times the learning rate off the weights."""
    l1: Annotated[float, Field(ge=0.0)] = 0.0
    """Factor of the sum of the absolute values of all weights with more than one dimension."""
    clip: Positive | None = 1.0
    """Largest norm of the gradient; none does not clip."""
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    """Decay of the exponential average of the weights in a step. By default from the number of steps."""
    mask_loss: Literal["bce_dice", "ms_ssim_l1"] = "bce_dice"
    """Loss of the mask."""
    depth_loss: Literal["silog_ssi", "silog", "ssi", "ms_ssim_l1"] | None = None
    """Loss of the depth. By default silog_ssi (silog + ssi / 2) for metric and scaled depth; ssi for affine depth, and
    where several datasets have depth and not all is metric."""
    mask_weight: Annotated[float, Field(ge=0.0)] = 2.0
    """Weight of the mask loss; the depth loss has weight 1."""
    task_weights: Literal["fixed", "uncertainty"] = "fixed"
    """uncertainty: the two weights are learned (Kendall et al. 2018)."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 if the GPU or CPU has units for it, else fp32."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of weights, batches and augmentation."""

    found: dict[str, Literal["find", "auto"] | None] = {}
    """In a run's own config.yaml: the fields that were left open, with their value before (none, find or auto)."""

    @model_validator(mode="before")
    @classmethod
    def _some_budget(cls, values: Any) -> Any:
        if isinstance(values, dict) and all(values.get(name) is None for name in ("epochs", "minutes", "steps")):
            return {**values, "epochs": DEFAULT_EPOCHS}
        return values

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if self.epochs is not None and self.minutes is not None:
            raise wrong_field("minutes", "left out where epochs are given")
        if self.encoder_weights is not None and self.pretrained == "none":
            raise wrong_field("encoder_weights", "left out where pretrained is none")
        for name in ("encoder_weights", "pretrained") if self.start_from is not None and not self.found else ():
            if getattr(self, name) not in (None, "auto"):
                raise wrong_field(name, "left out where start_from names a run, which has all weights")
        if (self.mean is None) != (self.std is None):
            raise wrong_field("std" if self.std is None else "mean", "given too: mean and std belong together")
        if self.other_shares >= 1:
            raise wrong_field(
                "extra_datasets",
                "datasets whose shares, with that of unlabelled photos, add up to less than 1: the rest is of data",
            )
        return self

    @property
    def other_shares(self) -> float:
        """The share of every batch that is not of `data`."""
        photos = 0.0 if self.unlabelled is None else self.unlabelled.share
        return sum(further.share for further in self.extra_datasets) + photos


def left_open(config: TrainConfig) -> dict[str, Any]:
    """Return the fields that are found when a run begins, with what they say now: None, find or auto."""
    wishes = {name: getattr(config, name) for name in FOUND_FOR}
    return {name: wish for name, wish in wishes.items() if wish in (None, "find", "auto")}


def with_changes(
    stored: TrainConfig,
    changes: dict[str, Any],
    source: str,
    folder: Path,
    *,
    name_field: Callable[[str], str] = str,
) -> TrainConfig:
    """Return `stored` with other values of some fields. Values that were found for the old ones are left open again.

    `source`, `folder` and `name_field` are for `changes`, see `parse_model`."""
    values = stored.model_dump()
    if changes.keys() & BUDGET:
        values |= dict.fromkeys(BUDGET)
    changed = config_from_dict(values | changes, source, folder, name_field=name_field)
    other = {name for name in TrainConfig.model_fields if getattr(changed, name) != getattr(stored, name)}
    again: dict[str, Any] = {}
    for name, found_for in FOUND_FOR.items():
        if name == "steps" and changed.minutes is not None:
            found_for = found_for | _SPEED
        if name in stored.found and name not in changes and found_for & (other | again.keys()):
            again[name] = stored.found[name]
    kept = {name: wish for name, wish in stored.found.items() if name not in changes and name not in again}
    return config_from_dict(changed.model_dump() | again | {"found": kept}, source, folder)


def differences(given: TrainConfig, stored: TrainConfig) -> list[str]:
    """Return the fields in which a run's stored config is not what `given` asks for; a field that was left to be found
    (None, lr find, precision auto) may hold anything."""
    unlike = []
    for name in TrainConfig.model_fields:
        wish, has = getattr(given, name), getattr(stored, name)
        found = name == "found" or (name in FOUND_FOR and wish in (None, "find", "auto"))
        if wish != has and not found:
            unlike.append(f"{name} {shown(wish)} instead of {shown(has)}")
    return unlike


def config_from_dict(
    values: object, source: str, folder: Path, *, name_field: Callable[[str], str] = str
) -> TrainConfig:
    """Return a config from plain values. For `source`, `folder` and `name_field` see `parse_model`."""
    return parse_model(TrainConfig, values, source, what="config", folder=folder, name_field=name_field)


def load_config(path: Path) -> TrainConfig:
    """Read a config file; QumadeError naming the file and the field."""
    path = path.absolute()
    return config_from_dict(read_yaml(path, "config"), str(path), path.parent)


def save_config(config: TrainConfig, path: Path) -> None:
    """Write a config file that `load_config` reads back unchanged; paths are relative to its folder."""
    path = path.absolute()
    write_yaml(plain_values(config, path.parent), path)
