"""Learn the layout of scenes from the masks of a dataset. Unlabelled pixels never count as the absence of an object."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from qumade.assets.scene_layout import LEAST_SHARE, MOST_OBJECTS, ROWS, SIZES, SceneLayout, count_boxes
from qumade.data.folder import FolderDataset
from qumade.errors import DatasetError
from qumade.io.decode import decode_grey
from qumade.io.pictures import read_picture
from qumade.io.progress import progress_bar
from qumade.plan.indices import stratified_indices

__all__ = ["INSTANCES", "OBJECT_CODE", "learn_layout", "picture_objects"]

INSTANCES = "instances"
OBJECT_CODE = 128  # a pixel with at least half coverage belongs to an object
MOST_UNKNOWN = 0.1  # share of a picture whose number of objects counts as known
MOST_UNKNOWN_AROUND = 0.5  # share of the pixels around an object whose box counts as known
MOST_PICTURES = 20_000
_EIGHT = np.ones((3, 3), np.bool_)

Bools = NDArray[np.bool_]
Boxes = NDArray[np.float64]


def learn_layout(
    dataset: FolderDataset,
    *,
    told_apart: Literal["components", "instances"] | None = None,
    least_share: float = LEAST_SHARE,
    count: int = MOST_PICTURES,
    progress: bool = False,
) -> SceneLayout:
    """Return the layout of at most `count` pictures of a dataset with masks.

    Objects are those of instances/ (16-bit PNG of equal stems: 0 none, k the k-th object) if the folder exists, and
    otherwise the connected parts of the mask with at least `least_share` of the picture's pixels. An object that mostly
    borders on ignored pixels counts, but not its size and row; a picture in which more than a tenth of the pixels is
    ignored does not count for the number of objects. Raises QumadeError naming a wrong file, and for a dataset without
    masks or without any object.
    """
    if not dataset.has_masks:
        raise DatasetError(f"Invalid dataset: got no folder {dataset.root / 'masks'}; must exist to learn a layout")
    if told_apart is None:
        told_apart = "instances" if dataset.has_instances or (dataset.root / INSTANCES).is_dir() else "components"
    table, number = np.zeros((ROWS, SIZES), np.int64), np.zeros(MOST_OBJECTS + 1, np.int64)
    positions = stratified_indices(len(dataset), count).tolist()
    for position in progress_bar(positions, unit=" masks", desc="layout", disable=not progress):
        mask = dataset.read_mask(position) >= OBJECT_CODE
        ignore = dataset.read_ignore(position) if dataset.has_ignore else np.zeros_like(mask)
        dataset.require_equal_size(position, mask.shape, "ignore", ignore.shape)
        if told_apart == "instances":
            owners = _instances(dataset, position, mask.shape)
        else:
            owners = np.zeros(mask.shape, np.int32)
            ndimage.label(mask, _EIGHT, owners)
        least = least_share * mask.size if told_apart == "components" else 0.0
        boxes, unknown = picture_objects(owners, ignore, least)
        table += count_boxes(boxes, mask.shape[1], mask.shape[0])
        if ignore.mean() <= MOST_UNKNOWN:
            number[min(len(boxes) + unknown, MOST_OBJECTS)] += 1
    if not table.any():
        raise DatasetError(f"Invalid dataset: got no object of known extent in {dataset.root}; must show one")
    return SceneLayout(
        format="qumade-layout/1",
        told_apart=told_apart,
        least_share=least_share,
        pictures=len(positions),
        number=tuple(number.tolist()) if number[1:].any() else (),
        size_and_row=tuple(map(tuple, table.tolist())),
    )


def picture_objects(owners: NDArray[np.integer], ignore: Bools, least_px: float) -> tuple[Boxes, int]:
    """Return the boxes of the objects, float64 [n, 4] left, top, right, bottom, and the number of objects whose extent
    is unknown.

    `owners` [H, W] has the number of the object of each pixel, 0 for none; `ignore` bool [H, W]. Objects of less than
    `least_px` pixels are none.
    """
    boxes, unknown = [], 0
    for where, own, around in _objects(owners):
        if own.sum() < least_px:
            continue
        if ignore[where][around].mean() > MOST_UNKNOWN_AROUND if around.any() else False:
            unknown += 1
            continue
        rows, columns = (
            slice_.start + np.flatnonzero(own.any(axis)) for slice_, axis in zip(where, (1, 0), strict=True)
        )
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    return np.array(boxes, np.float64).reshape(-1, 4), unknown


def _objects(owners: NDArray[np.integer]) -> Iterator[tuple[tuple[slice, slice], Bools, Bools]]:
    """Yields for each object a window, its pixels there, and the pixels around it."""
    for number, found in enumerate(ndimage.find_objects(owners), 1):
        if found is not None:
            rows, columns = (slice(max(0, part.start - 1), part.stop + 1) for part in found)
            own = owners[rows, columns] == number
            yield (rows, columns), own, ndimage.binary_dilation(own, _EIGHT) & ~own


def _instances(dataset: FolderDataset, position: int, shape: tuple[int, ...]) -> NDArray[np.int32]:
    owners: NDArray[np.integer]
    if dataset.has_instances:
        path, owners = dataset.path(INSTANCES, position), dataset.read_instances(position)
    else:  # a plain folder, of which no dataset.yaml says what the numbers mean
        path = dataset.root / INSTANCES / f"{dataset.stems[position]}.png"
        owners = decode_grey(read_picture(path), path)
    if owners.shape != shape:
        got, wanted = f"{owners.shape[1]}x{owners.shape[0]}", f"{shape[1]}x{shape[0]}"
        raise DatasetError(f"Invalid size: got {got} in {path}; must be {wanted} as its mask")
    # Numbers may be high and few: find_objects lists every number up to the highest.
    _, dense = np.unique(owners, return_inverse=True)
    numbered: NDArray[np.int32] = dense.reshape(shape).astype(np.int32)
    if not (owners == 0).any():
        numbered += 1
    return numbered
