"""The interface of a dataset: samples by position, their labels and their splits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qumade.depth.encoding import DepthEncoding
from qumade.errors import ConfigError, DatasetError
from qumade.plan.splits import SAMPLE_SPLITS

__all__ = ["SPLIT_NAMES", "LabeledSample", "SampleDataset", "known_classes", "positions_of", "renumbering"]

SPLIT_NAMES = ("", *(name for name in SAMPLE_SPLITS if name is not None))
"""The values of `splits`: "", where the split is unknown, "train", "val", "test", "seen background", "seen foreground"
and "mixed"."""


@dataclass(frozen=True, eq=False)
class LabeledSample:
    """One sample: image uint8 [H, W, 3], mask coverage uint8 [H, W], inverse depth float32 [H, W] (0 infinitely far,
    NaN unknown), ignore bool [H, W]. A label that the dataset does not have is None.

    `class_map` uint8 [H, W] of a dataset with several classes: 0 for no object, k for one of its k-th class."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None
    inverse_depth: NDArray[np.float32] | None
    ignore: NDArray[np.bool_] | None
    class_map: NDArray[np.uint8] | None = None


class SampleDataset(Protocol):
    """The interface of a dataset: a folder (FolderDataset), or a recipe whose samples are drawn on the fly
    (SyntheticDataset). Positions are 0 .. len - 1 in the order of the stems. A dataset can be pickled."""

    name: str

    def __len__(self) -> int: ...
    def __getitem__(self, position: int) -> LabeledSample: ...
    @property
    def stems(self) -> NDArray[np.str_]: ...
    @property
    def splits(self) -> NDArray[np.str_]: ...
    @property
    def has_masks(self) -> bool: ...
    @property
    def has_depth(self) -> bool: ...
    @property
    def has_instances(self) -> bool: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def depth_encoding(self) -> DepthEncoding | None: ...
    def positions(self, *names: str) -> NDArray[np.int64]: ...
    def read(self, position: int, draw: int = 0) -> LabeledSample: ...
    def read_many(
        self, positions: Sequence[int], draws: Sequence[int] | None = None, variants: Sequence[int] | None = None
    ) -> list[LabeledSample]: ...


def known_classes(dataset: SampleDataset) -> tuple[str, ...]:
    """Return the classes that a dataset tells apart, in the order of their numbers; none if all objects are of one.

    Raises QumadeError for a dataset with several classes that does not say which of them a pixel shows.
    """
    if len(dataset.classes) < 2:
        return ()
    if not dataset.has_instances:
        raise DatasetError(
            f"Invalid dataset: got classes {', '.join(dataset.classes)} without instances/ in {dataset.name}; must "
            "have it, as `qumade generate --instances` writes it, so that the class of each pixel is known"
        )
    return dataset.classes


def positions_of(split_codes: NDArray[np.int8], names: Sequence[str]) -> NDArray[np.int64]:
    """Return the positions, ascending, of samples in the splits `names`; `split_codes` index SPLIT_NAMES.

    Raises QumadeError for an unknown name, and if no name is given.
    """
    for name in names:
        if name not in SPLIT_NAMES:
            known = ", ".join(repr(known) for known in SPLIT_NAMES)
            raise DatasetError(f"Invalid split: got {name!r}; must be one of {known}")
    if not names:
        raise ConfigError("Invalid split: got no name; must be at least one")
    return np.flatnonzero(np.isin(split_codes, [SPLIT_NAMES.index(name) for name in names]))


def renumbering(found: Sequence[str], classes: Sequence[str]) -> NDArray[np.uint8] | None:
    """Return the number of each of the same classes in another order, uint8 [K + 1] by the number in `found`, 0 for no
    object; None where the order is the same."""
    if list(found) == list(classes):
        return None
    return np.array([0, *(classes.index(name) + 1 for name in found)], np.uint8)
