"""Self-training on unlabelled photos: the averaged network labels them, and the network learns from these labels.

A. Tarvainen, H. Valpola, "Mean teachers are better role models", NIPS 2017; objects of labelled samples are pasted onto
the photos as in W. Tranheden et al., "DACS: domain adaptation via cross-domain mixed sampling", WACV 2021.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional

from qumade.data.augment import colour_jittered
from qumade.data.loader import Batch, place_in_whole
from qumade.models.network import probabilities
from qumade.training.ema import share_statistics

__all__ = ["ROUNDS", "SelfTraining", "unlabelled_in"]

ROUNDS = 0.4, 0.6, 0.8
"""Shares of the training at which the teacher becomes what the averaged network then is. Before the first one photos do
not count. A teacher that follows the average in every step drifts: what it is sure of grows from step to step."""
CHUNK = 8  # photos that a thread labels together
# The student sees the photos in stronger colours than the teacher. Half of them are blurred.
BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.5, 0.5, 0.5, 0.1
BLUR_PX = 0.3, 2.0
DRAWS = 8  # random numbers of a photo: its source, whether it shows it, and six of its colours


@dataclass(frozen=True, eq=False)
class SelfTraining:
    """Labels the photos of a batch with the network `teacher`, a copy of the averaged network `average`.

    A pixel counts where the teacher gives background or a class a probability of at least `confidence`. Its mask is a
    label with `mask`, its inverse depth with `depth`: what a teacher was not trained for is noise. With `paste` half of
    the photos also show the object of a labelled sample of the batch, where masks are labels. `threads` threads label
    some photos each, so that labels do not depend on their number.

    The random numbers of a photo are those of `seed`, the step and its place in the whole batch, of which this process
    (`rank` of `processes`) has a part: a process that sees more photos than another does not draw other numbers later.
    `slots` samples that follow each other are in the same part.
    """

    average: nn.Module
    teacher: nn.Module
    confidence: float = 0.9
    paste: bool = True
    mask: bool = True
    depth: bool = True
    threads: int = 1
    seed: int = 0
    rank: int = 0
    processes: int = 1
    slots: int = 1

    def __call__(self, batch: Batch, progress: float, step: int = 0) -> Batch:
        """Return the batch of `step` with labels for its photos; `progress` is the share of the training that is done.
        Before the first round they stay without."""
        chosen = unlabelled_in(batch)
        if not len(chosen) or progress < ROUNDS[0]:
            return batch
        labelled = torch.nonzero(~torch.isin(torch.arange(len(batch.image), device=chosen.device), chosen)).flatten()
        images, outside = batch.image[chosen], ~batch.photos[chosen]
        # A turned photo repeats its edge: the teacher labels what no camera has seen.
        masks, depths = (label.masked_fill(outside, math.nan) for label in self._labels(images))
        draws = torch.stack([self._draws(step, place) for place in chosen.tolist()])
        if self.paste and self.mask and len(labelled):
            sources = labelled[(draws[:, 0] * len(labelled)).long().to(labelled.device)]
            pasted = (draws[:, 1] < 0.5).to(masks.device)
            shown = batch.mask[sources].nan_to_num(0.0) * pasted.view(-1, 1, 1, 1)
            coverage = shown.clamp(max=1.0)  # numbers of classes cover their pixels
            images = torch.lerp(images, batch.image[sources], coverage)
            blended = torch.where(coverage < 1, coverage + (1 - coverage) * masks, shown)  # 0 x NaN is NaN
            masks = torch.where(coverage > 0, blended, masks)
            # The object's depth is that of its own scene.
            depths = depths.masked_fill(coverage > 0, math.nan)
        images = torch.stack(
            [_strongly_coloured(image, *some) for image, some in zip(images, draws[:, 2:].tolist(), strict=True)]
        )
        image, mask, inverse_depth = (layer.clone() for layer in batch[:3])
        image[chosen], mask[chosen], inverse_depth[chosen] = images.to(image.dtype), masks, depths
        return Batch(image, mask, inverse_depth)

    def begin_round(self, before: float, progress: float) -> None:
        """Make the teacher what the average is now, if a round begins in the step from share `before` of the training
        to share `progress`."""
        if any(before < start <= progress for start in ROUNDS):
            share_statistics(self.average)
            self.teacher.load_state_dict(self.average.state_dict())

    def _draws(self, step: int, place: int) -> Tensor:
        """Return the random numbers of the photo at a place of this process's part of a step's batch."""
        whole = place_in_whole(place, self.rank, self.processes, self.slots)
        (word,) = np.random.SeedSequence((self.seed, step, whole)).generate_state(1)
        return torch.rand(DRAWS, generator=torch.Generator().manual_seed(int(word)), dtype=torch.float64)

    @torch.no_grad()
    def _labels(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mask and inverse depth, NaN where they do not count, of images [N, 3, H, W]."""

        def label(some: Tensor) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                output = self.teacher(some.contiguous(memory_format=torch.channels_last))
            return probabilities(output.mask_logits.float()), output.inverse_depth.float()

        chunks = torch.split(images, CHUNK)
        if images.device.type == "cpu":
            with ThreadPoolExecutor(self.threads, "label", torch.set_num_threads, (1,)) as pool:
                parts = list(pool.map(label, chunks))
        else:
            parts = [label(chunk) for chunk in chunks]
        classes, depths = (torch.cat(part) for part in zip(*parts, strict=True))
        probability, numbers = torch.cat([1 - classes.sum(1, keepdim=True), classes], 1).max(1, keepdim=True)
        masks = numbers.float().masked_fill(~(probability >= self.confidence) | (not self.mask), math.nan)
        return masks, depths if self.depth else torch.full_like(depths, math.nan)


def unlabelled_in(batch: Batch) -> Tensor:
    """Return the positions, int64 [n], of the photos without labels in a batch."""
    return torch.nonzero(batch.photos.flatten(1).any(1)).flatten()


def _strongly_coloured(
    image: Tensor, brightness: float, contrast: float, saturation: float, hue: float, blur: float, sigma: float
) -> Tensor:
    """Return an image float [3, H, W] in [0, 1] with other colours, and every other time blurred, by random numbers in
    [0, 1)."""
    pixels = image.mul(255).round_().clamp_(0, 255).to(torch.uint8).cpu()
    pixels = colour_jittered(
        pixels,
        1 + BRIGHTNESS * (2 * brightness - 1),
        1 + CONTRAST * (2 * contrast - 1),
        1 + SATURATION * (2 * saturation - 1),
        HUE * (2 * hue - 1),
    )
    if blur < 0.5:
        width = BLUR_PX[0] + (BLUR_PX[1] - BLUR_PX[0]) * sigma
        taps = 2 * min(math.ceil(2 * width), min(pixels.shape[1:]) - 1) + 1
        pixels = functional.gaussian_blur_image(pixels, [taps, taps], [width, width])
    return pixels.to(image.device).float().div_(255)
