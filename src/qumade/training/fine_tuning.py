"""Starting from the weights of a finished run, instead of from those of a pretrained encoder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from qumade.errors import ConfigError
from qumade.io.files import read_bytes, write_bytes
from qumade.io.pictures import content_hash
from qumade.models.config import NetworkConfig
from qumade.training.config import TrainConfig, load_config
from qumade.training.run_folder import RunFolder, load_network, read_weights_note

__all__ = ["RATE_SHARE", "EarlierRun", "read_earlier_run", "write_start_note"]

RATE_SHARE = 0.3
"""The default learning rate of a fine-tuning, as a share of the default for the same network: it shall improve the
weights and not forget them. A choice, not a measurement."""

MAX_BYTES = 1 << 24


@dataclass(frozen=True, eq=False)
class EarlierRun:
    """The run that a training starts from: its folder, its best weights and their SHA-256, its network's config, and
    `fields`, the fields of a training config that its network determines."""

    folder: RunFolder
    weights: dict[str, Tensor]
    sha256: str
    network: NetworkConfig
    fields: dict[str, Any]

    @property
    def note(self) -> str:
        step = read_weights_note(self.folder.root)["step"]
        return f"Weights: those of {self.folder.root} after its step {step:,}"

    def require_classes(self, classes: Sequence[str], data: str) -> None:
        """Refuse data with other classes than the channels of the network's mask stand for."""
        before = self.network.classes
        if before != tuple(classes):
            raise ConfigError(
                f"Invalid start_from: got {self.folder.root} with {_named(before)}, for {data} with "
                f"{_named(classes)}; must have the same classes in the same order"
            )


def _named(classes: Sequence[str]) -> str:
    return f"classes {', '.join(classes)}" if classes else "one class"


def read_earlier_run(config: TrainConfig) -> EarlierRun | None:
    """Read the run that a config starts from; None if it starts from none. Raises QumadeError for a folder that is no
    run, and where its network has another model or encoder than the config asks for."""
    if config.start_from is None:
        return None
    folder = RunFolder(config.start_from)
    network = load_network(folder.root)
    found = network.config
    for name, wish in (("model", config.model), ("encoder", config.encoder)):
        has = getattr(found, name)
        if wish is not None and wish != has:
            raise ConfigError(f"Invalid {name}: got {wish} for weights of {folder.root}; must be {has}, as there")
    settings = load_config(folder.config) if folder.config.is_file() else None
    pretrained = settings is not None and settings.pretrained == "required"
    fields = {name: getattr(found, name) for name in ("encoder", "size", "mean", "std", "inverse_depth_limits")}
    fields["pretrained"] = "required" if pretrained else "none"
    fields["encoder_frozen"] = settings.encoder_frozen if settings is not None and pretrained else 0
    weights = folder.weights("best")
    return EarlierRun(folder, network.state_dict(), content_hash(weights), found, fields)


def write_start_note(folder: RunFolder, config: TrainConfig, earlier: EarlierRun) -> None:
    """Write start.json: the earlier run, its weights, and each setting that is another one now, as [before, now]. The
    earlier run's encoder.json is copied: its licence holds for these weights too."""
    changed: dict[str, Any] = {}
    if earlier.folder.config.is_file():
        before = load_config(earlier.folder.config).model_dump(mode="json", exclude={"found", "start_from"})
        now = config.model_dump(mode="json", exclude={"found", "start_from"})
        changed = {name: [before[name], now[name]] for name in now if before[name] != now[name]}
    step = read_weights_note(earlier.folder.root)["step"]
    content = {"run": str(earlier.folder.root), "step": step, "weights_sha256": earlier.sha256, "changed": changed}
    write_bytes(folder.start, (json.dumps(content, indent=2) + "\n").encode(), durable=True)
    if earlier.folder.encoder.is_file():
        write_bytes(folder.encoder, read_bytes(earlier.folder.encoder, MAX_BYTES), durable=True)
