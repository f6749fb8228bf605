"""The inverse depth that a network can predict, from that of its datasets, and the units in which these have it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qumade.data.folder import FolderDataset
from qumade.data.mixture import Ingredient, Mixture
from qumade.data.synthetic import SyntheticDataset
from qumade.depth.encoding import DepthKind
from qumade.metrics.alignment import depth_kind
from qumade.plan.indices import stratified_indices
from qumade.training.losses import DepthLoss

__all__ = ["DepthRange", "default_depth_loss", "kind_of_depth", "note_on_units"]

METRIC_NEAR = 0.5  # 1/m, the default of recipes
MEASURED_PICTURES = 128
CHECKED_COMPOSITES = 32  # drawing them takes longer than reading a file
# Pixels beyond this share may be wrong: in 16 bits one level above 0 m is 256/m, and all others would be almost 0.
NEAR_SHARE = 0.999
NEAR_MARGIN = 1.25  # for nearer pixels that these samples do not show
MEASURED_DEPTHS = 4096  # of a picture

Limits = tuple[float, float]


def default_depth_loss(mixture: Mixture) -> DepthLoss:
    """Return the loss of depth for what the depth of a mixture means."""
    if _in_units_of_their_own(mixture.ingredients) or mixture.depth_kind not in ("metric", "scaled"):
        return "ssi"
    return "silog_ssi"


def kind_of_depth(mixture: Mixture, loss: DepthLoss | None) -> DepthKind | None:
    """Return what the depth means that a network learns: that of datasets in units of their own, each picture with its
    own scale and shift, is affine."""
    return "affine" if loss == "ssi" and _in_units_of_their_own(mixture.ingredients) else mixture.depth_kind


def note_on_units(ingredients: Sequence[Ingredient], given: DepthLoss | None) -> str | None:
    """Return a line for the user where datasets have depth in units of their own; `given` is the loss of a config."""
    if not _in_units_of_their_own(ingredients) or given == "ssi":
        return None
    names = ", ".join(part.dataset.name for part in _with_depth(ingredients))
    own = "each picture's own scale and shift"
    if given is None:
        return f"The depth of {names} is in units of their own: the depth loss is ssi, which fits {own}"
    return (
        f"The depth of {names} is in units of their own, and {given} compares them as if it were one: --depth-loss ssi "
        f"fits {own}"
    )


class DepthRange:
    """Finds and checks the range of depth for the datasets of a mixture; reads samples of each at most once."""

    def __init__(self, ingredients: Sequence[Ingredient]) -> None:
        self._parts = _with_depth(ingredients)
        self._known: dict[int, NDArray[np.float32]] = {}

    def found(self) -> tuple[Limits, list[str]]:
        """Return (far, near) inverse depth of the first dataset with depth and of all others in its unit, and lines for
        the user on what was measured."""
        metric = bool(self._parts) and _kind(self._parts[0]) == "metric"
        same = [part for part in self._parts if metric and _kind(part) == "metric"] or self._parts[:1]
        ranges, notes = [], []
        for part in same:
            limits, note = self._range_of(part)
            ranges.append(limits)
            notes += [note] if note else []
        if not ranges:
            return (0.0, 1.0), []
        return (min(far for far, _ in ranges), max(near for _, near in ranges)), notes

    def notes_on(self, limits: Limits, loss: DepthLoss | None) -> list[str]:
        """Return a line for each dataset with much depth nearer than `limits`, which a network cannot predict. With the
        loss ssi a picture's depth has no place in the range."""
        notes = []
        for part in self._parts if loss != "ssi" else ():
            code = part.dataset.depth_encoding
            if code is None or (code.code == "inverse" and (code.limits or (0.0, 1.0))[1] <= limits[1]):
                continue  # no level is nearer
            pixels = self._pixels(part)
            share = float((pixels > limits[1]).mean()) if len(pixels) else 0.0
            if share >= 1 - NEAR_SHARE:
                reached = float(np.quantile(pixels, NEAR_SHARE))
                notes.append(
                    f"{100 * share:.2g} % of the depth of {part.dataset.name} is nearer than the range of the network, "
                    f"which ends at inverse depth {limits[1]:.3g}, and cannot be predicted: {100 * NEAR_SHARE:g} % of "
                    f"it is below {reached:.3g}; --inverse-depth-limits sets the range"
                )
        return notes

    def _range_of(self, part: Ingredient) -> tuple[Limits, str | None]:
        """Return (far, near) inverse depth of a dataset, and a line for the user if it was measured."""
        code = part.dataset.depth_encoding
        if code is None or code.code != "metres":
            return (0.0, 1.0) if code is None else code.limits or (0.0, 1.0), None
        recipe = _recipe(part)
        if recipe:
            near = recipe.get("depth_near")
            return (0.0, float(near) if isinstance(near, float | int) and near > 0 else METRIC_NEAR), None
        pixels = self._pixels(part)
        near = NEAR_MARGIN * float(np.quantile(pixels, NEAR_SHARE)) if len(pixels) else 0.0
        if not near > 0:
            return (0.0, METRIC_NEAR), (
                f"Nearest depth of {part.dataset.name}: {1 / METRIC_NEAR:g} m, since none of the measured training "
                "samples has known depth; --inverse-depth-limits overrides it"
            )
        return (0.0, near), (
            f"Nearest depth of {part.dataset.name}: {1 / near:.2g} m (inverse depth {near:.3g}), measured on "
            f"{min(MEASURED_PICTURES, len(part.positions))} training samples; --inverse-depth-limits overrides it"
        )

    def _pixels(self, part: Ingredient) -> NDArray[np.float32]:
        """Return known inverse depth of some training samples of a dataset."""
        known = self._known.get(id(part))
        if known is None:
            known = self._known[id(part)] = _known_depth(part)
        return known


def _with_depth(ingredients: Sequence[Ingredient]) -> list[Ingredient]:
    return [part for part in ingredients if part.has_depth]


def _kind(part: Ingredient) -> DepthKind | None:
    code = part.dataset.depth_encoding
    return None if code is None else depth_kind(code)


def _in_units_of_their_own(ingredients: Sequence[Ingredient]) -> bool:
    """Return whether several datasets have depth and not all are metric: a factor that is unknown differs."""
    kinds = [_kind(part) for part in _with_depth(ingredients)]
    return len(kinds) > 1 and any(kind != "metric" for kind in kinds)


def _recipe(part: Ingredient) -> Any:
    if isinstance(part.dataset, SyntheticDataset):
        return part.dataset.recipe.model_dump()
    if isinstance(part.dataset, FolderDataset) and part.dataset.metadata is not None:
        return part.dataset.metadata.recipe
    return None


def _known_depth(part: Ingredient) -> NDArray[np.float32]:
    limit = CHECKED_COMPOSITES if isinstance(part.dataset, SyntheticDataset) else MEASURED_PICTURES
    depths = [np.zeros(0, np.float32)]
    for position in part.positions[stratified_indices(len(part.positions), limit)].tolist():
        triple = part.dataset.read(position)
        if triple.inverse_depth is not None:
            counts = np.isfinite(triple.inverse_depth)
            known = triple.inverse_depth[counts if triple.ignore is None else counts & ~triple.ignore]
            # An odd step visits all columns of images that are 2^n wide.
            depths.append(known[:: len(known) // MEASURED_DEPTHS | 1])
    return np.concatenate(depths)
