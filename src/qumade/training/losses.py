"""Losses of masks and of inverse depth. Pixels whose target is NaN are left out; without known targets a loss is 0."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from qumade.data.loader import Batch
from qumade.models.network import Output, probabilities

__all__ = [
    "DepthLoss", "LossName", "MaskLoss", "Objective", "TaskWeights", "bce_dice", "class_dice", "scale_invariant_log",
    "scale_shift_invariant", "structural_l1",
]  # fmt: skip

MaskLoss = Literal["bce_dice", "ms_ssim_l1"]
DepthLoss = Literal["silog_ssi", "silog", "ssi", "ms_ssim_l1"]
TaskWeights = Literal["fixed", "uncertainty"]
LossName = MaskLoss | DepthLoss

_SMOOTH = 1.0  # pixels
_BOUNDARY = 10.0  # additional weight of a pixel at an object's boundary
_SHAPES = 0.5  # weight of ssi in silog_ssi
_FLOOR = 0.01  # of the range: beyond a hundred times the nearest distance all pixels count as equally far
_LEAST_DEVIATION = 1e-4  # of the range: a map without structure must not be divided by its rounding errors
_MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _SIGMA = 11, 1.5


def bce_dice(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy plus Dice loss (F. Milletari et al., "V-Net", 3DV 2016) of mask logits [N, 1, H, W].

    `target` in [0, 1]. Cross-entropy weights pixels at an object's boundary up to 11 times (as O. Ronneberger et al.,
    "U-Net", MICCAI 2015, between objects): they are few, but most of the wrong ones. Dice is computed per picture;
    where neither shows an object it is almost 0.
    """
    known, target = _known(target)
    if not known.any():
        return _nothing(logits)
    weight = known.to(logits.dtype)
    emphasis = weight * (1 + _BOUNDARY * _boundary(target, weight))
    entropy = functional.binary_cross_entropy_with_logits(logits, target, emphasis, reduction="sum")
    # The target is 0 where it is unknown.
    probability, target, pixels = (layer.flatten(1) for layer in (torch.sigmoid(logits), target, weight))
    overlap: Tensor = torch.linalg.vecdot(probability, target)
    total: Tensor = torch.linalg.vecdot(probability, pixels) + target.sum(1)
    dice = 1 - (2 * overlap + _SMOOTH) / (total + _SMOOTH)
    count = pixels.sum(1)
    return entropy / count.sum() + dice[count > 0].mean()


def class_dice(logits: Tensor, target: Tensor) -> Tensor:
    """The loss of `bce_dice` for several classes: cross-entropy over background and classes plus the mean Dice loss of
    the classes.

    `logits` [N, K, H, W] are those of `probabilities`; `target` [N, 1, H, W] is 0 for the background, k for class k.
    Boundaries lie between pixels of different classes too."""
    known, target = _known(target)
    if not known.any():
        return _nothing(logits)
    weight = known.to(logits.dtype)
    shown = target == torch.arange(1, logits.shape[1] + 1, device=logits.device).view(1, -1, 1, 1)
    total = torch.logsumexp(torch.cat([torch.zeros_like(logits[:, :1]), logits], 1), 1, keepdim=True)
    entropy = total - (logits * shown).sum(1, keepdim=True)
    emphasis = weight * (1 + _BOUNDARY * _class_boundary(target, known))
    probability = ((logits - total).exp() * weight).flatten(2)
    overlap = (probability * shown.flatten(2)).sum(2)
    sizes = probability.sum(2) + (shown * weight).flatten(2).sum(2)
    dice = 1 - (2 * overlap + _SMOOTH) / (sizes + _SMOOTH)
    count = weight.flatten(1).sum(1)
    return (entropy * emphasis).sum() / count.sum() + dice[count > 0].mean()


def _class_boundary(target: Tensor, known: Tensor) -> Tensor:
    """Return 1 for known pixels [N, 1, H, W] with a known neighbour of another class, else 0."""
    largest = target.max() + 1
    most = functional.max_pool2d(target, 3, 1, 1)  # 0 where unknown
    least = -functional.max_pool2d(torch.where(known, -target, -largest), 3, 1, 1)
    return (known & (most > least)).to(target.dtype)


def _boundary(target: Tensor, weight: Tensor) -> Tensor:
    """Return how much known pixels [N, 1, H, W] differ from their known neighbours, 0..1. `target` is 0 where `weight`
    is."""
    most, least = (functional.max_pool2d(each, 3, 1, 1) for each in (target, (1 - target) * weight))
    return most + least - 1


