"""The horizon of a photo, estimated from its label map alone."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qumade import geometry
from qumade.assets.labels import standable, target_pixels

__all__ = ["HorizonEstimate", "estimate_horizon"]


class HorizonEstimate(NamedTuple):
    """Row of a level horizon, and whether the road's edges say so; else it is where the road ends, which is too low."""

    row: float
    converges: bool


def estimate_horizon(
    labels: NDArray[np.int32], road_ids: Iterable[int], sky_ids: Iterable[int]
) -> HorizonEstimate | None:
    """The horizon of a label map [H, W], None where it shows no road.

    The row where the road's edges meet (see `geometry.estimate_horizon`), else the highest row of the road, cleaned of
    what cannot be ground. On the 24 bundled scenes the edges meet at most 0.5 px (0.13 % of the height) off the true
    horizon, in the median 0.2 px. In 468 hand-labelled frames of CamVid, whose three cameras hardly move against the
    horizon, they meet in 61 %, there 1.5 % of the height off each camera's median, in the median; in the others the
    road ends 2 to 5 % of the height below it.
    """
    road, sky = target_pixels(labels, road_ids), target_pixels(labels, sky_ids)
    row = geometry.estimate_horizon(road, sky)
    if row is not None:
        return HorizonEstimate(row, True)
    rows = np.flatnonzero(standable(labels, road_ids, sky_ids, None).any(axis=1))
    return HorizonEstimate(float(rows[0]), False) if rows.size else None
