"""Plots the placements of a dataset in one figure: sizes, positions, visibility, rejections, splits.

They are counted from manifest.parquet in bounded memory. For a dataset without a manifest, the masks are plotted.
"""

from collections import Counter
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from qumade.data.folder import FolderDataset
from qumade.data.manifest import MANIFEST, read_manifest
from qumade.errors import DatasetError
from qumade.io.files import write_bytes
from qumade.plan.indices import stratified_indices

__all__ = [
    "MaskCounts",
    "PlacementCounts",
    "count_masks",
    "count_placements",
    "draw_masks",
    "draw_placements",
    "has_placements",
    "write_placements",
]

ROWS = 16384  # rows of the manifest in memory at once
BINS = 50
REACH = 0.25  # positions are counted this far beyond the edges of the image, as a share of its sides
GRID = 60  # cells along each side of a heat map
MASKS = 2000  # the most masks to read if there is no manifest
BARS = 8
NUMBERS = ("left", "top", "width", "height", "contact_u", "contact_v", "visible_fraction")
BLUE, COLOURS = "#33638d", "viridis"


@dataclass
class PlacementCounts:
    """Counts over all objects; heat maps [row, column] extend a quarter of a side beyond each edge of the image."""

    size: tuple[int, int]  # width, height of a sample
    samples: int = 0
    objects: int = 0
    fallbacks: int = 0
    scale: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(BINS, np.int64)
    )  # over [0, 1]; the last bin holds larger values too
    visible: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))  # over [0, 1]
    centres: NDArray[np.int64] = field(default_factory=lambda: np.zeros((GRID, GRID), np.int64))
    contacts: NDArray[np.int64] = field(default_factory=lambda: np.zeros((GRID, GRID), np.int64))
    splits: Counter[str] = field(default_factory=Counter)
    policies: Counter[str] = field(default_factory=Counter)
    rejections: Counter[str] = field(default_factory=Counter)


@dataclass
class MaskCounts:
    """The share of object pixels in each of `samples` masks, and the mean mask [GRID, GRID] in [0, 1]."""

    samples: int
    area_share: NDArray[np.float64]
    mean_mask: NDArray[np.float64]


def has_placements(dataset: FolderDataset) -> bool:
    """Return whether there is anything to plot: imported datasets with only depth have neither placements nor masks."""
    return dataset.has_masks or _lists_objects(dataset.manifest_path)


def _lists_objects(manifest: Path | None) -> bool:
    """Return whether a manifest lists placements. True also for a torn one: reading it then reports the error."""
    if manifest is None:
        return False
    if manifest.is_dir():  # of shards, whose parts all have the same columns
        return _lists_objects(next(manifest.glob("*.parquet"), None))
    try:
        return "objects" in pq.read_schema(manifest).names
    except (pa.ArrowException, OSError):
        return True


def write_placements(dataset: FolderDataset, path: Path) -> None:
    """Write a PNG of the placements in the manifest, or of the masks if no manifest lists placements.

    Raises QumadeError if the dataset has neither, or if the manifest is torn or has other columns.
    """
    if _lists_objects(dataset.manifest_path):
        figure = draw_placements(count_placements(dataset))
    else:
        figure = draw_masks(count_masks(dataset))
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_bytes(path, buffer.getvalue())


