"""The layout of scenes: how many objects a picture shows, how large they are and where they stand; a small YAML file.

An object's size is the square root of (area of its visible box / area of the picture), its row the lower edge of that
box as a share of the height. Sizes are counted in bins of half an octave from 1/128 to 1, rows in twentieths of the
height; smaller objects are in the first bin. Shares may stand instead of counts.
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from qumade.errors import ConfigError
from qumade.io.config import parse_model, read_yaml, wrong_field
from qumade.io.files import write_bytes
from qumade.io.pictures import UnusablePicture, content_hash

__all__ = [
    "AREA_EDGES",
    "LEAST_SHARE",
    "MOST_OBJECTS",
    "ROWS",
    "ROW_EDGES",
    "SIZES",
    "SIZE_EDGES",
    "SceneLayout",
    "count_boxes",
    "hashed_layout",
    "load_layout",
    "save_layout",
]

SIZES, ROWS, MOST_OBJECTS = 14, 20, 16
LEAST_SHARE = 1e-4  # of the picture's pixels: smaller objects are noise of the labels
AREA_EDGES = 2.0 ** np.arange(-SIZES, 1)
"""Edges of the bins as shares of the picture's area, float64 [15]: powers of 2, so comparing with them is exact."""
SIZE_EDGES = np.sqrt(AREA_EDGES)
ROW_EDGES = np.arange(ROWS + 1) / ROWS

Count = Annotated[float, Field(ge=0.0, le=1e12)]

_HEADER = f"""\
# number: pictures with 0, 1, 2, ... objects; the last of {MOST_OBJECTS + 1} is {MOST_OBJECTS} or more. Empty: unknown.
# size_and_row: objects, a list for each twentieth of the height in which the lower edge of their box lies, from the
# top. Each list has {SIZES} sizes, sqrt(box area / picture area): below 0.011, 0.016, 0.022, 0.031, 0.044, 0.063,
# 0.088, 0.125, 0.177, 0.25, 0.354, 0.5, 0.707, 1.
"""


class SceneLayout(BaseModel):
    """Histograms of the objects in a set of pictures. Counts or shares; only their ratios matter."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    format: Literal["qumade-layout/1"]
    """Version of the file."""
    told_apart: Literal["components", "instances", "boxes"] = "boxes"
    """components: an object is a connected part of a mask; instances: of an instance map; boxes: of a list."""
    least_share: Annotated[float, Field(ge=0.0, lt=1.0)] = LEAST_SHARE
    """Share of the picture's pixels below which a component is no object."""
    pictures: Annotated[int, Field(ge=0)] = 0
    """Number of pictures that were read."""
    number: Annotated[tuple[Count, ...], Field(max_length=MOST_OBJECTS + 1)] = ()
    """Pictures by their number of objects, from 0; the last of 17 has 16 or more. Empty if unknown."""
    size_and_row: Annotated[tuple[tuple[Count, ...], ...], Field(min_length=1)]
    """Objects by row, and in each row by size."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if len(self.size_and_row) != ROWS or any(len(row) != SIZES for row in self.size_and_row):
            raise wrong_field("size_and_row", f"{ROWS} lists of {SIZES} numbers")
        if not 0 < sum(map(sum, self.size_and_row)) < math.inf:
            raise wrong_field("size_and_row", "counts that add up to more than 0 and to a finite number")
        if self.number and not 0 < sum(self.number[1:]) < math.inf:
            raise wrong_field("number", "counts of pictures, some of which show an object; or empty")
        return self

    @property
    def table(self) -> NDArray[np.float64]:
        """The objects by row and size, float64 [20, 14]."""
        return np.array(self.size_and_row, np.float64)

    @property
    def numbers(self) -> NDArray[np.float64]:
        """The pictures by number of objects, float64 [17]; all 0 if unknown."""
        return np.array([*self.number, *[0.0] * (MOST_OBJECTS + 1 - len(self.number))], np.float64)


def count_boxes(boxes: NDArray[np.float64], width: float, height: float) -> NDArray[np.int64]:
    """Return how many boxes, float64 [n, 4] left, top, right, bottom in pixels, lie in each bin, int64 [20, 14].

    Boxes must lie in their picture of `width` x `height` pixels.
    """
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / (width * height)
    size = np.searchsorted(AREA_EDGES[1:-1], area, side="right")
    row = np.clip((boxes[:, 3] / height * ROWS).astype(np.int64), 0, ROWS - 1)
    return np.bincount(row * SIZES + size, minlength=ROWS * SIZES).reshape(ROWS, SIZES)


def load_layout(path: Path) -> SceneLayout:
    """Reads a layout file. Raises QumadeError naming the file, the wrong value and what is allowed."""
    path = path.absolute()
    return parse_model(SceneLayout, read_yaml(path, "layout"), str(path), what="layout")


def hashed_layout(path: Path) -> tuple[SceneLayout, str]:
    """Reads a layout file and its SHA-256."""
    layout = load_layout(path)
    try:
        return layout, content_hash(path)
    except UnusablePicture as error:  # removed in the meantime
        raise ConfigError(f"Invalid layout: {path.absolute()} has changed while it was read") from error


def save_layout(layout: SceneLayout, path: Path) -> None:
    """Writes a layout file that `load_layout` reads back unchanged. Raises QumadeError."""
    values = layout.model_dump(mode="json")
    values["number"] = _whole(values["number"])
    values["size_and_row"] = [_whole(row) for row in values["size_and_row"]]
    text = yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=200)
    write_bytes(path, (_HEADER + text).encode())


def _whole(counts: list[Any]) -> list[Any]:
    return [int(count) if float(count).is_integer() else count for count in counts]
