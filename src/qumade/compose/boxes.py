"""Boxes of what is visible in an instance map."""

import numpy as np
from numpy.typing import NDArray

from qumade.jit import compiled

__all__ = ["shows_any", "visible_boxes"]


def visible_boxes(instances: NDArray[np.unsignedinteger], objects: int) -> NDArray[np.int32]:
    """Return the box of each object 1 .. `objects` in an instance map [H, W]: int32 [objects, 4] of left, top, width
    and height in pixels, and zeros for an object of which no pixel is visible."""
    boxes: NDArray[np.int32] = _boxes(instances, objects)
    return boxes


@compiled(nogil=True, inline="always")
def shows_any(row):  # type: ignore[no-untyped-def]
    """Return whether a row of an instance map shows an object. The loop has no branch, so that it becomes vector code:
    most rows show none, and to look at each of their pixels would take ten times as long."""
    found = row[0]
    for x in range(1, len(row)):
        found |= row[x]
    return found != 0


@compiled(nogil=True)
def _boxes(instances, objects):  # type: ignore[no-untyped-def]
    rows, columns = instances.shape
    ends = np.zeros((objects, 4), np.int32)  # left, top, right, bottom
    ends[:, 0], ends[:, 1] = columns, rows
    for y in range(rows):
        x = 0 if shows_any(instances[y]) else columns
        while x < columns:
            value, start = instances[y, x], x
            while x < columns and instances[y, x] == value:
                x += 1
            if 0 < value <= objects:
                box = ends[np.int64(value) - 1]
                box[0], box[1] = min(box[0], start), min(box[1], y)
                box[2], box[3] = max(box[2], x), max(box[3], y + 1)
    for number in range(objects):
        box = ends[number]
        if box[2] == 0:
            box[:] = 0
        else:
            box[2] -= box[0]
            box[3] -= box[1]
    return ends