def count_placements(dataset: FolderDataset) -> PlacementCounts:
    """Count sizes, positions, visible fractions, policies, rejections and splits in a dataset's manifest.parquet."""
    path = dataset.manifest_path
    if path is None:
        raise DatasetError(f"Invalid dataset: got no {dataset.root / MANIFEST}; must exist")
    if dataset.metadata is not None and dataset.metadata.size is not None:
        size = dataset.metadata.size
    else:
        height, width = dataset.read_image(0).shape[:2]
        size = (width, height)
    counts = PlacementCounts(size)
    try:
        for rows in read_manifest(path, ["split", "objects"]):
            for batch in rows.to_batches(ROWS):
                _count_rows(counts, batch)
    except (pa.ArrowException, KeyError, ValueError, TypeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DatasetError(f"Invalid manifest: got a damaged or unknown one in {path} ({reason})") from error
    if dataset.metadata is not None and dataset.metadata.complete and counts.samples != len(dataset):
        raise DatasetError(
            f"Invalid manifest: got {counts.samples} rows in {path}; must be {len(dataset)}, one per sample"
        )
    return counts


def count_masks(dataset: FolderDataset) -> MaskCounts:
    """Measure the masks of a dataset, at most a stratified selection of 2000."""
    if not dataset.has_masks:
        raise DatasetError(f"Invalid dataset: got neither manifest.parquet nor masks/ in {dataset.root}; must have one")
    positions = stratified_indices(len(dataset), MASKS).tolist()
    samples = len(positions)
    shares = np.zeros(samples)
    total = np.zeros((GRID, GRID))
    for number, position in enumerate(positions):
        mask = dataset.read_mask(position)
        shares[number] = np.mean(mask >= 128)
        grid = Image.fromarray(mask).convert("F").resize((GRID, GRID), Image.Resampling.BOX)
        total += np.asarray(grid, np.float64)
    return MaskCounts(samples, shares, total / (255 * samples))


def draw_placements(counts: PlacementCounts) -> Figure:
    """Draw the counts in one figure."""
    figure = Figure((14, 8), dpi=110, layout="constrained")
    axes = figure.subplots(2, 3)
    figure.suptitle(f"Placements: {counts.objects:,} objects in {counts.samples:,} samples")
    _draw_sizes(axes[0, 0], counts.scale / max(counts.objects, 1))
    _draw_histogram(axes[0, 1], counts.visible / max(counts.objects, 1), "visible fraction of an object", "objects")
    _draw_heat(figure, axes[1, 0], counts.centres, counts.size, "centres of the objects' boxes")
    _draw_heat(figure, axes[1, 1], counts.contacts, counts.size, "contacts with the ground")
    _draw_shares(axes[0, 2], counts.splits, counts.samples, "splits", "share of the samples")
    drawn = {f"placed: {name}": number for name, number in counts.policies.items()}
    drawn["fell back"] = counts.fallbacks
    drawn |= {f"rejected: {name}": number for name, number in counts.rejections.items()}
    _draw_shares(axes[1, 2], drawn, counts.objects, "policies and rejections", "number per object")
    return figure


def draw_masks(counts: MaskCounts) -> Figure:
    """Draw the distribution of mask areas and the mean mask in one figure."""
    figure = Figure((10, 4.5), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    figure.suptitle(f"Masks of {counts.samples:,} samples (no manifest)")
    shares, _ = np.histogram(counts.area_share, BINS, (0.0, 1.0))
    _draw_histogram(left, shares / counts.samples, "object share of the image", "samples")
    drawn = right.imshow(counts.mean_mask, COLOURS, extent=(0, 1, 1, 0), vmin=0)
    right.set_title("mean mask, over width and height")
    figure.colorbar(drawn, ax=right, shrink=0.8)
    return figure


def _count_rows(counts: PlacementCounts, batch: pa.RecordBatch) -> None:
    objects = pc.list_flatten(batch.column("objects"))
    values = {name: np.asarray(pc.struct_field(objects, name), np.float64) for name in NUMBERS}
    width, height = counts.size
    counts.samples += batch.num_rows
    counts.objects += len(objects)
    counts.fallbacks += pc.sum(pc.struct_field(objects, "fallback")).as_py() or 0
    scale = np.sqrt(values["width"] * values["height"] / (width * height))
    counts.scale += np.histogram(np.minimum(scale, 1.0), BINS, (0.0, 1.0))[0]
    counts.visible += np.histogram(values["visible_fraction"], BINS, (0.0, 1.0))[0]
    centre_u, centre_v = values["left"] + values["width"] / 2, values["top"] + values["height"] / 2
    counts.centres += _grid(centre_u / width, centre_v / height)
    counts.contacts += _grid(values["contact_u"] / width, values["contact_v"] / height)
    _count_values(counts.splits, batch.column("split"))
    _count_values(counts.policies, pc.struct_field(objects, "policy"))
    rejected = pc.struct_field(objects, "rejected")
    for reason in rejected.type:
        counts.rejections[reason.name] += pc.sum(pc.struct_field(rejected, reason.name)).as_py() or 0


def _grid(u_share: NDArray[np.float64], v_share: NDArray[np.float64]) -> NDArray[np.int64]:
    reach = (-REACH, 1 + REACH)
    return np.histogram2d(v_share, u_share, GRID, (reach, reach))[0].astype(np.int64)


def _count_values(counter: Counter[str], column: pa.Array) -> None:
    for entry in pc.value_counts(column):
        counter[str(entry["values"].as_py() or "none")] += entry["counts"].as_py()


def _draw_histogram(axes: Axes, shares: NDArray[np.float64], what: str, of_what: str) -> None:
    axes.bar((np.arange(BINS) + 0.5) / BINS, 100 * shares, 1 / BINS, color=BLUE)
    axes.set(xlim=(0, 1), xlabel=what, ylabel=f"% of {of_what}")


def _draw_sizes(axes: Axes, shares: NDArray[np.float64]) -> None:
    _draw_histogram(axes, shares, "scale: square root of (box area / image area)", "objects")
    area = axes.secondary_xaxis("top", functions=(np.square, lambda share: np.sqrt(np.maximum(share, 0))))
    area.set_xticks([0.01, 0.1, 0.25, 0.5, 1], ["1 %", "10 %", "25 %", "50 %", "100 %"])
    area.set_xlabel("box area / image area")


def _draw_heat(figure: Figure, axes: Axes, grid: NDArray[np.int64], size: tuple[int, int], title: str) -> None:
    width, height = size
    edges = (-REACH * width, (1 + REACH) * width, (1 + REACH) * height, -REACH * height)
    drawn = axes.imshow(grid, COLOURS, extent=edges, vmin=0, interpolation="nearest")
    axes.plot([0, width, width, 0, 0], [0, 0, height, height, 0], color="white", linewidth=1.2)
    left_out = "" if grid.any() else " (none in reach)"
    axes.set(title=f"{title}{left_out}", xlabel="u, pixels (white: edge of the image)", ylabel="v, pixels")
    figure.colorbar(drawn, ax=axes, shrink=0.8, label="objects per cell")


def _draw_shares(axes: Axes, counts: dict[str, int] | Counter[str], whole: int, title: str, what: str) -> None:
    """Draw one bar per name, labelled with its count and its count divided by `whole`."""
    entries = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:BARS]
    ratios = [number / max(whole, 1) for _, number in entries]
    bars = axes.barh(range(len(entries)), ratios, color=BLUE)
    axes.bar_label(bars, [f" {number:,} ({ratio:.3g})" for (_, number), ratio in zip(entries, ratios, strict=True)])
    axes.set_yticks(range(len(entries)), [name[:40].replace("$", r"\$") for name, _ in entries])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.7 * max([*ratios, 1e-6]))  # room for the labels
    axes.set(title=title, xlabel=what)
