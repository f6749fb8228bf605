"""Plots of scores as SVG, for pages that hold everything in one file: all of one size, legends above the data. Names of
datasets are drawn as text: no markup in them has an effect."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from qumade.metrics.bootstrap import Interval

__all__ = ["plot_differences", "plot_histogram", "plot_intervals", "plot_pairs", "plot_sizes", "plot_training"]

BLUE, ORANGE, GREY = "#33638d", "#d55e00", "#8a8a90"
SETTINGS: Any = {
    "svg.hashsalt": "qumade",  # equal scores, equal bytes
    "svg.fonttype": "path",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
WIDTH, HEIGHT = 5.2, 3.4  # inches
LONGEST_NAME = 26
BINS = 25
MOST_POINTS = 5000  # points in a scatter plot: more only make pages larger


def plot_histogram(scores: NDArray[np.float64], title: str) -> bytes:
    """Return a histogram of the scores of images in [0, 1] with their mean, as SVG; NaN is left out."""
    known = scores[~np.isnan(scores)]
    figure, axes = _figure()
    counts, edges = np.histogram(known, BINS, (0.0, 1.0))
    axes.bar(edges[:-1], 100 * counts / max(known.size, 1), 1 / BINS, align="edge", color=BLUE)
    if known.size:
        axes.axvline(float(known.mean()), color=ORANGE, label=f"mean {known.mean():.3f}")
        _legend(axes)
    axes.set(xlim=(0, 1), xlabel=f"{title} of an image", ylabel="% of images")
    return _svg(figure)


def plot_sizes(object_share: NDArray[np.float64], scores: NDArray[np.float64], title: str) -> bytes:
    """Return scores over the object's share of the image, as SVG: median and quartiles of equally large groups."""
    known = ~np.isnan(scores) & (object_share > 0)
    share, known_scores = object_share[known], scores[known]
    figure, axes = _figure()
    parts = [
        part for part in np.array_split(np.argsort(share, kind="stable"), min(10, known.sum() // 5 or 1)) if part.size
    ]
    if parts:
        middle = [100 * float(np.median(share[part])) for part in parts]
        low, median, high = np.array([np.percentile(known_scores[part], (25, 50, 75)) for part in parts]).T
        axes.fill_between(middle, low, high, color=BLUE, alpha=0.25, linewidth=0, label="quartiles")
        axes.plot(middle, median, color=BLUE, marker="o", label="median")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else "")
        _legend(axes)
    axes.set(ylim=(0, 1.02), xlabel="object, % of the image", ylabel=title)
    return _svg(figure)


def plot_intervals(intervals: dict[str, Interval], title: str) -> bytes:
    """Return means with their 95 % intervals, one line each, as SVG; an open point has no interval."""
    figure, axes = _figure(len(intervals))
    _draw_intervals(axes, intervals)
    axes.set(xlabel=f"{title}, mean and 95 % interval")
    axes.margins(x=0.08)
    return _svg(figure)


def plot_pairs(first: NDArray[np.float64], second: NDArray[np.float64], title: str, names: tuple[str, str]) -> bytes:
    """Return a scatter plot of the scores of two networks per image, as SVG; the first is better below the line."""
    known = ~(np.isnan(first) | np.isnan(second))
    a, b = first[known], second[known]
    step = max(1, -(-a.size // MOST_POINTS))
    figure, axes = _figure()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    axes.scatter(a[::step], b[::step], s=9, color=BLUE, alpha=0.5, linewidths=0, rasterized=True)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set(xlabel=f"{title} of {names[0]}", ylabel=f"{title} of {names[1]}")
    return _svg(figure)


def plot_differences(intervals: dict[str, Interval], names: tuple[str, str]) -> bytes:
    """Return differences with their 95 % intervals around zero, one line each, as SVG."""
    figure, axes = _figure(len(intervals))
    axes.axvline(0, color=GREY, linewidth=1)
    _draw_intervals(axes, intervals)
    axes.margins(x=0.1)
    axes.set(xlabel=f"{names[0]} minus {names[1]}")
    return _svg(figure)


def plot_training(rows: Sequence[Mapping[str, float | None]]) -> list[tuple[bytes, str]]:
    """Return the losses and the validation scores over the steps of a training, as SVG, each with its caption. `rows`
    are those of results.csv."""
    plots = []
    for caption, names in (
        ("Loss over the steps of the training.", {"loss": "training", "val_loss": "validation"}),
        (
            "Scores of the validation over the steps of the training.",
            {"val_iou": "mask IoU", "val_delta1": "delta < 1.25"},
        ),
    ):
        figure, axes = _figure()
        for (name, label), colour in zip(names.items(), (BLUE, ORANGE), strict=True):
            points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, label=label, marker="o", markersize=3)
        if axes.lines:
            axes.set(xlabel="step", ylabel="loss" if "loss" in names else "score")
            if "loss" not in names:
                axes.set_ylim(0, 1.02)
            _legend(axes)
            plots.append((_svg(figure), caption))
    return plots


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2, ncols=2)


def _draw_intervals(axes: Axes, intervals: dict[str, Interval]) -> None:
    for line, interval in enumerate(intervals.values()):
        if interval.low is not None and interval.high is not None:
            axes.plot([interval.low, interval.high], [line, line], color=BLUE, linewidth=2.5, solid_capstyle="butt")
        face = "white" if interval.low is None else BLUE
        axes.plot([interval.value], [line], "o", markeredgecolor=BLUE, markerfacecolor=face)
    axes.set_yticks(range(len(intervals)), [_short(name) for name in intervals], parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_ylim(len(intervals) - 0.4, -0.6)


def _short(name: str) -> str:
    name = name if name.isprintable() else ascii(name)[1:-1]
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 10]}...{name[-7:]}"


def _figure(lines: int = 0) -> tuple[Figure, Axes]:
    """Return a figure of the size that all have, higher only where its `lines` need it."""
    with matplotlib.rc_context(SETTINGS):
        figure = Figure((WIDTH, max(HEIGHT, 0.9 + 0.42 * lines)), dpi=200, layout="constrained", facecolor="none")
        axes = figure.subplots()
        axes.set_facecolor("none")
        return figure, axes


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with matplotlib.rc_context(SETTINGS):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
