"""Checkpoints: one safetensors file per step with JSON in its header, written atomically; nothing is unpickled.

The header also holds a SHA-256 of tensors and JSON. Two checkpoints are kept, so that a training goes on from the one
before where a disk has spoilt the last.
"""

import hashlib
import json
import logging
import re
import struct
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from qumade.errors import RunError
from qumade.io.files import read_bytes, remove_temporary_files, write_bytes

__all__ = [
    "latest_checkpoint", "read_checkpoint", "read_latest", "read_tensors", "tensor_bytes", "write_checkpoint",
]  # fmt: skip

_log = logging.getLogger(__name__)

FORMAT = "qumade-checkpoint/1"
MAX_BYTES = 1 << 36
NAME = re.compile(r"step_(\d{9})\.safetensors")


def write_checkpoint(folder: Path, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> Path:
    """Write the checkpoint of a step, then remove the others but the one before; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{step:09d}.safetensors"
    write_bytes(path, tensor_bytes(tensors, {**state, "format": FORMAT, "step": step}), durable=True)
    remove_temporary_files(folder)
    earlier = [other for other in _checkpoints(folder) if other.name < path.name]
    for other in _checkpoints(folder):  # one of a later step is damaged, or this step would not have been taken again
        if other != path and other not in earlier[:1]:
            other.unlink(missing_ok=True)
    return path


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint of the latest step in a folder, None where there is none."""
    return next(iter(_checkpoints(folder)), None)


def read_latest(folder: Path) -> tuple[Path, dict[str, Tensor], dict[str, Any]] | None:
    """Return the path, the tensors and the state of the latest checkpoint that is whole, None where there is none.

    The log names one that is damaged. Raises RunError where all are.
    """
    damaged: list[RunError] = []
    for path in _checkpoints(folder):
        try:
            tensors, state = read_checkpoint(path)
        except RunError as error:
            damaged.append(error)
            continue
        for each in damaged:
            _log.warning("%s; going on from %s", each, path)
        return path, tensors, state
    if damaged:
        raise damaged[0]
    return None


def _checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, the latest first."""
    names = [entry.name for entry in folder.iterdir() if NAME.fullmatch(entry.name)] if folder.is_dir() else []
    return [folder / name for name in sorted(names, reverse=True)]


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the state of a checkpoint; QumadeError where the file is damaged or no checkpoint."""
    tensors, state = read_tensors(path)
    if state.get("format") != FORMAT or not isinstance(state.get("step"), int):
        raise RunError(f"Invalid checkpoint: got format {state.get('format')!r} in {path}; must be {FORMAT}")
    return tensors, state


def tensor_bytes(tensors: dict[str, Tensor], state: dict[str, Any]) -> bytes:
    """Return the bytes of a safetensors file with tensors and, in its header, a SHA-256 and `state` as JSON."""
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    text = json.dumps(state, allow_nan=False)
    # One entry: safetensors writes several in any order, and equal states must have equal bytes.
    data: bytes = save(contiguous, {"sealed": f"{_digest(contiguous, text)} {text}"})
    return data


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the JSON of a file from `tensor_bytes`; RunError where it is damaged.

    A file of an earlier version, without a SHA-256, is read too.
    """
    path = path.absolute()
    data = read_bytes(path, MAX_BYTES, RunError)
    try:
        tensors: dict[str, Tensor] = load(data)
        length = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        digest, _, text = (
            header["sealed"].partition(" ") if "sealed" in header else (None, "", header.get("state", "{}"))
        )
        state = json.loads(text)
        if digest not in (None, _digest(tensors, text)):
            raise ValueError("its content is not that of its SHA-256")
    except (SafetensorError, struct.error, ValueError, KeyError, TypeError, RecursionError, RuntimeError) as error:
        said = " ".join(str(error).split())[:200]
        raise RunError(f"Invalid weights: got a torn or damaged file {path} ({said}); must be a whole one") from error
    return tensors, state if isinstance(state, dict) else {}


def _digest(tensors: dict[str, Tensor], state: str) -> str:
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
