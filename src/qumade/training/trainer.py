"""The trainer: a network with everything that changes while it trains. It takes steps and knows its state."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.optim import Optimizer

from qumade.data.loader import Batch
from qumade.errors import ConfigError, RunError
from qumade.models.network import MaskDepthNetwork, build_network
from qumade.training.config import TrainConfig
from qumade.training.data_setup import Setup
from qumade.training.ema import ema_copy
from qumade.training.gradient import MicroBatches, WholeBatch, one_thread
from qumade.training.optimizers import new_optimizer
from qumade.training.random_state import random_state, restore_random_state
from qumade.training.self_training import SelfTraining
from qumade.training.start import default_optimizer

__all__ = ["Trainer", "new_trainer"]

Tensors = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Trainer:
    """A network that trains. `average` holds its averaged weights, which are evaluated and shipped.

    `gradient` computes the losses of a batch, leaves their gradient in the parameters and returns them detached.
    `clip` is the largest norm of the gradient, `l1` the weight of the sum of absolute weights.
    """

    network: nn.Module
    average: nn.Module
    objective: nn.Module
    optimizer: Optimizer
    gradient: Callable[[Batch], Tensors]
    clip: float | None = 1.0
    l1: float = 0.0
    self_training: SelfTraining | None = None

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The modules whose state is trained, by the names they have in a checkpoint."""
        modules = {"network": self.network, "objective": self.objective, "average": self.average}
        return modules if self.self_training is None else modules | {"teacher": self.self_training.teacher}

    def step(self, batch: Batch, lr: float, progress: float = 1.0, step: int = 0) -> Tensors:
        """Update the weights, but not their average, at learning rate `lr`, in `step` (0, 1, ...), when the share
        `progress` of the training is done.

        Returns detached scalars: "loss" and its parts before the update, and "gradient", the norm of the gradient
        before clipping.
        """
        self.optimizer.zero_grad(set_to_none=True)
        if self.self_training is not None:
            batch = self.self_training(batch, progress, step)
        losses = self.gradient(batch)
        with one_thread():  # sums of products come out the same whatever the number of threads
            if self.l1:
                for matrix in self.network.parameters():
                    if matrix.grad is not None and matrix.ndim >= 2:
                        matrix.grad.add_(matrix.detach().sign(), alpha=self.l1)
            parameters = self._parameters()
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
            if self.clip is not None:
                torch.nn.utils.clip_grads_with_norm_(parameters, self.clip, norm)
            for group in self.optimizer.param_groups:
                group["lr"] = lr * group["lr_share"]
            self.optimizer.step()
        return losses | {"gradient": norm}

    def state_dict(self) -> Tensors:
        """Return copies of all state by name, on the CPU and contiguous: NAME.PARAMETER of each module,
        optimizer.NUMBER.KEY, and random.* of the global random generators."""
        tensors = {
            f"{part}.{name}": value
            for part, module in self.modules.items()
            for name, value in module.state_dict().items()
        }
        for number, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{key}": torch.as_tensor(value) for key, value in slots.items()}
        copied = {
            name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()
        }
        return copied | random_state()

    def load_state_dict(self, tensors: Tensors, source: str = "a snapshot") -> None:
        """Take over the state that `state_dict` returned, random numbers included.

        Weights are copied into the existing tensors, which keeps their memory layout and all references to them.
        QumadeError naming `source` where names or shapes differ from this trainer's.
        """
        for part, module in self.modules.items():
            wanted, given = module.state_dict(), _under(tensors, part)
            unlike = sorted(
                name for name in wanted.keys() | given.keys()
                if name not in wanted or name not in given or wanted[name].shape != given[name].shape
            )  # fmt: skip
            if unlike:
                raise RunError(
                    f"Invalid checkpoint: got another {part} in {source} (first: {unlike[0]}); must be of this config's"
                )
            module.load_state_dict(given)
        self._load_optimizer(_under(tensors, "optimizer"), source)
        restore_random_state(tensors)

    @contextmanager
    def restoring_state(self) -> Iterator[None]:
        """Restore on exit, also after an exception, exactly what was there: all state, all global random numbers, the
        optimizer's settings and the mode (training or evaluation) of every module."""
        tensors = self.state_dict()
        groups = [{k: v for k, v in group.items() if k != "params"} for group in self.optimizer.param_groups]
        modes = [(module, module.training) for part in self.modules.values() for module in part.modules()]
        try:
            yield
        finally:
            self.load_state_dict(tensors)
            self.optimizer.zero_grad(set_to_none=True)
            for group, values in zip(self.optimizer.param_groups, groups, strict=True):
                group.update(values)
            for module, mode in modes:
                module.training = mode

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def _load_optimizer(self, tensors: Tensors, source: str) -> None:
        state: dict[int, Tensors] = {}
        for name, value in tensors.items():
            number, key = name.split(".", 1)
            state.setdefault(int(number), {})[key] = value.clone()
        parameters = self._parameters()
        for at, slots in state.items():
            for key, value in slots.items():
                if at >= len(parameters) or (value.ndim and value.shape != parameters[at].shape):
                    raise RunError(f"Invalid checkpoint: got another optimizer in {source}; must be of this config's")
                if value.ndim:
                    # Laid out in memory like its parameter: fused kernels walk through both byte by byte.
                    slots[key] = torch.empty_like(parameters[at], requires_grad=False).copy_(value)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