def scale_invariant_log(
    prediction: Tensor, target: Tensor, span: tuple[float, float], variance_focus: float = 0.85, *, soft: bool = True
) -> Tensor:
    """SILog (D. Eigen et al., NIPS 2014), sqrt(mean d^2 - focus (mean d)^2) of d = log prediction - log target.

    Inverse depth [N, 1, H, W] within `span` (far, near). Means are over the batch, as in J. H. Lee et al., 2019; the
    square root makes the gradient independent of the size of the error. Below a hundredth of the range all pixels count
    as equally far. A nearer pixel that is predicted to be there has no gradient, unless `soft` continues the logarithm
    of the prediction by its tangent.
    """
    known, target = _known(target)
    if not known.any():
        return _nothing(prediction)
    far, near = span
    floor = _FLOOR * (near - far)
    predicted = torch.log((prediction - far).clamp(min=floor))
    if soft:
        tangent = math.log(floor) + (prediction - far) / floor - 1
        predicted = torch.where((prediction - far < floor) & (target - far > floor), tangent, predicted)
    logs = predicted - torch.log((target - far).clamp(min=floor))
    weight = known.to(logs.dtype).flatten()
    difference, pixels = logs.flatten() * weight, weight.sum()
    variance = difference.dot(difference) / pixels - variance_focus * (difference.sum() / pixels).square()
    return torch.sqrt(variance.clamp(min=0) + 1e-8)


def scale_shift_invariant(
    prediction: Tensor, target: Tensor, span: tuple[float, float] = (0.0, 1.0), scales: int = 4
) -> Tensor:
    """Scale- and shift-invariant loss with gradients at several scales (R. Ranftl et al., "Towards robust monocular
    depth estimation", TPAMI 2022). For each picture of inverse depth [N, 1, H, W], prediction and target are compared
    after subtracting their own medians and dividing by their own mean deviations from these, at least a ten-thousandth
    of the range `span` (far, near).

    The paper's other alignment, least squares, is not used: there a prediction may lose its correlation with the
    target, since the fitted scale then goes to 0, and with it all gradients between pixels."""
    known, target = _known(target)
    weight = known.to(prediction.dtype)
    count = weight.sum((1, 2, 3))
    # A scale and a shift fit two pixels perfectly.
    pictures = count > 2
    if not pictures.any():
        return _nothing(prediction)
    prediction, target, weight, count = prediction[pictures], target[pictures], weight[pictures], count[pictures]
    least = _LEAST_DEVIATION * (span[1] - span[0])
    error = _standardised(prediction, weight, count, least) - _standardised(target, weight, count, least)
    loss = ((error.abs() * weight).sum((1, 2, 3)) / count).mean()
    for level in range(scales):
        step = 2**level
        part, seen = error[..., ::step, ::step], weight[..., ::step, ::step]
        across = (part[..., :, 1:] - part[..., :, :-1]).abs() * seen[..., :, 1:] * seen[..., :, :-1]
        down = (part[..., 1:, :] - part[..., :-1, :]).abs() * seen[..., 1:, :] * seen[..., :-1, :]
        pixels = seen.sum((1, 2, 3)).clamp(min=1.0)
        loss = loss + 0.5 * ((across.sum((1, 2, 3)) + down.sum((1, 2, 3))) / pixels).mean()
    return loss


def structural_l1(prediction: Tensor, target: Tensor) -> Tensor:
    """The loss of the original notebooks, 0.84 (1 - MS-SSIM) / 2 + 0.16 L1, of maps [N, 1, H, W] in [0, 1].

    After H. Zhao et al., "Loss functions for image restoration with neural networks", TCI 2017. Pictures too small for
    five scales are compared at as many as fit. MS-SSIM is averaged over pictures with a known pixel, L1 over known
    pixels.
    """
    known, target = _known(target)
    pictures = known.flatten(1).any(dim=1)
    if not pictures.any():
        return _nothing(prediction)
    prediction, target, known = prediction[pictures], target[pictures], known[pictures]
    absolute = ((prediction - target).abs() * known).sum() / known.sum()
    # An unknown pixel takes the predicted value in both maps: it adds no structure of its own and no gradient.
    unmoved = prediction.detach()
    similarity = _ms_ssim(torch.where(known, prediction, unmoved), torch.where(known, target, unmoved))
    return 0.84 * (1 - similarity) / 2 + 0.16 * absolute


