"""Choose the depth encoding of a recipe's dataset: one encoding for the whole dataset."""

from typing import Literal

from qumade.assets.catalog import Catalog
from qumade.depth.encoding import KITTI_SCALE, DepthEncoding, DepthKind
from qumade.recipe import Recipe

__all__ = ["layered_encoding", "predicted_encoding"]

_NEAR: dict[DepthKind, float] = {"metric": 0.5, "scaled": 1.5, "affine": 1.0}


def layered_encoding(recipe: Recipe, catalog: Catalog) -> DepthEncoding:
    """Return the encoding of layered depth for the kind of the catalog's depth."""
    return _encoding(recipe, catalog.depth_kind, "prior" if recipe.depths is None else "depths")


def predicted_encoding(recipe: Recipe, kind: DepthKind, teacher_sha256: str) -> DepthEncoding:
    """Return the encoding of depth of this kind that a teacher predicts from each composite."""
    encoding = _encoding(recipe, kind, "composite")
    # Factor and shift of affine predictions differ between images, so no range fits all of them.
    limits = "image" if kind == "affine" else encoding.range
    return encoding.model_copy(update={"range": limits, "teacher_sha256": teacher_sha256})


def _encoding(recipe: Recipe, kind: DepthKind, source: str) -> DepthEncoding:
    bits: Literal[8, 16] = 8 if recipe.encoding == "jpeg" else 16
    if kind == "metric" and bits == 16:
        return DepthEncoding(kind=kind, source=source, code="metres", bits=16, depth_scale=KITTI_SCALE)
    near = recipe.depth_near or _NEAR[kind]
    limits: tuple[float, float] | Literal["image"] = (0.0, near) if recipe.depth_quantization == "dataset" else "image"
    return DepthEncoding(kind=kind, source=source, code="inverse", bits=bits, range=limits)
