"""A section of a report: Grad-CAM of a few evaluated pictures."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from qumade.data.dataset import SampleDataset
from qumade.evaluation.evaluation import Evaluation
from qumade.evaluation.explain import explain_depth, explain_mask, heat_overlay
from qumade.evaluation.panels import Panel
from qumade.evaluation.report import Section
from qumade.models.network import MaskDepthNetwork
from qumade.models.resizing import resized

__all__ = ["explained"]

SHOWN_PX = 480  # the longer side of a picture at most: a report must not hold whole photos
MARK_PX = 5


def explained(network: MaskDepthNetwork, evaluation: Evaluation, dataset: SampleDataset, count: int = 4) -> Section:
    """Return Grad-CAM of the mask, and of the depth at a point, for `count` evaluated pictures, those with an object if
    there are any. The point is the middle of the true object, or without one that of the lower edge, on the ground.
    """
    shares = np.asarray(evaluation.scores["object_share"].to_pylist(), np.float64)  # None becomes NaN
    with_object = np.flatnonzero(shares > 0)
    rows = with_object if len(with_object) else np.arange(len(shares))
    rows = rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(np.int64)]
    panels: list[Panel] = []
    for position in evaluation.scores["sample"].to_numpy()[rows].tolist():
        sample = dataset.read(position)
        point = _middle(sample.mask, sample.image.shape)
        if "mask" in network.config.trained_tasks:
            heat = explain_mask(network, sample.image)
            panels.append(Panel(f"sample {position}: mask", _overlay(sample.image, heat)))
        if "depth" not in network.config.trained_tasks:
            continue
        marked = _overlay(sample.image, explain_depth(network, sample.image, point))
        height, width = sample.image.shape[:2]
        column, row = point[0] * marked.width // width, point[1] * marked.height // height
        box = (column - MARK_PX, row - MARK_PX, column + MARK_PX, row + MARK_PX)
        ImageDraw.Draw(marked).ellipse(box, outline="white", width=2)
        panels.append(Panel(f"sample {position}: depth at the ring", marked))
    text = (
        "Grad-CAM of the coarsest level of the encoder. Red regions support the object, or nearness at the ring; blue "
        "ones do not. The map is coarse: its cells are as large as the encoder's stride."
    )
    return Section("What the network looks at", text, tuple(panels))


def _overlay(image: NDArray[np.uint8], heat: NDArray[np.float32]) -> Image.Image:
    """Return the picture under the colours of the map, large photos shrunk to SHOWN_PX."""
    small = Image.fromarray(image)
    small.thumbnail((SHOWN_PX, SHOWN_PX))
    return Image.fromarray(heat_overlay(np.asarray(small), resized(heat, small.size)))


def _middle(mask: NDArray[np.uint8] | None, shape: tuple[int, ...]) -> tuple[int, int]:
    """Column and row of the object's pixel nearest to its centre."""
    height, width = shape[:2]
    rows, columns = np.nonzero(mask >= 128) if mask is not None else (np.empty(0), np.empty(0))
    if not len(rows):
        return width // 2, height - 1
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return int(columns[nearest]), int(rows[nearest])
