"""What a training consists of, ready to take steps: the data, the network, its objective and optimiser, on a device."""

import os
from dataclasses import dataclass, replace

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn

from qumade.data.batches import Batches, ordered_batches, training_batches
from qumade.errors import QumadeError
from qumade.models.network import build_network
from qumade.train.config import TrainConfig
from qumade.train.ema import ema_copy
from qumade.train.learning_rate import LearningRates, find_learning_rate
from qumade.train.setup import Setup, open_setup
from qumade.train.state import Learner
from qumade.train.step import Stepper, new_optimizer
from qumade.train.validation import Scores, validation_sums

__all__ = ["Training", "default_workers", "new_accelerator", "new_training"]

FINDER_STEPS = 100


@dataclass(frozen=True, eq=False)
class Training:
    """A setup with what learns on it, on a device."""

    setup: Setup
    stepper: Stepper
    accelerator: Accelerator
    workers: int

    @property
    def learner(self) -> Learner:
        return self.stepper.learner

    @property
    def average(self) -> nn.Module:
        """The averaged network, which is what is judged and shipped."""
        average = self.learner.average
        if average is None:
            raise QumadeError("Invalid learner: got no averaged weights; must have them to be trained")
        return average

    def batches(self, start: int, stop: int) -> Batches:
        """Training batches number `start` to `stop - 1`, this process's part of each."""
        config, accelerator = self.setup.config, self.accelerator
        return training_batches(
            self.setup.mix,
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

    def validate(self) -> Scores:
        """Judge the averaged weights on the validation samples, shared out over the processes."""
        setup, accelerator = self.setup, self.accelerator
        config, network = setup.config, setup.network_config()
        mine = setup.validation[accelerator.process_index :: accelerator.num_processes]
        sums = torch.zeros(6, dtype=torch.float64)
        if len(mine):
            batches = ordered_batches(
                setup.main, mine, size=network.size, batch_size=config.batch_size, device=accelerator.device
            )
            with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=self.stepper.bf16):
                sums = validation_sums(
                    self.average, self.learner.objective, batches, kind=network.depth_kind, span=network.depth_range
                )
        return Scores.of(accelerator.reduce(sums.to(accelerator.device)).cpu())

    def find_learning_rate(self, steps: int = FINDER_STEPS) -> LearningRates:
        """Try rates on the first training batches; everything is as it was afterwards."""
        batches = self.batches(0, steps)
        try:
            return find_learning_rate(self.stepper, batches, steps=steps)
        finally:
            batches.close()


def new_training(config: TrainConfig, *, workers: int | None = None) -> Training:
    """Open a config's data and build its network, objective and optimiser on the device that is there, from the seed.

    QumadeError where the data cannot be trained on or the batch size not be shared out.
    """
    accelerator = new_accelerator()
    setup = open_setup(config)
    device = accelerator.device
    processes = accelerator.num_processes
    if config.batch_size % processes:
        raise QumadeError(f"Invalid batch_size: got {config.batch_size}; must be a multiple of {processes} processes")
    precision = setup.config.precision
    if precision == "auto":
        precision = "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    setup = replace(setup, config=setup.config.model_copy(update={"precision": precision}))
    set_seed(config.seed)
    network = build_network(setup.network_config(), pretrained=config.pretrained)
    network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    objective = setup.objective().to(device)
    optimizer = new_optimizer(network, objective, weight_decay=config.weight_decay)
    learner = Learner(network, objective, optimizer, ema_copy(network))
    stepper = Stepper(
        learner,
        forward=accelerator.prepare_model(network),
        backward=accelerator.backward,
        clip=config.clip,
        l1=config.l1,
        bf16=precision == "bf16",
    )
    return Training(setup, stepper, accelerator, default_workers(device) if workers is None else workers)


def new_accelerator() -> Accelerator:
    """The device and the processes of this training. Without a GPU the CPU is asked for, else processes that were
    launched together would not know of each other."""
    return Accelerator(cpu=not (torch.cuda.is_available() or torch.backends.mps.is_available()))


def default_workers(device: torch.device) -> int:
    """Processes that read ahead: none where they would take the cores that compute."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores - 1) if device.type != "cpu" else int(cores > 4)
