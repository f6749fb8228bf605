"""Contact sheets of batches and predictions."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from qumade.data.loader import Batch
from qumade.models.config import NetworkConfig, Task
from qumade.models.network import probabilities
from qumade.viz.sheets import SheetRow, SheetStyle, class_colour, contact_sheet, depth_legend

__all__ = ["batch_sheet", "predicted", "sheet_tensor"]

UNKNOWN_GREY = 96


def batch_sheet(batch: Batch, config: NetworkConfig, title: str, *, count: int = 12) -> Image.Image:
    """Return a sheet of image, mask and depth of the first `count` samples of a batch, as they reach the network.
    Unknown pixels are dark grey in the mask and slate in the depth. A label without known pixels is left out. With
    several classes the mask has their colours."""
    image, mask, depth = (part[:count].detach().float().cpu().numpy() for part in batch[:3])
    rows = []
    for number in range(len(image)):
        pixels = np.ascontiguousarray((image[number].transpose(1, 2, 0) * 255).round().clip(0, 255).astype(np.uint8))
        coverage, inverse_depth = mask[number, 0], depth[number, 0]
        depth_there = None if np.isnan(inverse_depth).all() else inverse_depth
        if np.isnan(coverage).all():
            rows.append(SheetRow(pixels, None, depth_there, ""))
        elif config.classes:
            rows.append(SheetRow(pixels, _coloured(coverage), depth_there, ""))
        else:
            rows.append(SheetRow(pixels, _grey(coverage), depth_there, ""))
    span = config.inverse_depth_limits if config.depth_kind in ("metric", "scaled") else None
    legend, style = depth_legend(config.depth_kind), SheetStyle(outline=False)
    return contact_sheet(
        rows, title=title, legend=legend, inverse_depth_limits=span, classes=config.classes, style=style
    )


@torch.inference_mode()
def predicted(network: nn.Module, batch: Batch, trained_tasks: Sequence[Task]) -> Batch:
    """Return the batch with the network's mask probability, or most probable class, and inverse depth in place of its
    labels. Tasks other than `trained_tasks` are unknown (NaN)."""
    output = network(batch.image.contiguous(memory_format=torch.channels_last))
    mask, inverse_depth = probabilities(output.mask_logits.float()), output.inverse_depth.float()
    if mask.shape[1] > 1:
        mask = torch.cat([1 - mask.sum(1, keepdim=True), mask], 1).argmax(1, keepdim=True).to(mask.dtype)
    unknown = torch.full_like(mask, torch.nan)
    return Batch(
        batch.image,
        mask if "mask" in trained_tasks else unknown,
        inverse_depth if "depth" in trained_tasks else unknown,
    )


def _coloured(numbers: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the numbers of classes [H, W], NaN unknown, in their colours, uint8 [H, W, 3]."""
    known = ~np.isnan(numbers)
    most = int(numbers[known].max(initial=0))
    colours = np.array([(0, 0, 0), *(class_colour(number) for number in range(most))], np.uint8)
    found: NDArray[np.uint8] = colours[np.where(known, numbers, 0).astype(np.int64)]
    found[~known] = UNKNOWN_GREY
    return found


def sheet_tensor(sheet: Image.Image) -> Tensor:
    """Return a sheet as uint8 [3, H, W]."""
    return torch.from_numpy(np.asarray(sheet.convert("RGB")).transpose(2, 0, 1).copy())


def _grey(coverage: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = ~np.isnan(coverage)
    levels = np.where(known, coverage, 0.0) * 255
    return np.where(known, levels.round().clip(0, 255), UNKNOWN_GREY).astype(np.uint8)
