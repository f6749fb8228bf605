"""The samples of a dataset as exporters need them: which object each pixel shows, and what is known of each object."""

from dataclasses import dataclass
from functools import cached_property
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from qumade.compose.boxes import visible_boxes
from qumade.data.folder import FolderDataset
from qumade.data.objects import UNNAMED, Objects
from qumade.errors import DatasetError

__all__ = ["Chunk", "Instances", "class_names_of"]

OPAQUE = 128  # a pixel with at least half coverage belongs to the object
EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True, eq=False)
class Instances:
    """The objects of one sample.

    `numbers` uint16 [H, W]: 0 none, k the k-th object. For each object, in this order: `class_number` int32 from 0;
    `visible_box` int32 [objects, 4] of left, top, width and height, zeros where no pixel is visible; `box` float64
    [objects, 4] of the whole object, `visible_fraction` and `inverse_depth` of its contact, all NaN where unknown.
    """

    numbers: NDArray[np.uint16]
    class_number: NDArray[np.int32]
    visible_box: NDArray[np.int32]
    box: NDArray[np.float64]
    visible_fraction: NDArray[np.float32]
    inverse_depth: NDArray[np.float32]

    @property
    def visible(self) -> list[int]:
        """The numbers of the objects of which a pixel is visible, counted from 0."""
        return [int(number) for number in np.flatnonzero(self.visible_box[:, 2] > 0)]

    def pixels(self, number: int) -> NDArray[np.bool_]:
        """Return the pixels of an object, counted from 0, inside its visible box: bool [h, w]."""
        left, top, width, height = self.visible_box[number]
        inside: NDArray[np.bool_] = self.numbers[top : top + height, left : left + width] == number + 1
        return inside


def class_names_of(dataset: FolderDataset) -> tuple[str, ...]:
    """Return the names of a dataset's classes: of its objects, of its mask if that has a single class, or UNNAMED."""
    if dataset.classes:
        return dataset.classes
    imported = None if dataset.metadata is None else dataset.metadata.source.get("classes")
    return (str(imported[0]),) if isinstance(imported, list) and len(imported) == 1 else (UNNAMED,)


@dataclass(frozen=True, eq=False)
class Chunk:
    """Neighbouring samples of one split. `first` counts the dataset's samples from 0; `objects` is None for a dataset
    without instances/: then each connected part of the mask is an object."""

    split: str
    positions: NDArray[np.int64]
    dataset: FolderDataset
    objects: Objects | None

    def __len__(self) -> int:
        return len(self.positions)

    @cached_property
    def _common_size(self) -> tuple[int, int] | None:
        return None if self.dataset.metadata is None else self.dataset.metadata.size

    def size(self, n: int) -> tuple[int, int]:
        """Return width and height of a sample's image."""
        if self._common_size is not None:
            return self._common_size
        with Image.open(BytesIO(self.dataset.content("images", n))) as picture:  # decodes only the header
            return picture.size

    def instances(self, n: int) -> Instances:
        """Return the objects of sample `n` of the chunk. Raises QumadeError for a map that does not fit its objects or
        their boxes."""
        if self.objects is None:
            return self._parts(n)
        numbers, own = self.dataset.read_instances(n), self.objects.of(n)
        self._require_size(n, "instances", numbers)
        found = self.objects
        if int(numbers.max()) > own.stop - own.start:
            raise DatasetError(
                f"Invalid instances: got number {numbers.max()} in {self.dataset.path('instances', n)}; must be at "
                f"most {own.stop - own.start}, as its row of {self.dataset.manifest_path} has objects"
            )
        boxes = visible_boxes(numbers, own.stop - own.start)
        stated = found.visible_box[own]
        if stated.any() and not np.array_equal(stated, boxes):  # a manifest without boxes has zeros
            wrong = int(np.argmax((stated != boxes).any(1)))
            got = f"the visible box {stated[wrong].tolist()} of object {wrong + 1} in {self.dataset.manifest_path}"
            wanted = f"{boxes[wrong].tolist()} as {self.dataset.path('instances', n)} shows"
            raise DatasetError(f"Invalid manifest: got {got}; must be {wanted}")
        return Instances(
            numbers,
            found.class_number[own],
            boxes,
            found.box[own],
            found.visible_fraction[own],
            found.inverse_depth[own],
        )

    def ignore(self, n: int) -> NDArray[np.bool_] | None:
        """Return the ignored pixels of a sample, bool [H, W], None if there are none."""
        if not self.dataset.has_ignore:
            return None
        ignore = self.dataset.read_ignore(n)
        self._require_size(n, "ignore", ignore)
        return ignore if ignore.any() else None

    def _parts(self, n: int) -> Instances:
        mask = self.dataset.read_mask(n)
        self._require_size(n, "masks", mask)
        parts, count = ndimage.label(mask >= OPAQUE, EIGHT)
        if count > np.iinfo(np.uint16).max:
            wanted = f"at most {np.iinfo(np.uint16).max}"
            raise DatasetError(f"Invalid mask: got {count} parts in {self.dataset.path('masks', n)}; must be {wanted}")
        unknown = np.full(count, np.nan, np.float32)
        numbers = parts.astype(np.uint16)
        box = np.full((count, 4), np.nan)
        return Instances(numbers, np.zeros(count, np.int32), visible_boxes(numbers, count), box, unknown, unknown)

    def _require_size(self, n: int, folder: str, label: NDArray[np.generic]) -> None:
        width, height = self.size(n)
        self.dataset.require_equal_size(n, (height, width), folder, label.shape)
