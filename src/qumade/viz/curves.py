"""Curves of a training and of the learning-rate finder, as PNG files."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from qumade.io.files import write_bytes

__all__ = ["draw_curves", "draw_learning_rates"]

Row = dict[str, Any]


def draw_curves(rows: Sequence[Row], path: Path) -> None:
    """Plot loss, validation metrics, learning rate and speed over the steps. `rows` are those of results.csv."""
    figure = Figure(figsize=(12, 7))
    figure.subplots_adjust(left=0.06, right=0.98, bottom=0.07, top=0.95, wspace=0.14, hspace=0.16)
    (losses, metrics), (rates, speed) = figure.subplots(2, 2, sharex=True)
    _lines(losses, rows, "loss", {"loss": "training", "val_loss": "validation"})
    _lines(metrics, rows, "validation", {"val_iou": "mask IoU", "val_delta1": "depth $\\delta$ < 1.25"})
    metrics.set_ylim(0, 1)
    known = [row for row in rows if row.get("score") is not None]
    if known:
        best = max(known, key=lambda row: float(row["score"]))
        metrics.axvline(best["step"], color="grey", linestyle=":", linewidth=1, label=f"best (epoch {best['epoch']})")
        metrics.legend()
    _lines(rates, rows, "learning rate", {"lr": None})
    _lines(speed, rows, "samples/s", {"samples_per_s": None})
    for axes in (rates, speed):
        axes.set_xlabel("step")
    _write(figure, path)


def draw_learning_rates(rates: NDArray[np.float64], losses: NDArray[np.float64], suggestion: float, path: Path) -> None:
    """Plot the smoothed loss over the learning rate, both float64 [n], and mark the suggested rate."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses)
    axes.axvline(suggestion, color="tab:red", linestyle="--", label=f"suggestion {suggestion:.2g}")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss, smoothed")
    axes.grid(alpha=0.3)
    axes.legend()
    _write(figure, path)


def _lines(axes: Axes, rows: Sequence[Row], title: str, names: dict[str, str | None]) -> None:
    for name, label in names.items():
        points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, marker=".", markersize=4)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[1]:
        axes.legend()


def _write(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    write_bytes(path, buffer.getvalue())