class Objective(nn.Module):
    """Total loss of a batch: mask and depth loss, weighted by fixed weights or by uncertainty (A. Kendall et al.,
    "Multi-task learning using uncertainty to weigh losses", CVPR 2018), whose two log variances are learned."""

    def __init__(
        self,
        mask: MaskLoss = "bce_dice",
        depth: DepthLoss = "silog_ssi",
        *,
        span: tuple[float, float] = (0.0, 1.0),
        weights: tuple[float, float] = (1.0, 1.0),
        task_weights: TaskWeights = "fixed",
    ) -> None:
        """`span` is (far, near) inverse depth, `weights` the fixed weights of mask and depth."""
        super().__init__()
        for what, value, allowed in (
            ("mask loss", mask, get_args(MaskLoss)),
            ("depth loss", depth, get_args(DepthLoss)),
        ):
            if value not in allowed:
                raise ValueError(f"Invalid {what}: got {value!r}; must be one of {', '.join(allowed)}")
        self.mask, self.depth, self.span, self.weights = mask, depth, span, weights
        self.log_variances = nn.Parameter(torch.zeros(2)) if task_weights == "uncertainty" else None

    def forward(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Return "loss", the total with its gradient, and its parts "mask" and "depth"."""
        parts = {"mask": self._mask(output, batch), "depth": self._depth(output, batch)}
        if self.log_variances is None:
            total = self.weights[0] * parts["mask"] + self.weights[1] * parts["depth"]
        else:
            terms = torch.stack([parts["mask"], parts["depth"]])
            # A task without labels in the batch must not change its weight.
            present = torch.stack([known.isfinite().any() for known in (batch.mask, batch.inverse_depth)])
            total = ((torch.exp(-self.log_variances) * terms + 0.5 * self.log_variances) * present).sum()
        return {"loss": total, **parts}

    def _mask(self, output: Output, batch: Batch) -> Tensor:
        logits, target = output.mask_logits, batch.mask
        classes = logits.shape[1]
        if self.mask == "bce_dice":
            return bce_dice(logits, target) if classes == 1 else class_dice(logits, target)
        probability = probabilities(logits)
        if classes > 1:  # each class of a picture is a map of its own
            numbers = torch.arange(1, classes + 1, device=target.device).view(1, -1, 1, 1)
            target = torch.where(torch.isnan(target), target, (target == numbers).to(target.dtype)).flatten(0, 1)[
                :, None
            ]
            probability = probability.flatten(0, 1)[:, None]
        return structural_l1(probability, target)

    def _depth(self, output: Output, batch: Batch) -> Tensor:
        prediction, target = output.inverse_depth, batch.inverse_depth
        far, near = self.span
        if self.depth == "silog":
            return scale_invariant_log(prediction, target, self.span)
        if self.depth == "ssi":
            return scale_shift_invariant(prediction, target, self.span)
        if self.depth == "silog_ssi":
            # silog learns far depth by ratio, ssi the shape of near objects: a quarter of the pixels suffices for it.
            # ssi also moves what silog leaves at the floor.
            ratios = scale_invariant_log(prediction, target, self.span, soft=False)
            shapes = scale_shift_invariant(prediction[..., ::2, ::2], target[..., ::2, ::2], self.span)
            return ratios + _SHAPES * shapes
        return structural_l1((prediction - far) / (near - far), (target - far) / (near - far))


def _known(target: Tensor) -> tuple[Tensor, Tensor]:
    """Return which pixels are known, bool, and the target with 0 elsewhere: NaN times 0 would still be NaN."""
    known = ~torch.isnan(target)
    return known, torch.where(known, target, torch.zeros_like(target))


def _nothing(prediction: Tensor) -> Tensor:
    return prediction.sum() * 0.0


def _standardised(values: Tensor, weight: Tensor, count: Tensor, least: float) -> Tensor:
    """Return each picture minus its median, divided by the mean deviation from it, at least `least`."""
    median = values.masked_fill(weight == 0, math.nan).flatten(1).nanmedian(dim=1).values.view(-1, 1, 1, 1)
    deviation = (((values - median).abs() * weight).sum((1, 2, 3)) / count).clamp(min=least)
    return (values - median) / deviation.view(-1, 1, 1, 1)


def _ms_ssim(one: Tensor, two: Tensor) -> Tensor:
    """Return the mean multi-scale SSIM of maps in [0, 1] (Z. Wang et al., Asilomar 2003)."""
    room = min(one.shape[-2:])
    scales = max(1, min(5, 1 + int(torch.log2(torch.tensor(room / _WINDOW)).floor()) if room >= _WINDOW else 1))
    weights = torch.tensor(_MS_SSIM_WEIGHTS[:scales], dtype=one.dtype, device=one.device)
    weights = weights / weights.sum()
    result = torch.ones(one.shape[0], dtype=one.dtype, device=one.device)
    for scale in range(scales):
        luminance, contrast = _ssim(one, two)
        value = contrast * luminance if scale == scales - 1 else contrast
        # A negative contrast has no real root.
        result = result * value.mean((1, 2, 3)).clamp(min=1e-4) ** weights[scale]
        if scale < scales - 1:
            one, two = functional.avg_pool2d(one, 2), functional.avg_pool2d(two, 2)
    return result.mean()


def _ssim(one: Tensor, two: Tensor) -> tuple[Tensor, Tensor]:
    """Return the luminance and contrast-structure terms of SSIM for each window inside the picture."""
    size = min(_WINDOW, *one.shape[-2:])
    place = torch.arange(size, dtype=one.dtype, device=one.device) - (size - 1) / 2
    row = torch.exp(-place.square() / (2 * _SIGMA**2))
    row = row / row.sum()

    def blurred(values: Tensor) -> Tensor:
        values = functional.conv2d(values, row.view(1, 1, 1, -1))
        return functional.conv2d(values, row.view(1, 1, -1, 1))

    mean_one, mean_two = blurred(one), blurred(two)
    variance_one = blurred(one * one) - mean_one.square()
    variance_two = blurred(two * two) - mean_two.square()
    covariance = blurred(one * two) - mean_one * mean_two
    low, high = 0.01**2, 0.03**2
    luminance = (2 * mean_one * mean_two + low) / (mean_one.square() + mean_two.square() + low)
    contrast = (2 * covariance + high) / (variance_one + variance_two + high)
    return luminance, contrast
