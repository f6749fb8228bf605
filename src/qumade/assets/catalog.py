"""What planning needs to know of the assets, without their pixels."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qumade.assets.labels import StandingTable
from qumade.geometry import GroundPlane

__all__ = ["SILHOUETTE_PX", "Background", "Catalog", "DepthKind", "DepthSource", "Foreground"]

SILHOUETTE_PX = 32

DepthKind = Literal["metric", "scaled", "affine"]
DepthSource = Literal["prior", "depths"]


@dataclass(frozen=True)
class Background:
    """A photo to paste on. Geometry is in its own pixels.

    Contacts take their inverse depth from `plane`, else from `coarse_depth`: float32 [h, w], the mean inverse depth of
    the cells of a grid stretched over the photo, NaN where unknown. `horizon_level` is the inverse depth infinitely
    far: 0 but for affine depth, NaN where its shift is unknown. `coarse_occluder` is a grid of the same size, of what
    may hide objects, 0 elsewhere. `standing` has a table for each of the catalog's `places`, None without label map.
    """

    name: str
    sha256: str
    width: int
    height: int
    identity: int
    split: str | None
    plane: GroundPlane | None
    horizon_level: float = 0.0
    coarse_depth: NDArray[np.float32] | None = None
    coarse_occluder: NDArray[np.float32] | None = None
    standing: tuple[StandingTable, ...] | None = None
    camera_height_m: float | None = None
    depth_name: str | None = None
    depth_sha256: str | None = None
    labels_name: str | None = None
    labels_sha256: str | None = None


@dataclass(frozen=True)
class Foreground:
    """A cut-out, cropped to the object; mirrored where `flip`.

    `contact` is the point where it stands in pixels of the crop, `silhouette` float32 [32, 32] the share of each cell
    of a grid stretched over the crop that is opaque. `place` is the number of the classes to stand on in the
    catalog's `places`.
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
    place: int = 0
    height_m: float | None = None
    mask_name: str | None = None
    mask_sha256: str | None = None
    relief_name: str | None = None
    relief_sha256: str | None = None


@dataclass(frozen=True)
class Catalog:
    """All assets of a recipe, in the order of the triple loop, and what their depth means."""

    backgrounds: tuple[Background, ...]
    foregrounds: tuple[Foreground, ...]
    depth_kind: DepthKind
    depth_source: DepthSource
    places: tuple[tuple[str, ...], ...] = ()
