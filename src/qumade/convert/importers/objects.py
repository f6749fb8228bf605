"""Objects of several classes: from what a reader finds to the instance map and the manifest of the imported dataset."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qumade.compose.boxes import visible_boxes
from qumade.convert.importers.records import Labels
from qumade.errors import DatasetError

__all__ = ["UNKNOWN", "ImportedObjects", "folders_of", "numbered", "painted"]

MOST = (1 << 16) - 1
UNKNOWN = -1
"""The class number of what may be any thing: a crowd, a region marked to be ignored, an id without a name."""


@dataclass(frozen=True, eq=False)
class ImportedObjects:
    """The objects of one sample, in the order of their numbers: class numbers int32, boxes int32 [objects, 4]."""

    class_number: NDArray[np.int32]
    visible_box: NDArray[np.int32]

    def rows(self, classes: Sequence[str]) -> list[dict[str, Any]]:
        """Return the objects as the manifest lists them."""
        sides = ("visible_left", "visible_top", "visible_width", "visible_height")
        return [
            {"class": classes[number]} | dict(zip(sides, box, strict=True))
            for number, box in zip(self.class_number.tolist(), self.visible_box.tolist(), strict=True)
        ]


def folders_of(classes: Collection[str]) -> tuple[str, ...]:
    """Return the folders of a dataset with instances: instances/ only where classes must be told apart."""
    return ("masks", "ignore", "instances") if len(classes) > 1 else ("masks", "ignore")


def numbered(labels: Labels) -> tuple[NDArray[np.uint16], ImportedObjects]:
    """Return the instance map uint16 [H, W] of labels with `instances` and `object_classes`, numbered from 1 in their
    order, and its objects. An object that others cover completely is left out."""
    if labels.instances is None or labels.object_classes is None:
        raise ValueError("labels without instances and their classes")
    values, places = np.unique(labels.instances, return_inverse=True)
    kept = values[values > 0]
    if len(kept) > MOST:
        raise DatasetError(f"Invalid dataset: got {len(kept)} objects in an image; must be at most {MOST}")
    numbers = (places.reshape(labels.instances.shape) + int(values[0] > 0)).astype(np.uint16)
    classes = np.array([labels.object_classes[number] for number in kept.tolist()], np.int32)
    return numbers, ImportedObjects(classes, visible_boxes(numbers, len(kept)))


def painted(
    shape: tuple[int, int],
    objects: Iterable[tuple[int | None, NDArray[np.bool_]]],
    ignore: NDArray[np.bool_] | None = None,
) -> Labels:
    """Return the labels of an image [H, W] from its objects, each a class number (None for a class that was not chosen)
    and its pixels bool [H, W]. Later objects cover earlier ones. Pixels of `UNKNOWN` and those in `ignore` that show no
    object are ignored."""
    instances, others = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    unknown = np.zeros(shape, bool)
    object_classes: dict[int, int] = {}
    for number, (class_number, pixels) in enumerate(objects, 1):
        chosen = class_number is not None and class_number != UNKNOWN
        unknown[pixels] = class_number == UNKNOWN
        instances[pixels], others[pixels] = number if chosen else 0, number if class_number is None else 0
        if class_number is not None and chosen:
            object_classes[number] = class_number
    inside = instances > 0
    return Labels(
        mask=np.where(inside, np.uint8(255), np.uint8(0)),
        ignore=unknown if ignore is None else unknown | (ignore & ~inside),
        instances=instances,
        in_front=others,
        object_classes=object_classes,
    )
