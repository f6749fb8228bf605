"""Augmentation: image, mask, ignored pixels and inverse depth of a sample move together. Pure in its key."""

from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from qumade.data.layout import Triple

__all__ = ["Augmentation", "Layers", "augment", "layers"]


class Augmentation(BaseModel):
    """How samples are varied. Probabilities are of a sample; ranges are (low, high)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    mirror: float = 0.5
    crop: tuple[float, float] = (0.8, 1.0)
    rotate_deg: float = 5.0
    rotate: float = 0.3
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.3
    hue: float = 0.02
    grey: float = 0.05
    blur: float = 0.1
    noise: float = 0.2
    jpeg: float = 0.2

    @classmethod
    def none(cls) -> "Augmentation":
        """The one that changes nothing."""
        raise NotImplementedError


class Layers(NamedTuple):
    """A sample on its way to a batch, all of one height and width.

    `pixels` uint8 [4, H, W]: red, green, blue, coverage; `labels` float32 [2, H, W]: 1 where coverage is unknown or
    ignored, else 0; inverse depth, NaN where unknown or ignored.
    """

    pixels: Tensor
    labels: Tensor


def layers(triple: Triple) -> Layers: ...


def augment(sample: Layers, size: tuple[int, int], augmentation: Augmentation, rng: np.random.Generator) -> Layers:
    """The sample varied and resized to `size` (width, height)."""
