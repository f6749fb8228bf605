from collections.abc import Callable

import pytest
import torch
from torch import nn

from qumade.data.batches import Batch
from qumade.models.network import Output
from qumade.train.ema import ema_copy
from qumade.train.losses import Objective
from qumade.train.state import Learner
from qumade.train.step import Stepper, new_optimizer


class ToyNetwork(nn.Module):
    """A network of two outputs with everything that a state can hold: weights, running statistics, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1))
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, image: torch.Tensor) -> Output:
        mask, depth = self.head(self.body(image)).split(1, dim=1)
        return Output(mask, torch.sigmoid(depth))


def _batches(count: int, *, seed: int = 0, samples: int = 4, side: int = 16) -> list[Batch]:
    """Pictures whose red channel is the mask and whose green one is the inverse depth."""
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for _ in range(count):
        image = torch.rand(samples, 3, side, side, generator=generator)
        batches.append(Batch(image, (image[:, :1] > 0.5).float(), image[:, 1:2].clone()))
    return batches


@pytest.fixture
def make_batches() -> Callable[..., list[Batch]]:
    """Batches of noise that a toy network can learn."""
    return _batches


@pytest.fixture
def make_stepper() -> Callable[..., Stepper]:
    """A stepper with a toy network from a seed, and averaged weights."""

    def make(seed: int = 0, **options: object) -> Stepper:
        torch.manual_seed(seed)
        network = ToyNetwork()
        objective = Objective(task_weights="uncertainty")
        learner = Learner(network, objective, new_optimizer(network, objective, weight_decay=0.01), ema_copy(network))
        return Stepper(learner, network, **options)

    return make
