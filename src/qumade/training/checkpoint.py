"""Checkpoints: one safetensors file per step with JSON in its header, written atomically; nothing is unpickled."""

import json
import re
import struct
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from qumade.errors import RunError
from qumade.io.files import read_bytes, remove_temporary_files, write_bytes

__all__ = ["latest_checkpoint", "read_checkpoint", "read_tensors", "tensor_bytes", "write_checkpoint"]

FORMAT = "qumade-checkpoint/1"
MAX_BYTES = 1 << 36
NAME = re.compile(r"step_(\d{9})\.safetensors")


def write_checkpoint(folder: Path, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> Path:
    """Write the checkpoint of a step, then remove those of other steps; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{step:09d}.safetensors"
    write_bytes(path, tensor_bytes(tensors, {**state, "format": FORMAT, "step": step}), durable=True)
    remove_temporary_files(folder)
    for other in folder.iterdir():
        if other != path and NAME.fullmatch(other.name):
            other.unlink(missing_ok=True)
    return path


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint of the latest step in a folder, None where there is none."""
    names = [entry.name for entry in folder.iterdir() if NAME.fullmatch(entry.name)] if folder.is_dir() else []
    return folder / max(names) if names else None


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the state of a checkpoint; QumadeError where the file is damaged or no checkpoint."""
    tensors, state = read_tensors(path)
    if state.get("format") != FORMAT or not isinstance(state.get("step"), int):
        raise RunError(f"Invalid checkpoint: got format {state.get('format')!r} in {path}; must be {FORMAT}")
    return tensors, state


def tensor_bytes(tensors: dict[str, Tensor], state: dict[str, Any]) -> bytes:
    """Return the bytes of a safetensors file with tensors and, in its header, `state` as JSON."""
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    data: bytes = save(contiguous, {"state": json.dumps(state, allow_nan=False)})
    return data


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the JSON of a file from `tensor_bytes`; QumadeError where it is damaged."""
    path = path.absolute()
    data = read_bytes(path, MAX_BYTES)
    try:
        tensors: dict[str, Tensor] = load(data)
        length = struct.unpack("<Q", data[:8])[0]
        state = json.loads(json.loads(data[8 : 8 + length]).get("__metadata__", {}).get("state", "{}"))
    except (SafetensorError, struct.error, ValueError, KeyError, RecursionError) as error:
        raise RunError(f"Invalid weights: got a torn or damaged file {path} ({error}); must be a whole one") from error
    return tensors, state if isinstance(state, dict) else {}
