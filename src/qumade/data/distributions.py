"""Distributions of the values in a dataset, beyond mean and standard deviation: worth a look before training."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qumade.data.dataset import LabeledSample
from qumade.errors import ConfigError
from qumade.io.progress import progress_bar
from qumade.plan.indices import stratified_indices

__all__ = ["Distributions", "distributions"]

MAP = 64  # cells per side: images of all shapes are stretched to it
DEPTHS_PER_IMAGE = 1024
OBJECT_CODE = 128  # a pixel with at least half coverage belongs to the object


class Readable(Protocol):
    """A sequence of samples that can be read by position."""

    def __len__(self) -> int: ...

    def read(self, position: int, /) -> LabeledSample: ...


@dataclass(frozen=True, eq=False)
class Distributions:
    """Distributions over `samples` samples, a stratified selection of a dataset.

    `levels` int64 [3, 256]: number of pixels at each level of R, G, B. `object_share` float64 [samples]: share of each
    image that is at least half covered. `coverage` float64 [64, 64]: mean coverage in [0, 1] of each part of the image.
    `inverse_depth` float32 [n]: known inverse depth of at most 1024 pixels of each image, sampled on a grid.
    `depth_map` float64 [64, 64]: mean known inverse depth of each part of the image, NaN where none is known. Fields of
    labels that the dataset does not have are None.
    """

    samples: int
    levels: NDArray[np.int64]
    object_share: NDArray[np.float64] | None
    coverage: NDArray[np.float64] | None
    inverse_depth: NDArray[np.float32] | None
    depth_map: NDArray[np.float64] | None


def distributions(dataset: Readable, count: int = 1000, *, progress: bool = True) -> Distributions:
    """Read at most `count` samples and return the distributions of their values."""
    if count < 1:
        raise ConfigError(f"Invalid count: got {count}; must be at least 1")
    positions = stratified_indices(len(dataset), count).tolist()
    samples = len(positions)
    levels = np.zeros((3, 256), np.int64)
    shares, depths = [], []
    coverage, depth_sums, depth_counts = (np.zeros((MAP, MAP)) for _ in range(3))
    for position in progress_bar(positions, unit=" samples", desc="distributions", disable=not progress):
        sample = dataset.read(position)
        levels += np.array(Image.fromarray(sample.image).histogram(), np.int64).reshape(3, 256)
        if sample.mask is not None:
            shares.append(float((sample.mask >= OBJECT_CODE).mean()))
            small = Image.fromarray(sample.mask).resize((MAP, MAP), Image.Resampling.BOX)
            coverage += np.asarray(small, np.float64) / 255
        if sample.inverse_depth is not None:
            height, width = sample.inverse_depth.shape
            rows = (2 * np.arange(MAP) + 1) * height // (2 * MAP)
            columns = (2 * np.arange(MAP) + 1) * width // (2 * MAP)
            values = sample.inverse_depth[rows[:, None], columns]
            known = np.isfinite(values)
            depth_sums += np.where(known, values, 0.0)
            depth_counts += known
            grid = values.ravel()[:: MAP * MAP // DEPTHS_PER_IMAGE]
            depths.append(grid[np.isfinite(grid)])
    return Distributions(
        samples=samples,
        levels=levels,
        object_share=np.array(shares) if shares else None,
        coverage=coverage / len(shares) if shares else None,
        inverse_depth=np.concatenate(depths) if depths else None,
        depth_map=depth_sums / np.where(depth_counts > 0, depth_counts, np.nan) if depths else None,
    )
