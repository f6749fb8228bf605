"""Validation of a network while it trains: its loss, and the mask IoU and depth delta < 1.25 that `evaluate` computes.

As there, a network predicts whole pictures, its predictions are resized back, and scores are means over pictures. With
several classes IoU is the mean over classes, each over the pixels of all pictures.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qumade.data.dataset import LabeledSample
from qumade.data.loader import Batch, read_ahead, to_batch
from qumade.depth.encoding import DepthEncoding
from qumade.metrics.alignment import default_alignment, default_clamp, depth_kind
from qumade.metrics.classes import class_ious, confusion_matrix, mean_iou
from qumade.metrics.ground_truth import ground_truth_of
from qumade.metrics.scores import delta1, mask_iou
from qumade.models.config import NetworkConfig
from qumade.models.network import probabilities
from qumade.models.resizing import most_probable_class, object_probability, resized, shrunk, working_size
from qumade.training.data_setup import Setup
from qumade.training.ema import share_statistics
from qumade.training.trainer import Trainer

__all__ = ["Group", "Scores", "groups_of", "validate", "validation_sums"]


@dataclass(frozen=True)
class Scores:
    """Means over pictures; None where no picture has such a label. With several classes `iou` is the mean of
    `class_ious`, and those are None for classes that no picture shows."""

    loss: float | None
    iou: float | None
    delta1: float | None
    class_ious: tuple[float | None, ...] = ()

    @classmethod
    def of(cls, sums: Tensor) -> "Scores":
        """Return the means from the sums of `validation_sums`, which may be added up over processes."""
        values = sums[:6].tolist()
        pairs = zip(values[0::2], values[1::2], strict=True)
        loss, iou, delta1 = (total / count if count and math.isfinite(total) else None for total, count in pairs)
        if len(sums) == 6:
            return cls(loss, iou, delta1)
        confusion = sums[6:].numpy().astype(np.int64)
        confusion = confusion.reshape(math.isqrt(confusion.size), -1)
        ious = tuple(None if math.isnan(iou) else iou for iou in class_ious(confusion).tolist())
        mean = mean_iou(confusion)
        return cls(loss, None if math.isnan(mean) else mean, delta1, ious)

    @property
    def score(self) -> float | None:
        """The score that decides which weights are best: the mean of IoU and delta1, or the one of them that exists."""
        known = [value for value in (self.iou, self.delta1) if value is not None]
        return sum(known) / len(known) if known else None


class Group(NamedTuple):
    """Samples that a network sees at the same size, and their batch at that size."""

    samples: list[LabeledSample]
    batch: Batch


def validate(setup: Setup, trainer: Trainer) -> Scores:
    """Evaluate the averaged weights on the validation samples, shared among the processes, in full precision."""
    accelerator, config, size = setup.accelerator, setup.network_config(), setup.config.batch_size
    mine = setup.validation[accelerator.process_index :: accelerator.num_processes].tolist()
    chunks = [mine[start : start + size] for start in range(0, len(mine), size)]

    def read(positions: list[int]) -> list[Group]:
        return groups_of(setup.main.read_many(positions), config.size)

    share_statistics(trainer.average)
    sums = validation_sums(
        trainer.average,
        trainer.objective,
        chain.from_iterable(read_ahead(read, chunks)),
        config=config,
        encoding=setup.main.depth_encoding,
        device=accelerator.device,
    )
    if accelerator.num_processes > 1:  # a single process keeps them on the CPU: not every device has 64-bit floats
        sums = accelerator.reduce(sums.to(accelerator.device)).cpu()
    return Scores.of(sums)


def groups_of(samples: Sequence[LabeledSample], trained: tuple[int, int]) -> list[Group]:
    """Group samples by the size at which a network that was trained at size `trained` (width, height) predicts them.

    Each batch holds whole samples, whatever their shape, and images exactly as `qumade.prediction` resizes them.
    """
    by_size: dict[tuple[int, int], list[LabeledSample]] = {}
    for sample in samples:
        height, width = sample.image.shape[:2]
        by_size.setdefault(working_size((width, height), trained), []).append(sample)
    groups = []
    for size, members in by_size.items():
        images = np.stack([shrunk(sample.image, size) for sample in members]).transpose(0, 3, 1, 2)
        labels = to_batch(members, size, crop=False)
        groups.append(Group(members, labels._replace(image=torch.from_numpy(images))))
    return groups


@torch.inference_mode()
def validation_sums(
    network: nn.Module,
    objective: nn.Module,
    groups: Iterable[Group],
    *,
    config: NetworkConfig,
    encoding: DepthEncoding | None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return float64 [6] on the CPU: sum and count over pictures of the loss, of IoU and of delta1. With several
    classes the confusion matrix of all pictures follows.

    `encoding` is that of the samples' depth, None without depth.
    """
    sums, classes = np.zeros(6), len(config.classes)
    confusion = np.zeros((classes + 1, classes + 1), np.int64)
    for samples, batch in groups:
        batch = batch.to(device)
        output = network(batch.image.contiguous(memory_format=torch.channels_last))
        loss = float(objective(output, batch)["loss"])
        sums[:2] += loss * len(samples), len(samples)
        masks, depths = probabilities(output.mask_logits).cpu().numpy(), output.inverse_depth.cpu().numpy()
        for sample, mask, depth in zip(samples, masks, depths, strict=True):
            if classes and sample.class_map is not None:
                found = most_probable_class(np.nan_to_num(mask), sample.image.shape[1::-1])
                confusion += confusion_matrix(found, sample.class_map, sample.ignore, classes)
            scores = _scores(sample, object_probability(mask), depth[0], config, encoding)
            sums[2::2] += np.nan_to_num(scores)
            sums[3::2] += ~np.isnan(scores)
    return torch.from_numpy(np.concatenate([sums, confusion.ravel()]) if classes else sums)


def _scores(
    sample: LabeledSample,
    mask: NDArray[np.float32],
    inverse_depth: NDArray[np.float32],
    config: NetworkConfig,
    encoding: DepthEncoding | None,
) -> NDArray[np.float64]:
    """Return IoU and delta1 of a prediction at the network's size, float64 [2], NaN where undefined.

    Non-finite predictions count as no object and infinitely far: training itself reports them.
    """
    truth, size = ground_truth_of(sample, encoding), sample.image.shape[1::-1]
    iou = delta = math.nan
    if truth.mask is not None and "mask" in config.trained_tasks:
        iou = mask_iou(resized(np.nan_to_num(mask), size), truth.mask)
    if truth.inverse_depth is not None and encoding is not None and "depth" in config.trained_tasks:
        alignment = default_alignment(config.depth_kind, depth_kind(encoding))
        prediction = resized(np.nan_to_num(inverse_depth), size)
        delta = delta1(prediction, truth.inverse_depth, alignment, default_clamp(encoding))
    return np.array([iou, delta])
