"""dataset.yaml, which says what a dataset's files mean. It may be a stranger's: values are checked before their use."""

import functools
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, model_validator

from qumade.io.config import DATASET_BYTES, parse_model, read_yaml

__all__ = ["UNDESCRIBED_DEPTH", "DepthCode", "Description", "FolderCode", "inverse_depth_table", "read_description"]

Count = Annotated[int, Field(strict=True, ge=0)]
Side = Annotated[int, Field(strict=True, ge=1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class DepthCode(BaseModel):
    """How the grey levels of depth/ code inverse depth.

    `inverse`: code / max_code linearly over `range`, the largest code nearest; without a range ("image") over each
    picture's own minimum and maximum, so that no two pictures compare. `metres`: metres * depth_scale in 16 bits, 0
    unknown, 65535 farther than that. `teacher_sha256`: of the network that predicted depth/ from images/.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["metric", "scaled", "affine"] | None = None
    source: StrictStr | None = None
    code: Literal["inverse", "metres"]
    bits: Literal[8, 16]
    range: tuple[Number, Number] | Literal["image"] | None = None
    depth_scale: Number | None = None
    teacher_sha256: StrictStr | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.code == "metres":
            if self.kind != "metric" or self.bits != 16:
                raise ValueError("kind metric in 16 bits where code is metres")
            if self.depth_scale is None or self.depth_scale <= 0:
                raise ValueError("given a depth_scale above 0 where code is metres")
        elif isinstance(self.range, tuple):
            far, near = self.range
            if far >= near or (far < 0 and self.kind != "affine"):
                raise ValueError("given a range [far, near] with 0 <= far < near")
        elif self.kind is not None and self.range is None:
            raise ValueError("given a range where code is inverse")
        return self


class FolderCode(BaseModel):
    """How one folder's files are encoded; codec settings beyond these two are the writer's."""

    model_config = ConfigDict(frozen=True, extra="allow")

    suffix: Literal[".jpg", ".jpeg", ".png"]
    format: Literal["jpeg", "png"]


class Description(BaseModel):
    """The content of dataset.yaml. `recipe`, `assets` and `package` are passed on unread."""

    model_config = ConfigDict(frozen=True)

    format: Literal["qumade-dataset/1"]
    complete: StrictBool
    samples: Count | None = None
    size: tuple[Side, Side] | None = None  # width, height
    depth: DepthCode | None = None
    folders: dict[StrictStr, FolderCode] | None = None
    package: dict[StrictStr, Any] = {}
    recipe: dict[StrictStr, Any] = {}
    assets: dict[StrictStr, Any] = {}


UNDESCRIBED_DEPTH = DepthCode(code="inverse", bits=8, range="image")


def read_description(path: Path) -> Description:
    """Return the checked content of a dataset.yaml; QumadeError naming the file and the first wrong key."""
    return parse_model(
        Description, read_yaml(path, "dataset.yaml", at_most=DATASET_BYTES), str(path), what="dataset.yaml"
    )


@functools.lru_cache(maxsize=8)
def inverse_depth_table(depth: DepthCode) -> NDArray[np.float64]:
    """Return the inverse depth of every code, float64 [256 or 65536]: 0 infinitely far, NaN unknown; read-only."""
    codes = np.arange(1 << depth.bits, dtype=np.float64)
    if depth.code == "metres" and depth.depth_scale is not None:
        table = np.full(codes.shape, np.nan)
        table[1:] = depth.depth_scale / codes[1:]
        table[-1] = 0.0
    else:
        far, near = depth.range if isinstance(depth.range, tuple) else (0.0, 1.0)
        table = far + (near - far) * (codes / codes[-1])
    table.flags.writeable = False
    return table
