"""The objects of a dataset with instances/, as its manifest lists them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qumade.data.class_maps import class_numbers_of, object_lists
from qumade.data.folder import FolderDataset
from qumade.data.manifest import MANIFEST, read_visible_boxes
from qumade.errors import DatasetError

__all__ = ["UNNAMED", "ClassStatistics", "Objects", "class_statistics", "read_objects"]

UNNAMED = "object"
"""The name of the only class of a dataset whose recipe gives none."""
_BOX = ("left", "top", "width", "height")


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of all samples, in the order of the samples and of their instance numbers.

    Sample n has the objects `start[n]` .. `start[n + 1]`; the first of them is number 1 in its instance map.
    `class_number` int32 counts from 0 in `classes`. Boxes are left, top, width and height in pixels: `visible_box`
    int32 [objects, 4] of the visible pixels, zeros where there are none; `box` float64 [objects, 4] of the whole
    object, NaN where unknown. `visible_fraction` and `inverse_depth` (of the contact with the ground) float32, NaN
    where unknown.
    """

    classes: tuple[str, ...]
    start: NDArray[np.int64]
    class_number: NDArray[np.int32]
    visible_box: NDArray[np.int32]
    box: NDArray[np.float64]
    visible_fraction: NDArray[np.float32]
    inverse_depth: NDArray[np.float32]

    def of(self, position: int) -> slice:
        """Return where the objects of a sample are."""
        return slice(int(self.start[position]), int(self.start[position + 1]))

    def take(self, positions: NDArray[np.integer]) -> "Objects":
        """Return the objects of these samples only."""
        counts = np.diff(self.start)[positions]
        rows = np.concatenate([np.arange(0), *(np.arange(self.start[n], self.start[n + 1]) for n in positions)])
        parts = (self.class_number, self.visible_box, self.box, self.visible_fraction, self.inverse_depth)
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return Objects(self.classes, start, *(part[rows] for part in parts))


@dataclass(frozen=True)
class ClassStatistics:
    """The objects of one class: how many are there and visible, the number of samples that show one, and for the boxes
    of their visible pixels the median area and the mean centre, as shares of the image's area, width and height."""

    name: str
    objects: int
    samples: int
    median_area: float | None
    mean_centre: tuple[float, float] | None


def read_objects(dataset: FolderDataset) -> Objects:
    """Return the objects of a dataset's samples. Raises QumadeError naming what is missing or wrong in its manifest."""
    path = dataset.manifest_path
    if path is None or not dataset.has_instances:
        wanted = f"{dataset.root / MANIFEST}" if path is None else f"folder {dataset.root / 'instances'}"
        raise DatasetError(f"Invalid dataset: got no {wanted}; must have it for its objects")
    lists = object_lists(path, dataset.stems)
    flat = lists.flatten()
    class_number = class_numbers_of(flat, dataset.classes, path)
    try:
        boxes = read_visible_boxes(flat)
    except (pa.ArrowException, KeyError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DatasetError(f"Invalid manifest: got {reason} in {path}; must list objects and their boxes") from error
    fields = {field.name: flat.field(field.name) for field in flat.type}
    return Objects(
        classes=dataset.classes or (UNNAMED,),
        start=np.concatenate([[0], np.cumsum(np.diff(np.asarray(lists.offsets)))]).astype(np.int64),
        class_number=class_number,
        visible_box=boxes,
        box=np.stack([_known(fields, name, len(flat)) for name in _BOX], 1),
        visible_fraction=_known(fields, "visible_fraction", len(flat)).astype(np.float32),
        inverse_depth=_known(fields, "inverse_depth", len(flat)).astype(np.float32),
    )


def _known(fields: Mapping[str, Any], name: str, objects: int) -> NDArray[np.float64]:
    """Return a column, NaN everywhere if an imported dataset lacks it."""
    if name not in fields:
        return np.full(objects, np.nan)
    return np.asarray(fields[name].to_numpy(zero_copy_only=False), np.float64)


def class_statistics(objects: Objects, size: tuple[int, int] | None) -> list[ClassStatistics]:
    """Return the statistics of each class. Without the common `size` (width, height), there are no shares of it."""
    sample = np.repeat(np.arange(len(objects.start) - 1), np.diff(objects.start))
    visible = objects.visible_box[:, 2] > 0
    found = []
    for number, name in enumerate(objects.classes):
        members = visible & (objects.class_number == number)
        area, centre = None, None
        if members.any() and size is not None:
            shares = objects.visible_box[members] / np.array([*size, *size])
            area = float(np.median(shares[:, 2] * shares[:, 3]))
            u, v = (shares[:, :2] + shares[:, 2:] / 2).mean(0)
            centre = float(u), float(v)
        found.append(ClassStatistics(name, int(members.sum()), len(np.unique(sample[members])), area, centre))
    return found
