"""The horizon of a photo, estimated from its label map alone."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from qumade.assets.labels import standable, target_pixels

__all__ = ["estimate_horizon"]

_SKY_QUANTILE, _GROUND_QUANTILE = 0.995, 0.005
_LEAST_SHARE = 0.01


def estimate_horizon(labels: NDArray[np.int32], ground_ids: Iterable[int], sky_ids: Iterable[int]) -> float | None:
    """Row of the horizon of a label map [H, W], None where it shows too little ground.

    Ground lies below the horizon and sky above it. The upper end of the ground bounds it from below; where sky reaches
    lower than halfway down to that bound, as on open roads, it lies between the two, else (in streets) close to the
    ground's end.
    """
    height = labels.shape[0]
    ground = standable(labels, ground_ids, sky_ids, None)
    if ground.mean() < _LEAST_SHARE:
        return None
    rows = np.nonzero(ground)[0]
    ground_end = float(np.quantile(rows, _GROUND_QUANTILE))
    sky = target_pixels(labels, sky_ids)
    if sky.mean() < _LEAST_SHARE:
        return ground_end
    sky_rows = np.nonzero(sky)[0]
    sky_end = min(float(np.quantile(sky_rows, _SKY_QUANTILE)) + 1, ground_end)
    return (ground_end + sky_end) / 2 if ground_end - sky_end < 0.1 * height else ground_end
