"""Where a network starts: its encoder, pretrained weights, frozen levels, and the optimizer and rate for that start."""

from typing import Any, Literal, NamedTuple

from qumade.errors import ConfigError
from qumade.models.config import RANDOM_ENCODER, SLIM_ENCODER, ModelName
from qumade.models.encoders import EncoderWeights, MissingWeights, find_weights, require_encoder
from qumade.training.config import TrainConfig
from qumade.training.optimizers import OptimizerName

__all__ = ["Start", "default_optimizer", "default_rate", "find_start"]

LEVELS = 5  # of an encoder; all of them frozen
PRETRAINED_ENCODER = RANDOM_ENCODER | {"tiny": "tf_efficientnet_lite0"}
# Frozen levels and Muon were measured on tiny only; the others train everything, with AdamW.
FROZEN: dict[ModelName, int] = {"tiny": LEVELS, "small": 0, "base": 0}

Trained = Literal["all", "pretrained", "decoders"]
RATES: dict[tuple[ModelName, Trained], dict[OptimizerName, float]] = {
    ("tiny", "all"): {"muon": 2.4e-2, "adamw": 8e-3},
    ("tiny", "decoders"): {"muon": 2.4e-2},
    ("tiny", "pretrained"): {"adamw": 2e-3},
    ("small", "all"): {"adamw": 1e-3},
    ("small", "pretrained"): {"adamw": 1e-3},
    ("base", "all"): {"adamw": 3e-4},
    ("base", "pretrained"): {"adamw": 3e-4},
}
"""Peak learning rates by what is trained: all from random weights, the decoders alone, or a pretrained encoder, too.
The first optimizer is the default."""


class Start(NamedTuple):
    """The fields of the config that were found, the weights that the encoder starts from (None: random), and a line for
    the user."""

    found: dict[str, Any]
    weights: EncoderWeights | None
    note: str


def find_start(config: TrainConfig) -> Start:
    """Find the encoder, its weights and its frozen levels, as far as a config leaves them open.

    Raises QumadeError where required weights are missing, and where settings of a pretrained encoder would do nothing.
    """
    if config.encoder is not None:
        require_encoder(config.encoder)
    weights, note = _weights(config)
    encoder = config.encoder or (RANDOM_ENCODER if weights is None else PRETRAINED_ENCODER)[config.model]
    frozen = config.encoder_frozen
    if frozen is None:
        frozen = 0 if weights is None else FROZEN[config.model]
    if weights is None and frozen:
        raise ConfigError(
            f"Invalid encoder_frozen: got {frozen} for {encoder} from random weights; must be 0 without pretrained ones"
        )
    if config.encoder_lr != 1 and (weights is None or frozen == LEVELS):
        what = "starts from random weights" if weights is None else f"is not trained (encoder_frozen {LEVELS})"
        raise ConfigError(f"Invalid encoder_lr: got {config.encoder_lr:g} for an encoder that {what}; must be 1")
    pretrained = "none" if weights is None else "required"
    return Start({"encoder": encoder, "pretrained": pretrained, "encoder_frozen": frozen}, weights, note)


def default_optimizer(config: TrainConfig) -> OptimizerName:
    """Return the optimizer that measured best for a config whose start was found; AdamW where none was measured."""
    return next(iter(RATES.get((config.model, _trained(config)), ())), "adamw")


def default_rate(config: TrainConfig, optimizer: OptimizerName) -> float:
    """Return the peak rate that measured well. Raises QumadeError where none was measured."""
    trained = _trained(config)
    rate = RATES.get((config.model, trained), {}).get(optimizer)
    if rate is None:
        raise ConfigError(
            f"Invalid lr: got none for {config.model} with {optimizer} and encoder_frozen "
            f"{config.encoder_frozen or 0}; must be a number, or find"
        )
    return rate


def _trained(config: TrainConfig) -> Trained:
    if config.pretrained != "required":
        return "all"
    return "decoders" if config.encoder_frozen == LEVELS else "pretrained"


def _weights(config: TrainConfig) -> tuple[EncoderWeights | None, str]:
    name = config.encoder or PRETRAINED_ENCODER[config.model]
    otherwise = f"Encoder: {config.encoder or RANDOM_ENCODER[config.model]}, from random weights"
    if name == SLIM_ENCODER and config.pretrained == "required":
        raise ConfigError(
            f"Invalid pretrained: got required for {SLIM_ENCODER}, which nobody trained on ImageNet; must be auto or "
            "none"
        )
    if config.pretrained == "none" or name == SLIM_ENCODER:
        return None, otherwise
    try:
        weights = find_weights(name, config.encoder_weights)
    except MissingWeights as error:
        if config.pretrained == "required":
            raise
        return None, f"{otherwise}: found {error.reason}"
    return weights, f"Encoder: {name}, pretrained on ImageNet, from {weights.source} (licence: {weights.licence})"
