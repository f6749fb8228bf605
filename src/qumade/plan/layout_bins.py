"""The bin of the layout in which a placed object lies. Compiled."""

from qumade.assets.scene_layout import AREA_EDGES, ROWS, SIZES
from qumade.jit import compiled

__all__ = ["accepted_share"]

_FIRST_EDGE = float(AREA_EDGES[1])


@compiled()
def accepted_share(t, thing):  # type: ignore[no-untyped-def]
    """Return the share of the placements like this one that the layout accepts; 1 without a layout.

    Size and row are those of the part of the object's box that is inside the image, as in the labels of real pictures.
    """
    if len(t.layout) == 0:
        return 1.0
    bottom = min(thing.top + thing.height, t.height)
    width = min(thing.left + thing.width, t.width) - max(thing.left, 0.0)
    area = width * (bottom - max(thing.top, 0.0)) / (t.width * t.height)
    size, edge = 0, _FIRST_EDGE
    while size < SIZES - 1 and area >= edge:
        size += 1
        edge *= 2.0
    return t.layout[min(int(bottom / t.height * ROWS), ROWS - 1), size]
