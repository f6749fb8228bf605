"""Kinds of depth, and how grey levels encode inverse depth.

In memory depth is inverse depth, float32: larger is nearer, 0 is infinitely far, NaN is unknown. Files hold grey
levels. A `DepthEncoding`, which dataset.yaml records, defines their meaning.
"""

from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, StrictStr, model_validator

__all__ = ["DEPTH_KINDS", "KITTI_SCALE", "METRES_16_BIT", "UNDESCRIBED_DEPTH", "DepthEncoding", "DepthKind"]

DepthKind = Literal["metric", "scaled", "affine"]
"""metric: 1/m; scaled: correct up to an unknown factor; affine: correct up to an unknown factor and shift. From the
most to the least informative."""

DEPTH_KINDS: tuple[DepthKind, ...] = get_args(DepthKind)
KITTI_SCALE = 256.0
"""Levels per metre in 16-bit depth PNGs: the convention of the KITTI depth benchmark."""

_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class DepthEncoding(BaseModel):
    """How the grey levels of depth/ encode inverse depth.

    `code` "inverse": level / largest level, linearly over `range` (far, near); the largest level is nearest. With
    range "image" it is linear over each image's own minimum and maximum, so values of two images are not comparable.
    `code` "metres": metres x `depth_scale` in 16 bits, 0 unknown, 65535 farther than the range.
    `source` states where depth comes from; `teacher_sha256` is the hash of the network that predicted it from images/.
    """

    model_config = ConfigDict(frozen=True)

    kind: DepthKind | None = None
    source: StrictStr | None = None
    code: Literal["inverse", "metres"]
    bits: Literal[8, 16]
    range: tuple[_Number, _Number] | Literal["image"] | None = None
    depth_scale: _Number | None = None
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

    @property
    def limits(self) -> tuple[float, float] | None:
        """Inverse depth (far, near) of the lowest and the highest level; None for range "image" and for metres."""
        return self.range if isinstance(self.range, tuple) else None


UNDESCRIBED_DEPTH = DepthEncoding(code="inverse", bits=8, range="image")
"""The encoding of a depth/ folder without a dataset.yaml: 8-bit inverse depth over each image's own range."""

METRES_16_BIT = DepthEncoding(kind="metric", source="dataset", code="metres", bits=16, depth_scale=KITTI_SCALE)
"""The encoding of imported metric depth."""
