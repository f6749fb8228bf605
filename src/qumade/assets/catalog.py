"""The facts about assets that planning needs, without their pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qumade.assets.cut_sides import CutSide
from qumade.assets.labels import StandingTable
from qumade.depth.encoding import DepthKind
from qumade.geometry import GroundPlane

__all__ = ["SILHOUETTE_PX", "Background", "Catalog", "FittedLayout", "Foreground"]

SILHOUETTE_PX = 32


@dataclass(frozen=True)
class Background:
    """A photo to paste on. Geometry is in pixels of the photo.

    A contact takes its inverse depth from `plane`, or else from `coarse_depth`: float32 [h, w], the mean inverse depth
    in the cells of a grid over the photo, NaN where unknown. `horizon_level` is the inverse depth at infinity: 0 except
    for affine depth, NaN if its shift is unknown. `coarse_occluder` is a grid with the inverse depth
    of everything that may hide objects, 0 elsewhere. `standing` has a table for each of the catalog's `places`; it is
    None without a label map.
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
    """A cut-out, cropped to the object; mirrored if `flip`.

    `contact` is the point where it touches the ground, in pixels of the crop. `silhouette` float32 [32, 32] is the
    opaque share of each cell of a grid over the crop. `place` is the index of its standing classes in the catalog's
    `places`, and `class_number` that of its class in the catalog's `classes`. `name` is the path below the folder of
    cut-outs. `cut` is the side on which the object is not whole: it must not be seen.
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
    class_number: int = 0
    cut: CutSide | None = None


@dataclass(frozen=True, eq=False)
class FittedLayout:
    """What planning needs to know of a recipe's layout file, whose SHA-256 is `sha256`.

    `number_end` float64 are the cumulative shares of the numbers of objects, from the recipe's fewest to its most;
    empty if the layout does not know them. `acceptance` float64 [20, 14] is the share of the placements in each bin of
    row and size to accept. `unreachable` is the share of the layout's objects in bins where the recipe places none.
    """

    sha256: str
    number_end: NDArray[np.float64]
    acceptance: NDArray[np.float64]
    unreachable: float


@dataclass(frozen=True)
class Catalog:
    """All assets of a recipe, in the order of the triple loop, and the kind of their depth.

    `distractors` are cut-outs of other things than the object. `classes` is empty if the recipe gives no classes.
    """

    backgrounds: tuple[Background, ...]
    foregrounds: tuple[Foreground, ...]
    depth_kind: DepthKind
    places: tuple[tuple[str, ...], ...] = ()
    distractors: tuple[Foreground, ...] = ()
    layout: FittedLayout | None = None
    classes: tuple[str, ...] = ()
