"""Check and draw the annotations of COCO files. What cannot be true is not drawn: its pixels are unknown.

An outline is checked against its picture's size, and against its own `bbox` and `area` where the file has them. `area`
is that of the outline, or of the box, as some tools write it.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "OUTSIDE",
    "Annotation",
    "check_annotation",
    "decode_segmentation",
    "in_shares",
    "inside",
    "unknown_pixels",
    "whole",
]

MAX_CORNERS = 100_000  # of one polygon
OUTSIDE = 0.05  # share of a side: labelling tools let outlines leave the picture by a little
SLACK_PX = 3.0  # rounding of boxes
SLACK = 0.2  # share of a box's side: some boxes are of the whole object, of which a part is hidden
AREA_FACTOR, AREA_SLACK_PX = 2.0, 25.0

Box = tuple[float, float, float, float]  # left, top, right, bottom


class Annotation(NamedTuple):
    """An annotation of a picture. `category` None: the file does not name its class. `problem`: why it cannot be
    drawn, None if it can. `box`: where its pixels are in that case, None if not even this is known."""

    number: str
    category: int | None
    crowd: bool
    segmentation: Any
    box: Box | None
    problem: str | None


def whole(value: Any) -> int:
    """Return a whole number, also one written as 3.0 or "3". Raises ValueError for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1 or abs(value) >= 2**63:
        raise ValueError(f"{str(value)[:40]!r}, which is no whole number")
    return int(value)


def check_annotation(annotation: dict[str, Any], known: frozenset[int], size: tuple[int, int]) -> Annotation:
    """Return an annotation of a picture of `size` (height, width); `known` are the ids of the file's classes."""
    number = str(annotation.get("id", "without an id"))[:40]
    segmentation = annotation.get("segmentation")
    category, crowd, problem = None, False, None
    box = _box(annotation.get("bbox"), size, pixels=isinstance(segmentation, dict))
    try:
        found = whole(annotation.get("category_id"))
        category = found if found in known else None
    except ValueError:
        category = None
    if category is None:
        problem = f"has category_id {str(annotation.get('category_id'))[:40]}, which is none of the file's categories"
    try:
        flag = annotation.get("iscrowd", 0)
        crowd = bool(whole(int(flag) if isinstance(flag, bool) else flag))
    except ValueError:
        problem = problem or f"has iscrowd {str(flag)[:40]!r}"
    outline: Box | None = None
    try:
        outline, area = _extent(segmentation, size)
        problem = problem or _contradiction(annotation, outline, area, box, size)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        problem = problem or f"has {' '.join(str(error).split())[:120] or 'no outline'}"
    if problem is not None and outline is not None and box is not None and inside(outline, size):
        box = min(box[0], outline[0]), min(box[1], outline[1]), max(box[2], outline[2]), max(box[3], outline[3])
    return Annotation(number, category, crowd, segmentation, box, problem)


