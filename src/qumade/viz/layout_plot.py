"""Plot the layout of a dataset beside that of its target."""

from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from qumade.assets.scene_layout import MOST_OBJECTS, ROW_EDGES, ROWS, SIZE_EDGES, SIZES, SceneLayout
from qumade.data.layout_distance import Distance, layout_distances
from qumade.io.files import write_bytes

__all__ = ["draw_layouts", "write_layouts"]

BLUE, ORANGE = "#33638d", "#d55e00"


def write_layouts(layout: SceneLayout, target: SceneLayout, path: Path) -> None:
    """Write a PNG of two layouts; see `draw_layouts`."""
    buffer = BytesIO()
    draw_layouts(layout, target).savefig(buffer, format="png", metadata={"Software": None})
    write_bytes(path, buffer.getvalue())


def draw_layouts(layout: SceneLayout, target: SceneLayout) -> Figure:
    """Draw number, size and row of the objects of a dataset (bars) and of its target (line), with their distances."""
    figure = Figure((14, 4), dpi=110, layout="constrained")
    number, size, row = figure.subplots(1, 3)
    distances = layout_distances(layout, target)
    _draw(number, layout.numbers[1:], target.numbers[1:], "objects in a picture that shows one", distances.number)
    number.set_xticks(range(MOST_OBJECTS), [str(n) for n in range(1, MOST_OBJECTS)] + [f"{MOST_OBJECTS}+"])
    _draw(size, layout.table.sum(0), target.table.sum(0), "size: sqrt(box area / picture area)", distances.size)
    size.set_xticks(np.arange(0, SIZES + 1, 2) - 0.5, [f"{edge:.2g}" for edge in SIZE_EDGES[::2]])
    _draw(row, layout.table.sum(1), target.table.sum(1), "row: lower edge of the box / height", distances.row)
    row.set_xticks(np.arange(0, ROWS + 1, 4) - 0.5, [f"{edge:g}" for edge in ROW_EDGES[::4]])
    return figure


def _draw(
    axes: Axes, own: NDArray[np.float64], target: NDArray[np.float64], title: str, distance: Distance | None
) -> None:
    places = np.arange(own.size)
    axes.bar(places, 100 * own / max(own.sum(), 1e-9), 0.9, color=BLUE, label="dataset")
    axes.step(places, 100 * target / max(target.sum(), 1e-9), where="mid", color=ORANGE, label="target")
    known = "" if distance is None else f"\ntotal variation {distance.total_variation:.3f}"
    axes.set(title=title + known, ylabel="%")
    axes.legend(frameon=False)
