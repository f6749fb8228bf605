"""Mean and standard deviation of images, masks and depth over a dataset, independent of the number of workers.

Workers count how often each code occurs; sums of integers do not depend on the order. Mean and standard deviation
(of the population) then come from the counts by exact or correctly rounded sums.
"""

import json
import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qumade.data.folder import FolderDataset
from qumade.data.objects import ClassStatistics, class_statistics, read_objects
from qumade.depth.codec import inverse_depth_table
from qumade.depth.encoding import DepthEncoding
from qumade.errors import ConfigError
from qumade.io.files import write_bytes
from qumade.io.listing import counted
from qumade.io.processes import cores, mapped
from qumade.io.progress import progress_bar
from qumade.plan.indices import stratified_indices

__all__ = [
    "STATISTICS",
    "DepthStatistics",
    "ImageStatistics",
    "MaskStatistics",
    "Statistics",
    "format_statistics",
    "statistics",
    "write_statistics",
]

STATISTICS = "statistics.json"
CHUNK = 128  # samples per task: short enough to stop quickly, long enough to hide the overhead of a task
OBJECT_CODE = 128  # a pixel with at least half coverage belongs to the object


@dataclass(frozen=True)
class ImageStatistics:
    """Mean and standard deviation of R, G, B in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pixels: int


@dataclass(frozen=True)
class MaskStatistics:
    """Coverage in [0, 1], and the share of pixels that are at least half covered."""

    mean: float
    std: float
    object_share: float
    pixels: int


@dataclass(frozen=True)
class DepthStatistics:
    """Inverse depth of the known pixels, in 1/m for metric depth, and their stored codes divided by the largest code.

    Mean and standard deviation are None if no pixel is known. `kind` is None if images do not share a range.
    """

    kind: str | None
    source: str | None
    mean: float | None
    std: float | None
    code_mean: float | None
    code_std: float | None
    unknown_share: float
    pixels: int


@dataclass(frozen=True)
class Statistics:
    """Statistics of `samples` of the dataset's `samples_in_dataset` samples. Ignored pixels are included. `classes`
    counts the objects of the same samples, if the dataset has instances/."""

    samples: int
    samples_in_dataset: int
    images: ImageStatistics
    masks: MaskStatistics | None
    depth: DepthStatistics | None
    classes: tuple[ClassStatistics, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers."""
        return {"format": "qumade-statistics/1", **asdict(self)}


Counts = dict[str, NDArray[np.int64]]  # folder -> [channels, codes]


def statistics(
    dataset: FolderDataset, *, fraction: float = 1.0, workers: int | None = None, progress: bool = True
) -> Statistics:
    """Return the statistics of a dataset, or of a stratified `fraction` in (0, 1] of its samples.

    Uses all cores by default. Raises QumadeError naming the first file that is torn or differs from its image in size.
    """
    if not 0 < fraction <= 1:
        raise ConfigError(f"Invalid fraction: got {fraction}; must be above 0 and at most 1")
    if workers is not None and workers < 1:
        raise ConfigError(f"Invalid workers: got {workers}; must be at least 1")
    samples = max(1, round(len(dataset) * fraction))
    chosen = dataset.take(stratified_indices(len(dataset), samples))
    chunks = [chosen.take(slice(start, start + CHUNK)) for start in range(0, samples, CHUNK)]
    counts: Counts = {}
    with (
        progress_bar(total=samples, unit=" samples", desc="statistics", disable=not progress) as bar,
        mapped(_count, chunks, min(len(chunks), workers or cores())) as counted,
    ):
        for chunk, chunk_counts in zip(chunks, counted, strict=True):
            for folder, table in chunk_counts.items():
                counts[folder] = counts[folder] + table if folder in counts else table
            bar.update(len(chunk))
    encoding = dataset.depth_encoding
    size = None if dataset.metadata is None else dataset.metadata.size
    return Statistics(
        samples=samples,
        samples_in_dataset=len(dataset),
        images=_image_statistics(counts["images"]),
        masks=_mask_statistics(counts["masks"][0]) if "masks" in counts else None,
        depth=None if encoding is None else _depth_statistics(counts["depth"][0], encoding),
        classes=tuple(class_statistics(read_objects(chosen), size)) if chosen.has_instances else (),
    )


def write_statistics(dataset: FolderDataset, result: Statistics) -> Path:
    """Write statistics.json into the dataset atomically and return its path."""
    path = dataset.root / STATISTICS
    write_bytes(path, (json.dumps(result.as_json(), indent=2, allow_nan=False) + "\n").encode())
    return path


