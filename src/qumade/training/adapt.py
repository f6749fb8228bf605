"""Adapts a trained network to photos of a place without labels and without training: only the statistics with which
batch normalisation standardises its features move.

F. You et al., "Test-time batch statistics calibration for covariate shift", 2021: the statistics become
(1 - alpha) x those of the training + alpha x those of the photos. How far to go is found without labels, too.
"""

import contextlib
import copy
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from qumade.data.loader import Batch
from qumade.errors import ConfigError, RunError
from qumade.io.config import plain_values, write_yaml
from qumade.io.decode import read_rgb
from qumade.io.files import new_folder, write_bytes
from qumade.io.pictures import UnusablePicture, left_out, list_pictures, printable
from qumade.models.network import MaskDepthNetwork, probabilities
from qumade.models.resizing import shrunk, working_size
from qumade.plan.indices import stratified_indices
from qumade.training.config import load_config
from qumade.training.run_folder import (
    RunFolder,
    Which,
    load_network,
    read_results,
    read_weights_note,
    write_weights,
)
from qumade.viz.batch_sheet import batch_sheet, predicted
from qumade.viz.sheets import save_sheet

__all__ = ["ALPHAS", "Adapted", "adapt", "agreement", "chosen_alpha", "moved_towards", "statistics_of"]

Item = TypeVar("Item")

ALPHAS = tuple(step / 10 for step in range(11))
GAIN = 0.5
"""The share of the largest gain in agreement that is enough. Agreement keeps growing for a while after scores have
begun to fall, since a network that sees objects everywhere agrees with itself as well."""
MOST_PHOTOS = 1024  # spread evenly over the folder
FEW_PHOTOS = 64  # for the agreement, which is measured for every alpha
BATCH = 16
TOGETHER = 1 << 22
"""Pixels of the photos that are normalised together: what deeper levels see then does not depend on which photos share
a batch. About a gigabyte; more photos are cut into parts that are alike."""
SHOWN = 6


@dataclass(frozen=True)
class Adapted:
    """The run folder of an adapted network. `alpha`: how far its statistics moved; `agreement`: what the network agreed
    with itself at each of ALPHAS, or empty where alpha was given; `photos`: the number of photos; `sheet`: a picture of
    predictions before and after."""

    run: Path
    alpha: float
    agreement: tuple[float, ...]
    photos: int
    left_out: tuple[str, ...]
    sheet: Path


def adapt(
    run: Path | str, photos: Path, out: Path | str, *, alpha: float | None = None, strict: bool = False
) -> Adapted:
    """Write the run folder `out`: that of `run`, with statistics adapted to the photos of a folder.

    `alpha` in [0, 1]; by default the smallest of ALPHAS that reaches half of the largest gain in `agreement`. Raises
    QumadeError where `out` is not new or empty, where no photo is usable, with `strict` for the first that is not, and
    where the network has no batch normalisation.
    """
    if alpha is not None and not 0 <= alpha <= 1:
        raise ConfigError(f"Invalid alpha: got {alpha:g}; must be at least 0 and at most 1")
    out = Path(out).absolute()
    with new_folder(out, RunError) as folder:
        adapted = _adapt(RunFolder(run), photos, RunFolder(folder), alpha, strict)
        with contextlib.suppress(ConfigError):  # of another version: the network does not need it
            if RunFolder(run).config.is_file():  # its paths are relative to the folder where it will be
                config = load_config(RunFolder(run).config)
                write_yaml(plain_values(config, out), RunFolder(folder).config)
    return replace(adapted, run=out, sheet=out / adapted.sheet.name)


