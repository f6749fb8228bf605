"""All that training changes, as tensors by name: network, average, objective, optimiser and random numbers.

`snapshot` and `restore` go through the same names as the checkpoints, so that what one of them forgets, a test finds.
"""

import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from qumade.errors import QumadeError

__all__ = ["Learner", "random_state", "restore", "restore_random_state", "snapshot"]

Tensors = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Learner:
    """What learns. `average` may be None, where only the network itself is of interest."""

    network: nn.Module
    objective: nn.Module
    optimizer: torch.optim.Optimizer
    average: nn.Module | None = None

    @property
    def modules(self) -> dict[str, nn.Module]:
        parts = {"network": self.network, "objective": self.objective}
        return parts if self.average is None else {**parts, "average": self.average}


def snapshot(learner: Learner) -> Tensors:
    """Return copies of all state by name, on the CPU and contiguous: NAME.PARAMETER of each module,
    optimizer.NUMBER.KEY, and random.*."""
    tensors = {
        f"{part}.{name}": value
        for part, module in learner.modules.items()
        for name, value in module.state_dict().items()
    }
    for number, slots in learner.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{key}": torch.as_tensor(value) for key, value in slots.items()}
    copied = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()
    }
    return copied | random_state()


def restore(learner: Learner, tensors: Tensors, source: str = "a snapshot") -> None:
    """Give a learner the state of a snapshot; QumadeError naming `source` where names or shapes are not the learner's.

    Weights are copied into the tensors that are there, which keeps their memory layout and whoever refers to them.
    """
    for part, module in learner.modules.items():
        wanted = module.state_dict()
        given = _under(tensors, part)
        unlike = sorted(
            name for name in wanted.keys() | given.keys()
            if name not in wanted or name not in given or wanted[name].shape != given[name].shape
        )  # fmt: skip
        if unlike:
            raise QumadeError(
                f"Invalid checkpoint: got another {part} in {source} (first: {unlike[0]}); must be of this config's"
            )
        module.load_state_dict(given)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _under(tensors, "optimizer").items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = value.clone()
    groups = learner.optimizer.state_dict()["param_groups"]
    parameters = [parameter for group in learner.optimizer.param_groups for parameter in group["params"]]
    for at, slots in state.items():
        for key, value in slots.items():
            if at >= len(parameters) or (value.ndim and value.shape != parameters[at].shape):
                raise QumadeError(f"Invalid checkpoint: got another optimizer in {source}; must be of this config's")
            if value.ndim:
                # As its parameter lies in memory: fused kernels go through both from the first byte to the last.
                slots[key] = torch.empty_like(parameters[at], requires_grad=False).copy_(value)
    learner.optimizer.load_state_dict({"state": state, "param_groups": groups})
    restore_random_state(tensors)


def random_state() -> Tensors:
    """Return the state of every global random generator: torch (CPU and each GPU), numpy, Python."""
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


def restore_random_state(tensors: Tensors) -> None:
    """Set the global random generators to what `random_state` returned; GPUs that are not there are left out."""
    torch.set_rng_state(tensors["random.torch"])
    *keys, position, has_gauss, gauss = tensors["random.numpy"].tolist()
    np.random.set_state(("MT19937", np.array(keys, np.uint32), int(position), int(has_gauss), gauss))
    version, *inner, has_pending, pending = tensors["random.python"].tolist()
    random.setstate((int(version), tuple(int(number) for number in inner), pending if has_pending else None))
    for name, value in _under(tensors, "random.cuda").items():
        if int(name) < torch.cuda.device_count():
            torch.cuda.set_rng_state(value, int(name))


def _under(tensors: Tensors, prefix: str) -> Tensors:
    return {name[len(prefix) + 1 :]: value for name, value in tensors.items() if name.startswith(f"{prefix}.")}
