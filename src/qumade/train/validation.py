"""Quick judgement of a network while it trains: loss, mask IoU and depth delta < 1.25, each the mean over pictures."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qumade.data.loader import Batch, ordered_batches
from qumade.train.data_setup import Setup
from qumade.train.trainer import Trainer

__all__ = ["Scores", "delta_of_pictures", "iou_of_pictures", "validate", "validation_sums"]

FLOOR = 0.01  # of the range of inverse depth: what is farther takes no part in delta


@dataclass(frozen=True)
class Scores:
    """Means over pictures; None where no picture has such a label."""

    loss: float | None
    iou: float | None
    delta1: float | None

    @classmethod
    def of(cls, sums: Tensor) -> "Scores":
        """From what `validation_sums` returned, also added up over processes."""
        values = sums.tolist()
        pairs = zip(values[0::2], values[1::2], strict=True)
        means = [total / count if count and math.isfinite(total) else None for total, count in pairs]
        return cls(*means)

    @property
    def score(self) -> float | None:
        """What "best" means: the mean of those of IoU and delta1 that are there."""
        known = [value for value in (self.iou, self.delta1) if value is not None]
        return sum(known) / len(known) if known else None


def validate(setup: Setup, trainer: Trainer) -> Scores:
    """Evaluate the averaged weights on the validation samples, shared among the processes, in full precision."""
    accelerator, network = setup.accelerator, setup.network_config()
    mine = setup.validation[accelerator.process_index :: accelerator.num_processes]
    sums = torch.zeros(6, dtype=torch.float64)
    if len(mine):
        batches = ordered_batches(
            setup.main, mine, size=network.size, batch_size=setup.config.batch_size, device=accelerator.device
        )
        sums = validation_sums(
            trainer.average,
            trainer.objective,
            batches,
            kind=network.depth_kind,
            span=network.inverse_depth_limits,
        )
    if accelerator.num_processes > 1:  # one process keeps them on the CPU: not every device has 64-bit floats
        sums = accelerator.reduce(sums.to(accelerator.device)).cpu()
    return Scores.of(sums)


@torch.inference_mode()
def validation_sums(
    network: nn.Module, objective: nn.Module, batches: Iterable[Batch], *, kind: str | None, span: tuple[float, float]
) -> Tensor:
    """Return float64 [6]: sum and count over pictures of loss, of IoU and of delta1."""
    sums = torch.zeros(6, dtype=torch.float64)
    for batch in batches:
        output = network(batch.image.contiguous(memory_format=torch.channels_last))
        loss = objective(output, batch)["loss"]
        pictures = batch.image.shape[0]
        iou = iou_of_pictures(output.mask_logits, batch.mask)
        delta = delta_of_pictures(output.inverse_depth, batch.inverse_depth, kind=kind, span=span)
        terms = [loss * pictures, loss.new_tensor(pictures), *(part for x in (iou, delta) for part in _sum_known(x))]
        sums += torch.stack(terms).cpu().double()  # not every device has 64 bits
    return sums


def iou_of_pictures(logits: Tensor, target: Tensor) -> Tensor:
    """Return the IoU of each picture [N], both cut at one half; NaN where neither shows an object.

    Mask logits and coverage [N, 1, H, W]; coverage NaN takes no part.
    """
    known = ~torch.isnan(target)
    predicted, true = (logits >= 0) & known, (target >= 0.5) & known
    together = (predicted & true).sum((1, 2, 3))
    either = (predicted | true).sum((1, 2, 3))
    return together / torch.where(either > 0, either, torch.nan)


def delta_of_pictures(prediction: Tensor, target: Tensor, *, kind: str | None, span: tuple[float, float]) -> Tensor:
    """Return the share of pixels of each picture [N] whose depth is right within a factor of 1.25; NaN without any.

    Inverse depth [N, 1, H, W]. Metric depth is taken as it is; scaled depth after division by the ratio of the medians;
    other kinds after the least-squares scale and shift of inverse depth. Pixels whose true inverse depth is unknown or
    below a hundredth of `span` (far, near) above its far end take no part.
    """
    prediction, target = prediction.flatten(1).float(), target.flatten(1).float()
    floor = FLOOR * (span[1] - span[0]) + max(span[0], 0.0)
    known = target >= floor  # also not NaN
    target = torch.where(known, target, torch.nan)
    prediction = torch.where(known, prediction, torch.nan)
    if kind == "scaled":
        ratio = target.nanmedian(1, keepdim=True).values / prediction.nanmedian(1, keepdim=True).values.clamp(min=1e-6)
        prediction = prediction * ratio
    elif kind != "metric":
        prediction = _aligned(prediction, target)
    prediction = prediction.clamp(min=floor)
    right = torch.maximum(prediction / target, target / prediction) < 1.25
    return right.sum(1) / torch.where(known.any(1), known.sum(1), torch.nan)


def _aligned(prediction: Tensor, target: Tensor) -> Tensor:
    mean_prediction, mean_target = prediction.nanmean(1, keepdim=True), target.nanmean(1, keepdim=True)
    centred = prediction - mean_prediction
    variance = (centred * centred).nanmean(1, keepdim=True)
    scale = (centred * (target - mean_target)).nanmean(1, keepdim=True) / variance.clamp(min=1e-12)
    return centred * scale + mean_target


def _sum_known(values: Tensor) -> tuple[Tensor, Tensor]:
    known = torch.isfinite(values)
    return torch.where(known, values, 0.0).sum(), known.sum().to(values.dtype)
