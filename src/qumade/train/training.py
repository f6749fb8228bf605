"""What a training consists of, ready to take steps: the data, the network, its objective and optimiser, on a device."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn

from qumade.data.loader import Batch, Batches, ordered_batches, training_batches
from qumade.errors import QumadeError
from qumade.models.network import MaskDepthNetwork, build_network
from qumade.train.config import TrainConfig
from qumade.train.data_setup import OPTIMIZER, Setup, open_setup
from qumade.train.ema import ema_copy
from qumade.train.gradient import MicroBatches, WholeBatch
from qumade.train.learning_rate import LearningRates, find_learning_rate
from qumade.train.optimizers import new_optimizer
from qumade.train.state import Learner
from qumade.train.step import Stepper
from qumade.train.validation import Scores, validation_sums

__all__ = ["Training", "default_workers", "new_accelerator", "new_training"]

FINDER_STEPS = 100
MICRO_BATCH = 16


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
            self.setup.mixture,
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
        """Judge the averaged weights on the validation samples, shared out over the processes, in full precision."""
        setup, accelerator = self.setup, self.accelerator
        config, network = setup.config, setup.network_config()
        mine = setup.validation[accelerator.process_index :: accelerator.num_processes]
        sums = torch.zeros(6, dtype=torch.float64)
        if len(mine):
            batches = ordered_batches(
                setup.main, mine, size=network.size, batch_size=config.batch_size, device=accelerator.device
            )
            sums = validation_sums(
                self.average,
                self.learner.objective,
                batches,
                kind=network.depth_kind,
                span=network.inverse_depth_limits,
            )
        if accelerator.num_processes > 1:  # else they stay where they are: not every device has 64 bits
            sums = accelerator.reduce(sums.to(accelerator.device)).cpu()
        return Scores.of(sums)

    def find_learning_rate(self, steps: int = FINDER_STEPS) -> LearningRates:
        """Try rates on the first training batches; everything is as it was afterwards."""
        batches = self.batches(0, steps)
        try:
            return find_learning_rate(self.stepper, batches, steps=steps)
        finally:
            batches.close()


def new_training(config: TrainConfig, *, workers: int | None = None, resumed: bool = False) -> Training:
    """Open a config's data and build its network, objective and optimiser on the device that is there, from the seed.

    Of a training that is `resumed` a checkpoint has the weights, so none are downloaded. QumadeError where the data
    cannot be trained on, the batch size not be shared out, or a part of it not be normalised.
    """
    accelerator = new_accelerator()
    setup = open_setup(config)
    device = accelerator.device
    processes = accelerator.num_processes
    if config.batch_size % processes:
        raise QumadeError(f"Invalid batch_size: got {config.batch_size}; must be a multiple of {processes} processes")
    found = _found(setup.config, accelerator)
    setup = replace(setup, config=setup.config.model_copy(update=found))
    config = setup.config
    set_seed(config.seed)
    network = build_network(setup.network_config(), pretrained=config.pretrained and not resumed)
    _require_statistics(network, config, processes)
    network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    objective = setup.objective().to(device)
    optimizer = new_optimizer(
        config.optimizer or OPTIMIZER[config.model], network, objective, weight_decay=config.weight_decay
    )
    learner = Learner(network, objective, optimizer, ema_copy(network))
    bf16 = config.precision == "bf16"
    gradient: Callable[[Batch], dict[str, Tensor]]
    if processes == 1:
        samples = config.micro_batch or config.batch_size
        threads = torch.get_num_threads() if device.type == "cpu" else 1
        gradient = MicroBatches(network, objective, samples=samples, threads=threads, bf16=bf16)
    else:
        mean = partial(accelerator.reduce, reduction="mean")
        gradient = WholeBatch(objective, accelerator.prepare_model(network), mean, bf16=bf16)
    stepper = Stepper(learner, gradient, clip=config.clip, l1=config.l1)
    return Training(setup, stepper, accelerator, default_workers(device) if workers is None else workers)


def _found(config: TrainConfig, accelerator: Accelerator) -> dict[str, object]:
    """What depends on the device: the precision, and how many samples are computed together."""
    share = config.batch_size // accelerator.num_processes
    alone = accelerator.num_processes == 1
    found: dict[str, object] = {}
    if config.precision == "auto":
        found["precision"] = "bf16" if _has_bf16_units(accelerator.device) else "fp32"
    if config.micro_batch is None:
        found["micro_batch"] = min(MICRO_BATCH, share) if alone and accelerator.device.type == "cpu" else share
    elif not alone and config.micro_batch != share:
        raise QumadeError(
            f"Invalid micro_batch: got {config.micro_batch}; must be {share}, a process's share, with "
            f"{accelerator.num_processes} processes"
        )
    return found


def _require_statistics(network: MaskDepthNetwork, config: TrainConfig, processes: int) -> None:
    """Refuse parts of one sample where the encoder ends in one pixel: a single number has no deviation."""
    share, (width, height) = config.batch_size // processes, config.size or (0, 0)
    micro_batch = config.micro_batch or share
    smallest = share // math.ceil(share / micro_batch)
    normalised = any(isinstance(module, nn.BatchNorm2d) for module in network.encoder.modules())
    if smallest == 1 and normalised and max(width, height) <= network.stride:
        raise QumadeError(
            f"Invalid batch_size: got {config.batch_size} in parts of {micro_batch} at size {width}x{height}, which "
            "leaves a sample alone; must leave at least 2 in each part, or the size be larger"
        )


def _has_bf16_units(device: torch.device) -> bool:
    """Whether the device multiplies matrices of bfloat16; where it does not, a CPU takes many times as long."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def new_accelerator() -> Accelerator:
    """The device and the processes of this training. Without a GPU the CPU is asked for, else processes that were
    launched together would not know of each other. Precision is the config's, whatever the environment says."""
    return Accelerator(cpu=not (torch.cuda.is_available() or torch.backends.mps.is_available()), mixed_precision="no")


def default_workers(device: torch.device) -> int:
    """Processes that read ahead: none where they would take the cores that compute."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores - 1) if device.type != "cpu" else int(cores > 4)
