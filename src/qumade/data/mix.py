"""Several datasets in every batch: which samples batch k holds, as a pure function of (seed, k)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from qumade.data.description import DepthCode
from qumade.data.layout import Triple

__all__ = ["Ingredient", "Key", "Mix", "Parts", "Share", "TripleDataset", "parse_share"]

Parts = Literal["both", "mask", "depth"]


class TripleDataset(Protocol):
    """What FolderDataset and CompositeDataset have in common."""

    name: str

    def __len__(self) -> int: ...
    def __getitem__(self, position: int) -> Triple: ...
    @property
    def stems(self) -> NDArray[np.str_]: ...
    @property
    def splits(self) -> NDArray[np.str_]: ...
    @property
    def has_masks(self) -> bool: ...
    @property
    def has_depth(self) -> bool: ...
    @property
    def depth_code(self) -> DepthCode | None: ...
    def positions(self, *names: str) -> NDArray[np.int64]: ...
    def read(self, position: int, draw: int = 0) -> Triple: ...
    def read_many(self, positions: Sequence[int], draws: Sequence[int] | None = None) -> list[Triple]: ...


class Key(NamedTuple):
    """One sample of one batch: which ingredient, the position in its dataset, and how often it was shown before."""

    ingredient: int
    position: int
    epoch: int


@dataclass(frozen=True, eq=False)
class Ingredient:
    """Samples of one dataset: those at `positions`, and which of their labels count. `share` of every batch in (0, 1]."""

    dataset: TripleDataset
    positions: NDArray[np.int64]
    share: float = 1.0
    parts: Parts = "both"


class Mix:
    """Ingredients whose shares add up to 1. Rounded so that shares hold over any run of batches to within one sample.

    Each ingredient goes through its positions in a new order in every epoch of its own.
    """

    def __init__(self, ingredients: Sequence[Ingredient]) -> None: ...

    @property
    def has_masks(self) -> bool: ...
    @property
    def has_depth(self) -> bool: ...
    @property
    def depth_kind(self) -> Literal["metric", "scaled", "affine"] | None:
        """The weakest kind of depth in it, None where there is no depth."""

    def epoch_batches(self, batch_size: int) -> int:
        """Number of batches in which the first ingredient shows all of its samples once."""

    def keys(self, batch: int, batch_size: int, seed: int) -> list[Key]:
        """The samples of batch number `batch`."""

    def read_many(self, keys: Sequence[Key]) -> list[Triple]:
        """The samples of these keys; labels that do not count are None."""


class Share(NamedTuple):
    path: Path
    share: float
    parts: Parts


def parse_share(text: str) -> Share:
    """PATH:SHARE or PATH:SHARE:mask or PATH:SHARE:depth, as of `--with B:0.1`; QumadeError where it is none."""