def unknown_pixels(annotation: Annotation, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return where an annotation that cannot be drawn may be, bool [H, W]: its box, else the whole picture."""
    if annotation.box is None:
        return np.ones(shape, bool)
    left, top, right, bottom = annotation.box
    pixels = np.zeros(shape, bool)
    columns = slice(max(0, int(left - SLACK_PX)), max(0, int(np.ceil(right + SLACK_PX))))
    pixels[max(0, int(top - SLACK_PX)) : max(0, int(np.ceil(bottom + SLACK_PX))), columns] = True
    return pixels


def _box(bbox: Any, size: tuple[int, int], *, pixels: bool) -> Box | None:
    """Return a bbox (left, top, width, height) as corners; None if there is none, or none that can be true. Beside run
    lengths it is in `pixels`; beside corners it may be in shares of the picture, too."""
    try:
        numbers = np.asarray(bbox, np.float64)
    except (ValueError, TypeError, OverflowError):
        return None
    if numbers.shape != (4,) or not np.isfinite(numbers).all() or not (numbers[2:] > 0).all():
        return None
    left, top, width, height = numbers.tolist()
    box = left, top, left + width, top + height
    return box if inside(box, size) and (pixels or not in_shares(box, size)) else None


def inside(box: Box, size: tuple[int, int]) -> bool:
    """Return whether corners lie in a picture of `size` (height, width), or beside it by no more than tools allow."""
    height, width = size
    aside, above = 2 + OUTSIDE * width, 2 + OUTSIDE * height
    return box[0] >= -aside and box[1] >= -above and box[2] <= width + aside and box[3] <= height + above


def in_shares(box: Box, size: tuple[int, int]) -> bool:
    """Return whether corners look like shares of a picture of `size` instead of pixels."""
    return max(box) <= 1.0 and min(size) > 8


def _extent(segmentation: Any, size: tuple[int, int]) -> tuple[Box, float]:
    """Return the corners of an outline and its area in pixels. Raises ValueError, TypeError or KeyError."""
    if isinstance(segmentation, list):
        polygons = _polygons(segmentation)
        if not polygons:
            raise ValueError("no outline (an empty segmentation)")
        corners = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in polygons])
        low, high = corners.min(0), corners.max(0)
        return (float(low[0]), float(low[1]), float(high[0]), float(high[1])), sum(map(_area, polygons))
    if not isinstance(segmentation, dict):
        raise ValueError("no outline (no segmentation)")
    lengths = _run_lengths(segmentation, size)
    ends = np.cumsum(lengths)
    starts = (ends - lengths)[1::2][lengths[1::2] > 0]
    ends = ends[1::2][lengths[1::2] > 0]
    if not len(starts):
        raise ValueError("an outline of 0 pixels")
    height = size[0]
    one_column = starts // height == (ends - 1) // height
    top = float(np.where(one_column, starts % height, 0).min())
    bottom = float(np.where(one_column, (ends - 1) % height + 1, height).max())
    return (float(starts[0] // height), top, float((ends[-1] - 1) // height + 1), bottom), float((ends - starts).sum())


def _area(polygon: NDArray[np.float64]) -> float:
    x, y = polygon[0::2], polygon[1::2]
    with np.errstate(over="ignore", invalid="ignore"):  # corners that are far too large are refused by their extent
        return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)


def _contradiction(
    annotation: dict[str, Any], outline: Box, area: float, box: Box | None, size: tuple[int, int]
) -> str | None:
    """Return what an outline contradicts, None if all agrees."""
    height, width = size
    if isinstance(annotation.get("segmentation"), list) and in_shares(outline, size):
        return f"has corners of at most {max(outline):g} (shares instead of pixels?)"
    if not inside(outline, size):
        reach = ", ".join(f"{corner:.4g}" for corner in outline)
        return f"reaches from and to {reach}, outside of the picture's {width}x{height} pixels"
    if area <= 0:
        return "has an outline without an area"
    given = annotation.get("bbox")
    if given not in (None, [], [0, 0, 0, 0]):
        if box is None:
            return f"has the bbox {str(given)[:60]}, which is none in {width}x{height} pixels"
        sides = box[2] - box[0], box[3] - box[1]
        for index, (one, other) in enumerate(zip(outline, box, strict=True)):
            if abs(one - other) > SLACK_PX + SLACK * sides[index % 2]:
                reach = ", ".join(f"{corner:.4g}" for corner in outline)
                return f"has the bbox {str(given)[:60]}, but its outline reaches from and to {reach}"
    stated = annotation.get("area")
    if stated in (None, 0) or isinstance(stated, bool):
        return None
    if not isinstance(stated, int | float) or not np.isfinite(stated):
        return f"has the area {str(stated)[:40]!r}"
    of_box = (outline[2] - outline[0]) * (outline[3] - outline[1])
    agrees = area / AREA_FACTOR - AREA_SLACK_PX <= stated <= max(area * AREA_FACTOR, of_box * 1.1) + AREA_SLACK_PX
    return None if agrees else f"has the area {stated:g}, but its outline has {area:.0f}"


def _polygons(segmentation: list[Any]) -> list[NDArray[np.float64]]:
    polygons = []
    for polygon in segmentation:
        corners = np.asarray(polygon, np.float64)
        if corners.ndim != 1 or len(corners) % 2 or not 6 <= len(corners) <= MAX_CORNERS:
            raise ValueError(f"a polygon of {corners.size} numbers; must be 6 or more, an x and a y for each corner")
        if not np.isfinite(corners).all():
            raise ValueError("a non-finite corner")
        polygons.append(corners)
    return polygons


def _run_lengths(segmentation: dict[str, Any], size: tuple[int, int]) -> NDArray[np.int64]:
    """Return run lengths that fill the picture, as numbers or packed in a string."""
    height, width = size
    given, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(given, list) or given != [height, width]:
        raise ValueError(f"run lengths of size {str(given)[:40]}, where the picture has [{height}, {width}]")
    if isinstance(counts, str):
        counts = _unpacked(counts, height * width)
    if not isinstance(counts, list) or len(counts) > height * width + 2:
        raise ValueError("wrong run lengths")
    lengths = np.asarray(counts, np.int64)
    if lengths.ndim != 1 or (lengths < 0).any() or lengths.max(initial=0) > height * width:
        raise ValueError("wrong run lengths")
    if int(lengths.sum()) != height * width:
        raise ValueError(f"run lengths of {int(lengths.sum())} pixels, where the picture has {height * width}")
    return lengths


def _unpacked(text: str, most: int) -> list[int]:
    """Unpack run lengths: five bits a character, the lowest first, bit 5 for "more follows"; from the fourth on each is
    the difference from the one two before. (The format of the COCO API; its decoder does not check the sum.)"""
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60 or len(lengths) > most:
            raise ValueError("wrong run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        value -= 1 << shift if bits & 16 else 0
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("run lengths that end within a number")
    return lengths


def decode_segmentation(segmentation: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode a COCO segmentation to bool [H, W]. Raises ValueError, TypeError or KeyError for an invalid one."""
    import pycocotools.mask as coco_mask

    height, width = shape
    if isinstance(segmentation, list):
        # corners far outside draw nothing, but cost the decoder memory
        polygons = [np.clip(corners, -max(shape), 2 * max(shape)).tolist() for corners in _polygons(segmentation)]
        if not polygons:
            return np.zeros(shape, bool)
        runs = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
        return np.asarray(coco_mask.decode(runs), bool)
    if not isinstance(segmentation, dict):
        raise ValueError("no outline")
    lengths = _run_lengths(segmentation, shape)
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(width, height).T  # COCO runs are in column-major order
