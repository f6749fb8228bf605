"""What planning needs to know of the assets, without their pixels."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qumade.geometry import GroundPlane

__all__ = ["SILHOUETTE_PX", "Background", "Catalog", "DepthKind", "DepthSource", "Foreground"]

SILHOUETTE_PX = 32

DepthKind = Literal["metric", "scaled", "affine"]
DepthSource = Literal["prior", "depths"]


@dataclass(frozen=True)
class Background:
    """A photo to paste on. Geometry is in its own pixels.

    Contacts take their inverse depth from `plane`, else from `coarse_depth`: float32 [h, w], the mean inverse depth of
    the cells of a grid stretched over the photo, NaN where unknown.
    """

    name: str
    sha256: str
    width: int
    height: int
    identity: int
    split: str | None
    plane: GroundPlane | None
    coarse_depth: NDArray[np.float32] | None = None
    depth_name: str | None = None
    depth_sha256: str | None = None


@dataclass(frozen=True)
class Foreground:
    """A cut-out, cropped to the object; mirrored where `flip`.

    `contact` is the point where it stands in pixels of the crop, `silhouette` float32 [32, 32] the share of each cell
    of a grid stretched over the crop that is opaque.
    """

    name: str
    sha256: str
    width: int
    height: int
    flip: bool
    identity: int
    split: str | None
    contact: tuple[float, float]
    silhouette: NDArray[np.float32]
    scale: tuple[float, float]
    mask_name: str | None = None
    mask_sha256: str | None = None


@dataclass(frozen=True)
class Catalog:
    """All assets of a recipe, in the order of the triple loop, and what their depth means."""

    backgrounds: tuple[Background, ...]
    foregrounds: tuple[Foreground, ...]
    depth_kind: DepthKind
    depth_source: DepthSource
