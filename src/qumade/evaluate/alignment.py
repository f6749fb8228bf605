"""What must be fitted before a predicted depth map can be judged, and between which ends depth is judged at all.

Maps hold inverse depth: 0 infinitely far, larger is nearer, NaN unknown.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qumade.depth.encoding import DepthEncoding
from qumade.errors import QumadeError

__all__ = [
    "Aligned",
    "Alignment",
    "Clamp",
    "DepthKind",
    "align",
    "default_alignment",
    "default_clamp",
    "depth_kind",
    "judged_truth",
]

DepthKind = Literal["metric", "scaled", "affine"] | None
Alignment = Literal["none", "scale", "scale and shift"]

FAR_M, NEAR_M = 80.0, 1e-3  # as everyone judges KITTI (Eigen et al. 2014, Garg et al. 2016)
FAR_SHARE = 0.02
"""Far end of the clamp as a share of the range, where depth has no unit. Five codes of an 8-bit map lie below it, so
that rounding to the nearest code, 10 % there, is well inside delta < 1.25; with the lower edge of a street photo about
5 m away it lies beyond 80 m."""
STRENGTH: tuple[Alignment, ...] = ("none", "scale", "scale and shift")


class Clamp(NamedTuple):
    """Ends of the inverse depth that is judged, 0 < far < near, in the unit of the truth."""

    far: float
    near: float


class Aligned(NamedTuple):
    """A prediction brought to the truth: scale * prediction + shift, float64 [H, W]; NaN all over where nothing could
    be fitted."""

    inverse_depth: NDArray[np.float64]
    scale: float
    shift: float


def depth_kind(code: DepthEncoding) -> DepthKind:
    """Return what is known of the truth; None also where each picture is coded over its own range."""
    return None if code.range == "image" else code.kind


def default_alignment(*kinds: DepthKind) -> Alignment:
    """Return the least alignment under which depth of all these kinds may be compared: the weakest kind decides."""
    needed: dict[DepthKind, Alignment] = {"metric": "none", "scaled": "scale"}
    return max((needed.get(kind, "scale and shift") for kind in kinds), key=STRENGTH.index, default="none")


def default_clamp(code: DepthEncoding) -> Clamp:
    """Return the clamp for truth that is coded so: 80 m to 1 mm for metric depth, else 2 % to 100 % of the range.

    The near end is never nearer than the nearest code, which stands for everything that is nearer still.
    """
    kind = depth_kind(code)
    near = code.range[1] if isinstance(code.range, tuple) else None
    if kind == "metric":
        return Clamp(1 / FAR_M, 1 / NEAR_M if near is None else min(1 / NEAR_M, max(near, 2 / FAR_M)))
    near = 1.0 if near is None or kind != "scaled" else near
    return Clamp(FAR_SHARE * near, near)


def judged_truth(inverse_depth: NDArray[np.float32], code: DepthEncoding) -> NDArray[np.float64]:
    """Return the truth as it is judged, float64: affine inverse depth over its range as [0, 1], for its own zero means
    nothing; other kinds as they are."""
    truth = inverse_depth.astype(np.float64)
    if depth_kind(code) not in ("metric", "scaled") and isinstance(code.range, tuple):
        far, near = code.range
        truth = (truth - far) / (near - far)
    return truth


def align(prediction: NDArray[np.floating], truth: NDArray[np.floating], alignment: Alignment, clamp: Clamp) -> Aligned:
    """Fit a prediction to the truth on the known pixels that are not farther than the clamp's far end.

    scale: the ratio of the medians of inverse depth (Zhou et al. 2017, there of depth); 0 where the predicted median
    is not positive. scale and shift: least squares in inverse depth (Ranftl et al. 2022, MiDaS); scale 0 where the
    prediction is constant. Raises QumadeError where the prediction has another shape or is not finite.
    """
    if prediction.shape != truth.shape:
        raise QumadeError(f"Invalid prediction: got depth of shape {prediction.shape}; must be {truth.shape}")
    if not np.isfinite(prediction).all():
        raise QumadeError("Invalid prediction: got depth that is infinite or not a number; must be finite")
    predicted = prediction.astype(np.float64)
    scale, shift = 1.0, 0.0
    if alignment != "none":
        fitted = truth >= clamp.far
        p, t = predicted[fitted], truth[fitted].astype(np.float64)
        if p.size == 0:
            scale = shift = np.nan
        elif alignment == "scale":
            middle = float(np.median(p))
            scale = float(np.median(t)) / middle if middle > 0 else 0.0
        else:
            scale, shift = _least_squares(p, t)
        predicted = scale * predicted + shift
    return Aligned(predicted, scale, shift)


def _least_squares(p: NDArray[np.float64], t: NDArray[np.float64]) -> tuple[float, float]:
    p_mean, t_mean = float(p.mean()), float(t.mean())
    spread = p - p_mean
    variance = float(spread @ spread)
    # rounding alone gives a constant some spread
    constant = variance <= p.size * (1e-12 * max(abs(p_mean), 1e-300)) ** 2
    scale = 0.0 if constant else float(spread @ (t - t_mean)) / variance
    return scale, t_mean - scale * p_mean