def format_statistics(result: Statistics) -> str:
    """Return the statistics as a plain-text table."""
    images = result.images
    lines = [f"{result.samples:,} of {result.samples_in_dataset:,} samples", f"{'':14}{'mean':>10}{'std':>10}"]
    channels = zip(("red", "green", "blue"), images.mean, images.std, strict=True)
    lines += [f"image {name:8}{mean:10.6f}{std:10.6f}" for name, mean, std in channels]
    if result.masks is not None:
        masks = result.masks
        lines.append(
            f"{'mask':14}{masks.mean:10.6f}{masks.std:10.6f}   {masks.object_share:.2%} of the pixels are object"
        )
    if result.depth is not None and result.depth.mean is not None:
        depth = result.depth
        unit = {"metric": "1/m", "scaled": "up to one factor", "affine": "up to factor and shift"}.get(depth.kind or "")
        note = f"inverse depth, {unit or 'each image over its own range'}; {depth.unknown_share:.2%} unknown"
        lines.append(f"{'depth':14}{depth.mean:10.6f}{depth.std:10.6f}   {note}")
    for each in result.classes:
        line = f"{each.name:14}{each.objects:10,} objects in {counted(each.samples, 'sample', 'samples')}"
        if each.median_area is not None and each.mean_centre is not None:
            u, v = each.mean_centre
            line += f"; boxes of {each.median_area:.1%} of the image (median), around ({u:.0%}, {v:.0%})"
        lines.append(line)
    return "\n".join(lines)


def _count(dataset: FolderDataset) -> Counts:
    """Count the codes of all images, masks and depth maps in a dataset, int64 [3 or 1, codes] for each folder."""
    counts = {"images": np.zeros((3, 256), np.int64)}
    if dataset.has_masks:
        counts["masks"] = np.zeros((1, 256), np.int64)
    if dataset.depth_encoding is not None:
        counts["depth"] = np.zeros((1, 1 << dataset.depth_encoding.bits), np.int64)
    for index in range(len(dataset)):
        image = dataset.read_image(index)
        counts["images"] += _histogram(image)
        for folder, read in (("masks", dataset.read_mask), ("depth", dataset.read_depth_levels)):
            if folder in counts:
                codes = read(index)
                dataset.require_equal_size(index, image.shape, folder, codes.shape)
                counts[folder] += _histogram(codes)
    return counts


def _histogram(codes: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.int64]:
    if codes.dtype == np.uint16:
        return np.bincount(codes.ravel(), minlength=1 << 16)
    # twice as fast as numpy on bytes
    return np.array(Image.fromarray(codes).histogram(), np.int64).reshape(-1, 256)


def _code_moments(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Return mean and standard deviation of code / max_code, exact up to the final rounding."""
    occurrences = [int(count) for count in counts]
    total = sum(occurrences)
    first = sum(code * count for code, count in enumerate(occurrences))
    second = sum(code * code * count for code, count in enumerate(occurrences))
    scale = len(occurrences) - 1
    variance = Fraction(total * second - first * first, (total * scale) ** 2)
    return float(Fraction(first, total * scale)), math.sqrt(variance)


def _image_statistics(counts: NDArray[np.int64]) -> ImageStatistics:
    (red, red_std), (green, green_std), (blue, blue_std) = (_code_moments(channel) for channel in counts)
    return ImageStatistics((red, green, blue), (red_std, green_std, blue_std), int(counts[0].sum()))


def _mask_statistics(counts: NDArray[np.int64]) -> MaskStatistics:
    mean, std = _code_moments(counts)
    pixels = int(counts.sum())
    return MaskStatistics(mean, std, int(counts[OBJECT_CODE:].sum()) / pixels, pixels)


def _depth_statistics(counts: NDArray[np.int64], code: DepthEncoding) -> DepthStatistics:
    values = inverse_depth_table(code)
    known = np.isfinite(values)
    pixels, total = int(counts.sum()), int(counts[known].sum())
    mean = std = code_mean = code_std = None
    if total:
        mean = math.fsum(counts[known] * values[known]) / total
        std = math.sqrt(math.fsum(counts[known] * (values[known] - mean) ** 2) / total)
        code_mean, code_std = _code_moments(np.where(known, counts, 0))
    kind = None if code.range == "image" else code.kind
    return DepthStatistics(kind, code.source, mean, std, code_mean, code_std, (pixels - total) / pixels, pixels)
