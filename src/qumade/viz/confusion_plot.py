"""The picture of a confusion matrix."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

__all__ = ["plot_confusion"]

MOST_NUMBERED = 20  # classes: beyond, the cells are too small for numbers
WIDEST_NAME = 24  # characters


def plot_confusion(confusion: NDArray[np.int64], names: Sequence[str]) -> Image.Image:
    """Return a confusion matrix, rows true and columns predicted, as an RGB picture. Each row is in percent of its
    pixels, and grey without any. Names of classes are drawn as plain text."""
    pixels = confusion.sum(1, keepdims=True)
    percent = np.where(pixels > 0, 100 * confusion / np.maximum(pixels, 1), np.nan)
    side = 2.4 + 0.55 * min(len(names), 40)
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("#d8d8dc")
    shown = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    if len(names) <= MOST_NUMBERED:
        for (row, column), value in np.ndenumerate(percent):
            text = "-" if np.isnan(value) else f"{value:.1f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if value > 60 else "black")
    labels = [name if len(name) <= WIDEST_NAME else f"{name[:WIDEST_NAME]}..." for name in names]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(range(len(names)), labels, fontsize=8, parse_math=False)
    axes.tick_params(axis="x", rotation=45)
    axes.set(xlabel="predicted", ylabel="true")
    figure.colorbar(shown, ax=axes, label="% of the true pixels", shrink=0.8)
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return Image.open(buffer).convert("RGB")
