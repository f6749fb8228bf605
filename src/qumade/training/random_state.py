"""The state of the global random generators, as tensors, so that a checkpoint holds it."""

import random

import numpy as np
import torch
from torch import Tensor

__all__ = ["random_state", "restore_random_state"]


def random_state() -> dict[str, Tensor]:
    """Return the state of every global random generator by name: torch (CPU and each GPU), numpy, Python."""
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    version, inner, next_gauss = random.getstate()
    pending = (0.0, 0.0) if next_gauss is None else (1.0, next_gauss)
    # 64-bit floats hold whole numbers of 32 bits exactly
    tensors = {
        "random.torch": torch.get_rng_state(),
        "random.numpy": torch.tensor([*map(int, keys), position, has_gauss, gauss], dtype=torch.float64),
        "random.python": torch.tensor([version, *inner, *pending], dtype=torch.float64),
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        for device in range(torch.cuda.device_count()):
            tensors[f"random.cuda.{device}"] = torch.cuda.get_rng_state(device)
    return tensors


def restore_random_state(tensors: dict[str, Tensor]) -> None:
    """Set the global random generators to what `random_state` returned; the state of a GPU that this machine lacks is
    ignored."""
    torch.set_rng_state(tensors["random.torch"])
    *keys, position, has_gauss, gauss = tensors["random.numpy"].tolist()
    np.random.set_state(("MT19937", np.array(keys, np.uint32), int(position), int(has_gauss), gauss))
    version, *inner, has_pending, pending = tensors["random.python"].tolist()
    random.setstate((int(version), tuple(int(number) for number in inner), pending if has_pending else None))
    for device in range(torch.cuda.device_count()):
        if (state := tensors.get(f"random.cuda.{device}")) is not None:
            torch.cuda.set_rng_state(state, device)
