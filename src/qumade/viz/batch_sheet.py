"""Contact sheets of batches and predictions."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from qumade.data.loader import Batch
from qumade.models.config import NetworkConfig, Task
from qumade.viz.sheets import SheetRow, SheetStyle, contact_sheet, depth_legend

__all__ = ["batch_sheet", "predicted", "sheet_tensor"]

UNKNOWN_GREY = 96


def batch_sheet(batch: Batch, config: NetworkConfig, title: str, *, count: int = 12) -> Image.Image:
    """Return a sheet of image, mask and depth of the first `count` samples of a batch, as they reach the network.
    Unknown pixels are dark grey in the mask and slate in the depth. A label without known pixels is left out."""
    image, mask, depth = (part[:count].detach().float().cpu().numpy() for part in batch)
    rows = []
    for number in range(len(image)):
        pixels = np.ascontiguousarray((image[number].transpose(1, 2, 0) * 255).round().clip(0, 255).astype(np.uint8))
        coverage, inverse_depth = mask[number, 0], depth[number, 0]
        rows.append(
            SheetRow(
                pixels,
                None if np.isnan(coverage).all() else _grey(coverage),
                None if np.isnan(inverse_depth).all() else inverse_depth,
                "",
            )
        )
    span = config.inverse_depth_limits if config.depth_kind in ("metric", "scaled") else None
    legend, style = depth_legend(config.depth_kind), SheetStyle(outline=False)
    return contact_sheet(rows, title=title, legend=legend, inverse_depth_limits=span, style=style)


@torch.inference_mode()
def predicted(network: nn.Module, batch: Batch, trained_tasks: Sequence[Task]) -> Batch:
    """Return the batch with the network's mask probability and inverse depth in place of its labels. Tasks other than
    `trained_tasks` are unknown (NaN)."""
    output = network(batch.image.contiguous(memory_format=torch.channels_last))
    mask, inverse_depth = torch.sigmoid(output.mask_logits.float()), output.inverse_depth.float()
    unknown = torch.full_like(mask, torch.nan)
    return Batch(
        batch.image,
        mask if "mask" in trained_tasks else unknown,
        inverse_depth if "depth" in trained_tasks else unknown,
    )


def sheet_tensor(sheet: Image.Image) -> Tensor:
    """Return a sheet as uint8 [3, H, W]."""
    return torch.from_numpy(np.asarray(sheet.convert("RGB")).transpose(2, 0, 1).copy())


def _grey(coverage: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = ~np.isnan(coverage)
    levels = np.where(known, coverage, 0.0) * 255
    return np.where(known, levels.round().clip(0, 255), UNKNOWN_GREY).astype(np.uint8)