def _adapt(source: RunFolder, photos: Path, target: RunFolder, alpha: float | None, strict: bool) -> Adapted:
    network = load_network(source.root)
    if not _norms(network):
        raise RunError(f"Invalid run: got {source.root}, whose network has no batch normalisation; must have some")
    images, left_out = _read(photos, network.config.size)
    if strict and left_out:
        raise RunError(f"Invalid photos: {left_out[0]}; must be none with --strict")
    batches = _batched(images, TOGETHER)
    measured = statistics_of(network, batches)
    agreements: tuple[float, ...] = ()
    if alpha is None:
        few = _batched(_spread(images, FEW_PHOTOS))
        agreements = tuple(agreement(moved_towards(network, measured, each), few) for each in ALPHAS)
        alpha = chosen_alpha(agreements)
    best, last = moved_towards(network, measured, alpha), load_network(source.root, "last")
    moved: dict[Which, MaskDepthNetwork] = {
        "last": moved_towards(last, statistics_of(last, batches), alpha),
        "best": best,
    }
    note = {
        "photos": printable(photos),
        "count": len(images),
        "alpha": alpha,
        "agreement": {f"{each:g}": value for each, value in zip(ALPHAS, agreements, strict=False)},
    }
    write_bytes(target.adapted, (json.dumps(note, indent=2) + "\n").encode())
    for note_of_training, copied in ((source.encoder, target.encoder), (source.start, target.start)):
        if note_of_training.is_file():
            shutil.copyfile(note_of_training, copied)
    sheet = target.root / "adapted.png"
    save_sheet(_sheet(network, best, batches[0][:SHOWN]), sheet)
    for which, network_ in moved.items():
        trained_note = read_weights_note(source.root, which)
        kept = {name: value for name, value in trained_note.items() if name not in ("format", "network", "metrics")}
        kept["before_adapting"] = _before(source, trained_note)
        write_weights(target, which, network_, network.config, kept | {"adapted": note})
    return Adapted(target.root, alpha, agreements, len(images), left_out, sheet)


