"""Polygons along the edges of an object's pixels."""

import numpy as np
from numpy.typing import NDArray

from qumade.jit import compiled

__all__ = ["outline"]


def outline(inside: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return one closed polygon around the pixels of an object, bool [h, w]: int32 [corners, 2] of (x, y), empty for no
    pixel. (0, 0) is the upper left corner of the first pixel; the last corner is joined to the first.

    The polygon follows the edges of the pixels, so its inside by the even-odd rule is exactly the object. Several parts
    and holes are joined by bridges: pairs of equal edges in opposite directions, which enclose nothing.
    """
    bordered = np.zeros((inside.shape[0] + 2, inside.shape[1] + 2), np.bool_)
    bordered[1:-1, 1:-1] = inside  # np.pad takes ten times as long
    corners, ends = _loops(bordered)
    polygon: NDArray[np.int32] = _joined(corners, ends) if len(ends) else corners
    return polygon


@compiled(nogil=True)
def _loops(inside):  # type: ignore[no-untyped-def]
    """Return the corners of all boundaries of a mask with an empty border of one pixel, int32 [corners, 2] without that
    border, and the end of each loop. The inside is on the right of each edge; diagonal neighbours are connected."""
    rows, columns = inside.shape
    # A corner of a boundary is a corner of a pixel inside, and each pixel has four.
    corners = np.empty((4 * np.sum(inside) + 1, 2), np.int32)
    ends = np.empty(len(corners) // 4 + 1, np.int64)
    seen = np.zeros((rows, columns), np.bool_)  # upper edges of pixels, which every loop has one of
    count, loops = 0, 0
    # By direction (right, down, left, up): the step, and the pixels ahead on the left and on the right of the end.
    step_x, step_y = (1, 0, -1, 0), (0, 1, 0, -1)
    left_x, left_y = (0, 0, -1, -1), (-1, 0, 0, -1)
    right_x, right_y = (0, -1, -1, 0), (0, 0, -1, -1)
    for first_y in range(1, rows):
        for first_x in range(columns):
            if not inside[first_y, first_x] or inside[first_y - 1, first_x] or seen[first_y, first_x]:
                continue
            x, y, direction, before = first_x, first_y, 0, -1
            while not (direction == 0 and seen[y, x]):
                if direction != before:
                    corners[count, 0], corners[count, 1] = x - 1, y - 1
                    count += 1
                if direction == 0:
                    seen[y, x] = True
                x, y, before = x + step_x[direction], y + step_y[direction], direction
                if inside[y + left_y[direction], x + left_x[direction]]:
                    direction = (direction + 3) % 4
                elif not inside[y + right_y[direction], x + right_x[direction]]:
                    direction = (direction + 1) % 4
            ends[loops] = count
            loops += 1
    return corners[:count], ends[:loops]


@compiled(nogil=True)
def _joined(corners, ends):  # type: ignore[no-untyped-def]
    """Join loops one after another, each from the corner of what is joined that is nearest to one of its corners."""
    joined = np.empty((len(corners) + 2 * (len(ends) - 1), 2), np.int32)
    count = ends[0]
    joined[:count] = corners[:count]
    for loop in range(1, len(ends)):
        start, stop = ends[loop - 1], ends[loop]
        size = stop - start
        nearest, here, there = np.int64(2**62), 0, 0
        for n in range(count):
            for m in range(start, stop):
                across, down = np.int64(joined[n, 0] - corners[m, 0]), np.int64(joined[n, 1] - corners[m, 1])
                distance = across * across + down * down
                if distance < nearest:
                    nearest, here, there = distance, n, m
        for n in range(count - 1, here - 1, -1):  # makes room after `here`, which is repeated
            joined[n + size + 2] = joined[n]
        for m in range(size + 1):
            joined[here + 1 + m] = corners[start + (there - start + m) % size]
        count += size + 2
    return joined
