"""Alignment of predicted depth with ground truth, and the limits between which depth is evaluated.

Maps hold inverse depth: 0 infinitely far, larger is nearer, NaN unknown.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qumade.depth import encoding
from qumade.depth.encoding import DepthEncoding
from qumade.errors import RunError

__all__ = [
    "Aligned",
    "Alignment",
    "Clamp",
    "DepthKind",
    "align",
    "default_alignment",
    "default_clamp",
    "depth_kind",
]

DepthKind = encoding.DepthKind | None
Alignment = Literal["none", "scale", "scale and shift"]

FAR_M, NEAR_M = 80.0, 1e-3  # the convention for KITTI (Eigen et al. 2014, Garg et al. 2016)
FAR_SHARE = 0.02
"""Far end of the clamp as a share of the range, where depth has no unit. Five levels of an 8-bit map lie below it, so
that rounding to the nearest level, 10 % there, stays well inside delta < 1.25. Where the lower edge of a street photo
is about 5 m away, it lies beyond 80 m."""
STRENGTH: tuple[Alignment, ...] = ("none", "scale", "scale and shift")


class Clamp(NamedTuple):
    """Limits of the inverse depth that is evaluated, 0 < far < near, in the unit of the ground truth."""

    far: float
    near: float


class Aligned(NamedTuple):
    """A prediction aligned with ground truth, scale * prediction + shift: float64 [H, W], all NaN where no pixel could
    be fitted. `swapped`: near and far are, so that only a scale below 0 would have fitted best."""

    inverse_depth: NDArray[np.float64]
    scale: float
    shift: float
    swapped: bool = False


def depth_kind(encoding: DepthEncoding) -> DepthKind:
    """Return the kind of encoded depth; None where it is unknown or each picture is encoded over its own range."""
    return None if encoding.range == "image" else encoding.kind


def default_alignment(*kinds: DepthKind) -> Alignment:
    """Return the least alignment that makes depth of all these kinds comparable: the weakest kind decides."""
    needed: dict[DepthKind, Alignment] = {"metric": "none", "scaled": "scale"}
    return max((needed.get(kind, "scale and shift") for kind in kinds), key=STRENGTH.index, default="none")


def default_clamp(encoding: DepthEncoding) -> Clamp:
    """Return the clamp for ground truth in this encoding: 80 m to 1 mm for metric depth, else 2 % to 100 % of the
    range.

    The near end is never nearer than the nearest level, which stands for everything nearer than itself.
    """
    kind, limits = depth_kind(encoding), encoding.limits
    near = None if limits is None else limits[1]
    if kind == "metric":
        return Clamp(1 / FAR_M, 1 / NEAR_M if near is None else min(1 / NEAR_M, max(near, 2 / FAR_M)))
    near = 1.0 if near is None or kind != "scaled" else near
    return Clamp(FAR_SHARE * near, near)


def align(prediction: NDArray[np.floating], truth: NDArray[np.floating], alignment: Alignment, clamp: Clamp) -> Aligned:
    """Fit predicted inverse depth [H, W] to ground truth [H, W] on the known pixels up to the clamp's far end.

    scale: the ratio of the medians of inverse depth (Zhou et al. 2017, there of depth); 0 where the predicted median
    is not positive. scale and shift: least squares in inverse depth (Ranftl et al. 2022, MiDaS) under scale >= 0, else
    depth that is inside out would fit as well as the right one; scale 0 where the prediction is constant. Raises
    QumadeError where the prediction has another shape or is not finite.
    """
    if prediction.shape != truth.shape:
        raise RunError(f"Invalid prediction: got depth of shape {prediction.shape}; must be {truth.shape}")
    if not np.isfinite(prediction).all():
        raise RunError("Invalid prediction: got non-finite depth; must be finite")
    predicted = prediction.astype(np.float64)
    scale, shift, swapped = 1.0, 0.0, False
    if alignment != "none":
        fitted = truth >= clamp.far
        p, t = predicted[fitted], truth[fitted].astype(np.float64)
        if p.size == 0:
            scale = shift = np.nan
        elif alignment == "scale":
            middle = float(np.median(p))
            scale = float(np.median(t)) / middle if middle > 0 else 0.0
        else:
            scale, shift, swapped = _least_squares(p, t)
        predicted = scale * predicted + shift
    return Aligned(predicted, scale, shift, swapped)


def _least_squares(p: NDArray[np.float64], t: NDArray[np.float64]) -> tuple[float, float, bool]:
    """Return scale >= 0, shift, and whether the scale would be below 0 otherwise.

    The error is convex in both. So where its minimum has a negative scale, the least one under scale >= 0 lies on the
    edge: scale 0, and the shift is the mean of the truth."""
    p_mean, t_mean = float(p.mean()), float(t.mean())
    spread = p - p_mean
    variance = float(spread @ spread)
    # rounding errors give a constant some spread
    constant = variance <= p.size * (1e-12 * max(abs(p_mean), 1e-300)) ** 2
    scale = 0.0 if constant else float(spread @ (t - t_mean)) / variance
    swapped = scale < 0
    scale = max(scale, 0.0)
    return scale, t_mean - scale * p_mean, swapped