def _before(source: RunFolder, note: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of the network before it was adapted, which its scores are no longer true of: `metrics`, and
    the `steps` and `seconds` of its training."""
    if "before_adapting" in note:
        return dict(note["before_adapting"])
    before = {"metrics": note.get("metrics")}
    with contextlib.suppress(RunError, OSError, ValueError, AttributeError, LookupError, TypeError):  # damaged
        last = read_results(source.results)[-1]
        before |= {"steps": int(last["step"] or 0), "seconds": last["seconds"]}
    return before


class _Pooled:
    """Mean and variance of the channels of all batches that a normalisation has seen, each photo with equal weight, by
    the law of total variance: that of the batches' means adds to the mean of their variances."""

    def __init__(self) -> None:
        self.photos, self.pixels = 0, 0
        self.mean = self.square = torch.zeros(())  # `square`: the sum of squared deviations from the mean, per pixel

    def add(self, values: Tensor) -> None:
        """Add a batch [N, C, H, W]."""
        photos = len(values)
        variance, mean = (moment.double() for moment in torch.var_mean(values, (0, 2, 3), correction=0))
        total = self.photos + photos
        apart = mean - self.mean
        self.square = (self.photos * self.square + photos * variance) / total
        self.square = self.square + apart.square() * self.photos * photos / total**2
        self.mean = self.mean + apart * photos / total
        self.photos, self.pixels = total, self.pixels + values[:, 0].numel()

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and variance, float32 [C]; the variance is unbiased, as the running one of PyTorch."""
        unbiased = self.square * (self.pixels / max(self.pixels - 1, 1))
        return self.mean.float(), unbiased.float()


def statistics_of(network: MaskDepthNetwork, batches: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Return mean and variance of the input of each batch normalisation over batches of images, float [N, 3, H, W] in
    [0, 1]: those of all photos together, each with equal weight. Each batch is normalised by its own statistics, as in
    training, so a batch should be large, and like the others. Raises RunError where no batch has more than one value at
    the network's coarsest level."""
    copied = copy.deepcopy(network).eval()
    pooled = [_Pooled() for _ in _norms(copied)]
    for norm, found in zip(_norms(copied), pooled, strict=True):
        norm.register_forward_pre_hook(lambda _, given, found=found: found.add(given[0]))
        norm.training = True
    # A single value at the coarsest level has no deviation.
    measurable = [batch for batch in batches if batch[:, 0].numel() > network.stride**2]
    if not measurable:
        sizes = ", ".join(sorted({f"{batch.shape[3]}x{batch.shape[2]}" for batch in batches}))
        must = f"must be at least two of a size, or larger than {network.stride}x{network.stride}"
        raise RunError(f"Invalid photos: got one of each of the sizes {sizes} at which the network sees them; {must}")
    with torch.no_grad():
        for batch in measurable:
            copied(batch)
    # A normalisation that no image reaches keeps its own.
    return [
        found.statistics() if found.photos else _statistics(norm)
        for norm, found in zip(_norms(copied), pooled, strict=True)
    ]


def moved_towards(
    network: MaskDepthNetwork, statistics: Sequence[tuple[Tensor, Tensor]], alpha: float
) -> MaskDepthNetwork:
    """Return a copy of a network, in evaluation mode, whose statistics are (1 - alpha) x its own + alpha x others."""
    moved = copy.deepcopy(network).eval()
    for norm, others in zip(_norms(moved), statistics, strict=True):
        for own, other in zip(_statistics(norm), others, strict=True):
            own.lerp_(other, alpha)
    return moved


@torch.no_grad()
def agreement(network: MaskDepthNetwork, batches: Sequence[Tensor]) -> float:
    """Return how well a network agrees with itself, 0..1: the mean over photos of the soft IoU between its prediction
    and those for the mirrored photo and for the photo at another brightness and white balance. It is of the mask, or
    of the depth where only that was trained."""
    generator = torch.Generator().manual_seed(0)
    tasks = network.config.trained_tasks
    values = []

    def predict(images: Tensor) -> Tensor:
        output = network(images)
        map_: Tensor = probabilities(output.mask_logits) if "mask" in tasks else output.inverse_depth.clamp(min=0)
        return map_

    for images in batches:
        plain, mirrored = predict(images), predict(images.flip(-1)).flip(-1)
        gain = 0.6 + 0.8 * torch.rand(len(images), 1, 1, 1, generator=generator)
        tint = 0.15 * torch.randn(len(images), 3, 1, 1, generator=generator)
        values += [_soft_iou(plain, mirrored), _soft_iou(plain, predict((images * gain + tint).clamp(0, 1)))]
    return float(torch.cat(values).mean())


def chosen_alpha(agreements: Sequence[float]) -> float:
    """Return the smallest of ALPHAS whose agreement reaches GAIN of the largest gain over alpha 0."""
    enough = agreements[0] + GAIN * (max(agreements) - agreements[0])
    return next(alpha for alpha, value in zip(ALPHAS, agreements, strict=True) if value >= enough)


def _soft_iou(one: Tensor, other: Tensor) -> Tensor:
    union = torch.maximum(one, other).sum((1, 2, 3))
    iou: Tensor = torch.minimum(one, other).sum((1, 2, 3)) / union.clamp(min=1e-6)
    return iou


def _norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def _statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    if norm.running_mean is None or norm.running_var is None:
        raise RunError("Invalid network: got a batch normalisation without running statistics; must have them")
    return norm.running_mean, norm.running_var


def _spread(items: Sequence[Item], most: int) -> list[Item]:
    return [items[position] for position in stratified_indices(len(items), most).tolist()]


def _read(folder: Path, trained: tuple[int, int]) -> tuple[list[NDArray[np.float32]], tuple[str, ...]]:
    """Return photos of a folder as a network sees them, float32 [H, W, 3] in [0, 1], and what was left out."""
    pictures = list_pictures(folder)
    others = left_out(folder, pictures)
    images, unused = [], [] if others is None else [others]
    for path in _spread(pictures, MOST_PHOTOS):
        try:
            image = read_rgb(path)
        except UnusablePicture as error:
            unused.append(str(error))
            continue
        images.append(shrunk(image, working_size((image.shape[1], image.shape[0]), trained)))
    if not images:
        first = f"; the first: {unused[0]}" if unused else ""
        raise RunError(f"Invalid photos: got no usable photo in {printable(folder)}; must have one{first}")
    return images, tuple(unused)


def _batched(images: Sequence[NDArray[np.float32]], pixels: int = 0) -> list[Tensor]:
    """Return images as float32 [N, 3, H, W], in batches of one size each, cut evenly: no photo stands alone because the
    others filled a batch. A batch has at most BATCH images, in their order, or at most `pixels`; then images are dealt
    out in turn, so that no batch holds one hour of a drive."""
    by_size: dict[tuple[int, ...], list[NDArray[np.float32]]] = {}
    for image in images:
        by_size.setdefault(image.shape, []).append(image)
    batches = []
    for (height, width, _), some in by_size.items():
        parts = -(-len(some) // max(BATCH, pixels // (height * width)))
        places = np.arange(len(some))
        of_parts = [places[first::parts] for first in range(parts)] if pixels else np.array_split(places, parts)
        batches += [np.stack([some[place] for place in part]) for part in of_parts]
    return [torch.from_numpy(batch).permute(0, 3, 1, 2) for batch in batches]  # channels last


def _sheet(before: MaskDepthNetwork, after: nn.Module, images: Tensor) -> Image.Image:
    unknown = torch.full((len(images), 1, *images.shape[2:]), torch.nan)
    batch = Batch(images, unknown, unknown)
    tasks = before.config.trained_tasks
    pairs = [predicted(network, batch, tasks) for network in (before.eval(), after)]
    some = Batch(*(torch.stack(layers, 1).flatten(0, 1)[: 2 * SHOWN] for layers in zip(*pairs, strict=True)))
    return batch_sheet(some, before.config, "Each photo twice: predictions before and after the adaptation")
