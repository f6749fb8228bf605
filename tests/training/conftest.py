from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from qumade.data.loader import Batch
from qumade.models.network import Output
from qumade.training.ema import ema_copy
from qumade.training.gradient import MicroBatches
from qumade.training.losses import Objective
from qumade.training.optimizers import OptimizerName, new_optimizer
from qumade.training.trainer import Trainer


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
def make_trainer() -> Callable[..., Trainer]:
    """A trainer of a toy network from a seed; samples of a batch are computed together."""

    def make(seed: int = 0, *, optimizer: OptimizerName = "adamw", bf16: bool = False, **options: object) -> Trainer:
        torch.manual_seed(seed)
        network = ToyNetwork()
        objective = Objective(task_weights="uncertainty")
        return Trainer(
            network,
            ema_copy(network),
            objective,
            new_optimizer(optimizer, network, objective, weight_decay=0.01),
            MicroBatches(network, objective, samples=1000, threads=1, bf16=bf16),
            **options,
        )

    return make


def _toy_dataset(
    root: Path, *, train: int = 20, val: int = 6, size: tuple[int, int] = (48, 40), kind: str | None = "scaled"
) -> Path:
    """Bright boxes on dark noise, nearer where lower; `train` and `val` samples, and a test sample."""
    rng = np.random.default_rng(5)
    splits = ["train"] * train + ["val"] * val + (["test"] if val else [])
    stems = [f"img{number + 1:06d}" for number in range(len(splits))]
    for folder in ("images", "masks", "depth"):
        (root / folder).mkdir(parents=True)
    for stem in stems:
        image = rng.integers(0, 100, (size[1], size[0], 3), np.uint8)
        mask = np.zeros(image.shape[:2], np.uint8)
        left, top = rng.integers(0, 24, 2)
        mask[top : top + 14, left : left + 20] = 255
        image[mask > 0] += 120
        depth = np.linspace(20, 250, size[1])[:, None].repeat(size[0], 1).astype(np.uint8)
        for folder, pixels in (("images", image), ("masks", mask), ("depth", depth)):
            Image.fromarray(pixels).save(root / folder / f"{stem}.png")
    if val:
        pq.write_table(pa.table({"stem": stems, "split": splits}), root / "manifest.parquet")
    if kind is not None:
        depth_encoding = {"kind": kind, "code": "inverse", "bits": 8, "range": [0.0, 1.5]}
        content = {"format": "qumade-dataset/1", "complete": True, "samples": len(stems), "depth": depth_encoding}
        (root / "dataset.yaml").write_text(yaml.safe_dump(content))
    return root


@pytest.fixture(scope="session")
def toy_dataset() -> Callable[..., Path]:
    """Write a small dataset that can be learned into a folder."""
    return _toy_dataset