def new_trainer(setup: Setup) -> Trainer:
    """Build the network, objective and optimizer of a config from its seed, on the device of the setup.

    QumadeError where a batch cannot be divided among the processes, or a micro-batch cannot be normalised.
    """
    config, accelerator = setup.config, setup.accelerator
    device, processes = accelerator.device, accelerator.num_processes
    _require_shares(config, processes)
    set_seed(config.seed)
    network = build_network(setup.network_config(), setup.encoder_weights)
    if setup.earlier is not None:
        network.load_state_dict(setup.earlier.weights)
    _require_statistics(network, config, processes)
    if config.pretrained == "required":
        network.freeze(config.encoder_frozen or 0)
    network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    objective = setup.objective().to(device)
    optimizer = new_optimizer(
        config.optimizer or default_optimizer(config),
        network,
        objective,
        weight_decay=config.weight_decay,
        encoder_lr=config.encoder_lr if config.pretrained == "required" else 1.0,
    )
    average = ema_copy(network)  # before the network is prepared for several processes
    bf16 = config.precision == "bf16"
    gradient: Callable[[Batch], Tensors]
    if processes == 1:
        samples = config.micro_batch or config.batch_size
        threads = torch.get_num_threads() if device.type == "cpu" else 1
        gradient = MicroBatches(network, objective, samples=samples, threads=threads, bf16=bf16)
    else:
        mean = partial(accelerator.reduce, reduction="mean")
        gradient = WholeBatch(objective, accelerator.prepare_model(network), mean, bf16=bf16)
    self_training = None
    if (photos := config.unlabelled) is not None:
        self_training = SelfTraining(
            average,
            ema_copy(network),
            photos.confidence,
            photos.paste,
            mask="mask" in network.config.trained_tasks,
            depth="depth" in network.config.trained_tasks,
            threads=torch.get_num_threads() if device.type == "cpu" else 1,
            seed=config.seed,
            rank=accelerator.process_index,
            processes=processes,
            slots=setup.mixture.slots,
        )
    return Trainer(
        network, average, objective, optimizer, gradient, clip=config.clip, l1=config.l1, self_training=self_training
    )


def _require_shares(config: TrainConfig, processes: int) -> None:
    """Refuse batches that processes cannot share evenly, and micro-batches other than a process's share."""
    if config.batch_size % processes:
        raise ConfigError(f"Invalid batch_size: got {config.batch_size}; must be a multiple of {processes} processes")
    share = config.batch_size // processes
    if processes > 1 and config.micro_batch not in (None, share):
        raise ConfigError(
            f"Invalid micro_batch: got {config.micro_batch}; must be {share}, a process's share, with "
            f"{processes} processes"
        )


def _require_statistics(network: MaskDepthNetwork, config: TrainConfig, processes: int) -> None:
    """Refuse micro-batches of one sample where the encoder ends in one pixel: a single value has no deviation."""
    share, (width, height) = config.batch_size // processes, config.size or (0, 0)
    micro_batch = config.micro_batch or share
    smallest = share // math.ceil(share / micro_batch)
    normalised = any(isinstance(module, nn.BatchNorm2d) for module in network.encoder.modules())
    if smallest == 1 and normalised and max(width, height) <= network.stride:
        raise ConfigError(
            f"Invalid batch_size: got {config.batch_size} in parts of {micro_batch} at size {width}x{height}, which "
            "leaves a part with a single sample; must leave at least 2 in each part, or the size be larger"
        )


def _under(tensors: Tensors, prefix: str) -> Tensors:
    return {name[len(prefix) + 1 :]: value for name, value in tensors.items() if name.startswith(f"{prefix}.")}
