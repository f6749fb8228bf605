"""The ground truth of a sample, as metrics take it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qumade.data.dataset import LabeledSample
from qumade.depth.encoding import DepthEncoding
from qumade.metrics.alignment import depth_kind

__all__ = ["GroundTruth", "ground_truth_of"]


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Coverage float32 [H, W] in [0, 1] and inverse depth float64 [H, W]; NaN where a pixel is unknown or ignored, None
    where the sample has no such label."""

    mask: NDArray[np.float32] | None
    inverse_depth: NDArray[np.float64] | None


def ground_truth_of(sample: LabeledSample, encoding: DepthEncoding | None) -> GroundTruth:
    """Return the ground truth of a sample. Without the dataset's depth `encoding` its depth is left out.

    Affine inverse depth is scaled from its range to [0, 1], since its own zero has no meaning.
    """
    mask = None if sample.mask is None else sample.mask.astype(np.float32) / np.float32(255)
    depth = None
    if sample.inverse_depth is not None and encoding is not None:
        depth = sample.inverse_depth.astype(np.float64)
        if depth_kind(encoding) not in ("metric", "scaled") and isinstance(encoding.range, tuple):
            far, near = encoding.range
            depth = (depth - far) / (near - far)
    if sample.ignore is not None:
        for values in (mask, depth):
            if values is not None:
                values[sample.ignore] = np.nan
    return GroundTruth(mask, depth)
