"""The run folder of a training: its files, and the network that it holds."""

import csv
import io
import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from qumade.errors import RunError
from qumade.io.config import parse_model
from qumade.io.files import read_bytes, write_bytes
from qumade.models.config import NetworkConfig
from qumade.models.encoders import EncoderWeights
from qumade.models.network import MaskDepthNetwork, build_network
from qumade.training.checkpoint import read_tensors, tensor_bytes

__all__ = [
    "RunFolder", "Which", "environment", "load_network", "read_network_config", "read_results",
    "read_weights_note", "write_encoder_note", "write_results", "write_weights",
]  # fmt: skip

Which = Literal["best", "last"]
Row = dict[str, Any]

FORMAT = "qumade-weights/1"
MAX_BYTES = 1 << 24
PACKAGES = ("qumade", "torch", "torchvision", "timm", "accelerate", "safetensors", "numpy", "pillow", "numba")


class RunFolder:
    """Paths of the files in a run folder."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).absolute()
        self.config = self.root / "config.yaml"
        self.results = self.root / "results.csv"
        self.curves = self.root / "curves.png"
        self.learning_rates = self.root / "learning_rate.png"
        self.train_batch = self.root / "train_batch.png"
        self.val_labels = self.root / "val_labels.png"
        self.val_pred = self.root / "val_pred.png"
        self.environment = self.root / "environment.json"
        self.encoder = self.root / "encoder.json"
        self.start = self.root / "start.json"
        self.adapted = self.root / "adapted.json"
        self.checkpoints = self.root / "checkpoint"

    def weights(self, which: Which) -> Path:
        """Return the path of the averaged weights: those with the best validation score, or after the last step."""
        return self.root / "weights" / f"{which}.safetensors"


def write_weights(
    folder: RunFolder, which: Which, network: nn.Module | dict[str, Tensor], config: NetworkConfig, note: Row
) -> None:
    """Write the weights of a network, and next to them WHICH.json with its config and `note` (step, epoch, metrics).
    A file that holds them already is left alone."""
    path = folder.weights(which)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"format": FORMAT, "network": config.model_dump(mode="json"), **note}
    tensors = network.state_dict() if isinstance(network, nn.Module) else network
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    for file, data in ((path, tensor_bytes(tensors, content)), (path.with_suffix(".json"), text.encode())):
        if not file.is_file() or file.read_bytes() != data:
            write_bytes(file, data, durable=True)


def write_encoder_note(folder: RunFolder, encoder: str | None, weights: EncoderWeights | None) -> None:
    """Write encoder.json: the encoder's name, and source, SHA-256 and licence of its pretrained weights, which the
    licence of the trained network depends on; None where they were random."""
    found = None if weights is None else {name: getattr(weights, name) for name in ("source", "sha256", "licence")}
    text = json.dumps({"encoder": encoder, "pretrained": found}, indent=2) + "\n"
    write_bytes(folder.encoder, text.encode(), durable=True)


def read_weights_note(run: Path | str, which: Which = "best") -> Row:
    """Return the content of weights/WHICH.json; QumadeError where the folder is no run or has no weights yet."""
    path = RunFolder(run).weights(which).with_suffix(".json")
    if not path.is_file():
        raise RunError(f"Invalid run: got no file {path}; must be the folder of a training that has finished an epoch")
    try:
        content = json.loads(read_bytes(path, MAX_BYTES))
    except (ValueError, RecursionError) as error:
        raise RunError(f"Invalid weights: {path} is not JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise RunError(f"Invalid weights: got another format in {path}; must be {FORMAT}")
    return content


def read_network_config(run: Path | str, which: Which = "best") -> NetworkConfig:
    """Return the config of a run's network; QumadeError naming what is missing or wrong."""
    path = RunFolder(run).weights(which).with_suffix(".json")
    values = read_weights_note(run, which).get("network")
    return parse_model(NetworkConfig, values, str(path), what="network", name_field="network.{}".format)


def load_network(run: Path | str, which: Which = "best") -> MaskDepthNetwork:
    """Return the trained network of a run in evaluation mode, on the CPU. Nothing is downloaded, nothing unpickled."""
    config = read_network_config(run, which)
    path = RunFolder(run).weights(which)
    network = build_network(config)
    tensors, state = read_tensors(path)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise RunError(
            f"Invalid weights: got those of another network in {path}; must fit this version's {config.model}: train "
            f"a network of an earlier version again, into another folder ({reason})"
        ) from None
    if state and state != read_weights_note(run, which):
        beside = path.with_suffix(".json")
        raise RunError(f"Invalid weights: {beside} does not describe {path}; must be written by one training")
    return network.eval()


def write_results(path: Path, rows: Sequence[Row]) -> None:
    """Write results.csv, one row per epoch; None becomes an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["epoch"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def read_results(path: Path) -> list[dict[str, float | None]]:
    """Return the rows of results.csv as numbers; an empty field is None."""
    rows = csv.DictReader(io.StringIO(read_bytes(path, MAX_BYTES, RunError).decode()))
    return [{name: float(value) if value else None for name, value in row.items()} for row in rows]


def environment(device: torch.device, **more: Any) -> Row:
    """Return the machine, versions and command of a training, with `more` entries."""
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "device": str(device),
        "versions": versions,
        **more,
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
