"""How far the layout of one set of pictures is from that of another."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qumade.assets.scene_layout import ROWS, SceneLayout

__all__ = ["Distance", "LayoutDistances", "format_distances", "layout_distances"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Distance:
    """Two distances of two histograms.

    `total_variation` is half the sum of the differences of their shares: 0 if equal, 1 if they have nothing in common.
    `wasserstein` is the 1-Wasserstein distance, the mean way from the one to the other, in the unit of the histogram.
    """

    total_variation: float
    wasserstein: float


@dataclass(frozen=True)
class LayoutDistances:
    """Distances of two layouts: of the number of objects in the pictures that show one (None if unknown), in objects;
    of the sizes, in octaves of sqrt(box area / picture area); of the rows of the boxes' lower edges, in shares of the
    height."""

    number: Distance | None
    size: Distance
    row: Distance

    def as_json(self) -> dict[str, Any]:
        """Return plain dicts and numbers."""
        return asdict(self)


def layout_distances(one: SceneLayout, other: SceneLayout) -> LayoutDistances:
    """Return the distances of two layouts."""
    numbers = one.numbers[1:], other.numbers[1:]
    return LayoutDistances(
        number=_distance(*numbers, 1.0) if min(part.sum() for part in numbers) > 0 else None,
        size=_distance(one.table.sum(0), other.table.sum(0), 0.5),
        row=_distance(one.table.sum(1), other.table.sum(1), 1 / ROWS),
    )


def format_distances(distances: LayoutDistances) -> str:
    """Return the distances as a plain-text table."""
    lines = [f"{'':14}{'total variation':>16}{'Wasserstein':>13}"]
    for name, unit in (("number", "objects"), ("size", "octaves"), ("row", "of the height")):
        found: Distance | None = getattr(distances, name)
        values = (
            "         unknown" if found is None else f"{found.total_variation:16.3f}{found.wasserstein:13.3f} {unit}"
        )
        lines.append(f"{name:14}{values}")
    return "\n".join(lines)


def _distance(one: Floats, other: Floats, bin_width: float) -> Distance:
    difference = one / one.sum() - other / other.sum()
    total_variation = float(np.abs(difference).sum()) / 2
    return Distance(total_variation, float(np.abs(np.cumsum(difference)).sum()) * bin_width)
