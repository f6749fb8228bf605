"""Batches of tensors: batch k is a pure function of (what is mixed, seed, k), whatever reads it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qumade.data.augment import Augmentation
from qumade.data.layout import Triple
from qumade.data.mix import Mix, TripleDataset

__all__ = ["Batch", "Batches", "ordered_batches", "to_batch", "training_batches"]


class Batch(NamedTuple):
    """`image` float32 [N, 3, H, W] in [0, 1]; `mask` float32 [N, 1, H, W], coverage in [0, 1]; `inverse_depth` float32
    [N, 1, H, W]. NaN in mask or depth takes no part: missing, unknown or ignored."""

    image: Tensor
    mask: Tensor
    inverse_depth: Tensor

    def to(self, device: torch.device | str) -> "Batch":
        """The same on another device."""
        return Batch(*(part.to(device, non_blocking=True) for part in self))


def to_batch(triples: Sequence[Triple], size: tuple[int, int]) -> Batch:
    """Samples of any size as one batch of `size` (width, height), not augmented.

    Of a sample of another shape the largest middle part of that shape is taken. Image and coverage are resized by the
    same antialiased filter; inverse depth and what is unknown by nearest neighbour, never blended.
    """


class Batches:
    """Batches `start` to `stop` of a plan, read ahead by `workers` processes (in this one where 0). Iterate once, or
    anew from the start; `waited_s` adds up the seconds that the consumer waited, `close()` ends the workers."""

    waited_s: float

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Batch]: ...
    def close(self) -> None: ...


def training_batches(
    mix: Mix,
    *,
    size: tuple[int, int],
    batch_size: int,
    seed: int,
    stop: int,
    start: int = 0,
    augmentation: Augmentation | None = None,
    workers: int = 0,
    device: torch.device | str = "cpu",
    rank: int = 0,
    world_size: int = 1,
) -> Batches:
    """Batches number `start` to `stop - 1` for training. Each is the same whatever `start` and `workers`: training goes on
    exactly where it was left. Of every batch, rank r of `world_size` gets its share, batch_size / world_size samples."""


def ordered_batches(
    dataset: TripleDataset,
    positions: NDArray[np.int64],
    *,
    size: tuple[int, int],
    batch_size: int,
    workers: int = 0,
    device: torch.device | str = "cpu",
) -> Batches:
    """Every one of these samples once, in this order, not augmented; the last batch may be smaller."""
