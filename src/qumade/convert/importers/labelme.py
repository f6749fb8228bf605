"""LabelMe: one JSON file per image with shapes (polygon, rectangle, circle or mask), each with a label.

B. C. Russell et al., "LabelMe: a database and web-based tool for image annotation", IJCV 2008; fields as in
the tool labelme. Shapes of a label such as __ignore__ are ignored.
"""

import base64
import binascii
import json
import math
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qumade.assets.label_names import means_unknown
from qumade.convert.importers.coco_annotations import decode_segmentation, in_shares
from qumade.convert.importers.coco_annotations import inside as inside_picture
from qumade.convert.importers.objects import UNKNOWN, folders_of, painted
from qumade.convert.importers.records import IMAGE_SUFFIXES, Labels, Record, Source, choose_classes, require_records
from qumade.errors import DatasetError
from qumade.extras import needs
from qumade.io.decode import decode_grey
from qumade.io.files import read_bytes
from qumade.io.listing import counted, is_leftover, named
from qumade.io.pictures import printable

__all__ = ["read_labelme"]

Bools = NDArray[np.bool_]

MAX_JSON_BYTES = 1 << 28  # a file may hold its image
CIRCLE_CORNERS = 128
LAYOUT = "JSON files of LabelMe beside their images"


def read_labelme(root: Path, classes: Collection[str] = ("car",)) -> Source:
    """Return the image of every JSON file below `root`. Shapes of one label and `group_id` are one object; later shapes
    cover earlier ones. Splits are unknown, unless a folder is named train, val or test. A note counts images without a
    JSON file: nobody has labelled them.

    Raises QumadeError for two JSON files of one image.
    """
    with needs("imports", "this dataset"):
        import pycocotools.mask  # noqa: F401 - fails now, not after hours of work
    found: list[tuple[Path, Path, dict[str, Any]]] = []
    for path in _files(root, (".json",)):
        content = _content(path)
        if content is not None:
            found.append((path, _image(path, root, content), content))
    _require_one_each(found)
    names = sorted({str(shape["label"]) for _, _, content in found for shape in content["shapes"]})
    if found:
        choose_classes({name: (number,) for number, name in enumerate(names)}, classes, root)  # refuses unknown ones
    meaning = {name: UNKNOWN if means_unknown(name) else None for name in names}
    meaning |= {name: place for place, name in enumerate(classes)}
    records = []
    for path, image, content in found:
        parts = path.relative_to(root).parts
        split = next((part for part in parts if part in ("train", "val", "test")), "")
        stem = path.relative_to(root).with_suffix("").as_posix().replace("/", "_")
        read = partial(_read, path, content, meaning)
        source = image.relative_to(root).as_posix()
        uncertain = any(meaning[shape["label"]] == UNKNOWN for shape in content["shapes"])
        records.append(Record(stem, split, image, source, read, uncertain=uncertain, inputs=(path,)))
    required = require_records(records, root, LAYOUT)
    used = {image.resolve() for _, image, _ in found}
    unused = [path.relative_to(root).as_posix() for path in _files(root, IMAGE_SUFFIXES) if path.resolve() not in used]
    of = f"of {printable(root)}"
    count = counted(len(unused), f"image {of} is", f"images {of} are")
    notes = (f"{count} left out, without a JSON file: {named(unused)}",) if unused else ()
    return Source("labelme", root, required, folders_of(classes), tuple(classes), notes=notes)


def _files(root: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Return the files below a folder with these suffixes, without hidden folders and what systems leave there."""
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in suffixes
        and not any(is_leftover(part) for part in path.relative_to(root).parts)
        and path.is_file()
    )


def _require_one_each(found: list[tuple[Path, Path, dict[str, Any]]]) -> None:
    file_of: dict[Path, Path] = {}
    for path, image, _ in found:
        other = file_of.setdefault(image.resolve(), path)
        if other != path:
            got = f"{printable(other)} and {printable(path)}, both of the image {image.name}"
            raise DatasetError(f"Invalid annotations: got {got}; must be one file for each (see imagePath)")


def _content(path: Path) -> dict[str, Any] | None:
    """Return the content of a LabelMe file without its image; None for other JSON."""
    try:
        content = json.loads(read_bytes(path, MAX_JSON_BYTES, DatasetError))
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DatasetError(f"Invalid annotation: got {reason} in {printable(path)}; must be JSON") from None
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        return None
    for number, shape in enumerate(content["shapes"], 1):
        if not isinstance(shape, dict) or not isinstance(shape.get("label"), str) or "points" not in shape:
            wanted = "must have a label and points"
            raise DatasetError(
                f"Invalid shape: got {str(shape)[:60]!r} as shape {number} in {printable(path)}; {wanted}"
            )
    return {name: content.get(name) for name in ("imagePath", "imageHeight", "imageWidth", "shapes")}


def _image(path: Path, root: Path, content: Mapping[str, Any]) -> Path:
    """Return the image of a file: the one it names, or the one of its stem beside it; never one outside of the root."""
    given = content["imagePath"]
    candidates = [path.parent / given.replace("\\", "/")] if isinstance(given, str) and given.isprintable() else []
    for image in (*candidates, *(path.with_suffix(suffix) for suffix in IMAGE_SUFFIXES)):
        if image.is_file() and image.suffix.lower() in IMAGE_SUFFIXES:
            if not image.resolve().is_relative_to(root.resolve()):
                wanted = f"must be a file below {printable(root)}"
                raise DatasetError(f"Invalid imagePath: got {given!r} in {printable(path)}; {wanted}")
            return (
                path.parent / Path(*image.relative_to(path.parent).parts)
                if ".." not in image.parts
                else image.resolve()
            )
    raise DatasetError(f"Invalid imagePath: got {str(given)[:100]!r} in {printable(path)}; must be an image beside it")


def _read(path: Path, content: dict[str, Any], meaning: Mapping[str, int | None], size: tuple[int, int]) -> Labels:
    for name, side in zip(("imageHeight", "imageWidth"), size, strict=True):
        if content[name] not in (None, side):
            wanted = f"{side} as its image has: was it resized or turned after it was labelled?"
            raise DatasetError(f"Invalid {name}: got {str(content[name])[:40]} in {printable(path)}; must be {wanted}")
    shapes = content["shapes"]
    groups: dict[Any, tuple[int | None, NDArray[np.bool_]]] = {}
    for number, shape in enumerate(shapes, 1):
        label, group = shape["label"], shape.get("group_id")
        try:
            pixels = _pixels(shape, size, path)
        except (ValueError, TypeError, KeyError, IndexError, OverflowError, binascii.Error) as error:
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            raise DatasetError(
                f"Invalid shape: got {reason} as shape {number} in {printable(path)}; must be a polygon, rectangle, "
                "circle or mask"
            ) from None
        if pixels is None:
            if meaning[label] is not None:
                raise DatasetError(
                    f"Invalid shape: got a {shape.get('shape_type')} of {label!r} in {printable(path)}; must be a "
                    "polygon, rectangle, circle or mask"
                )
            continue
        key = number if group is None else (label, str(group))
        before = groups.pop(key, None)
        groups[key] = meaning[label], pixels if before is None else before[1] | pixels
    return painted(size, groups.values())


def _pixels(shape: Mapping[str, Any], size: tuple[int, int], path: Path) -> NDArray[np.bool_] | None:
    """Return the pixels of a shape, None for one without an area: a point or a line."""
    kind = shape.get("shape_type") or "polygon"
    points = np.asarray(shape["points"], np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise ValueError("a non-finite point")
    if kind in ("polygon", "oriented_rectangle", "rotation"):
        return _filled(points, size)
    if kind == "rectangle":
        (x0, y0), (x1, y1) = points.min(0), points.max(0)  # two opposite corners, or all four
        return _filled(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), size)
    if kind == "circle":
        (x, y), (u, v) = points[:2]
        angles = np.arange(CIRCLE_CORNERS) * (2 * math.pi / CIRCLE_CORNERS)
        radius = math.hypot(u - x, v - y)
        return _filled(np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], 1), size, around=(x, y))
    if kind == "mask":
        inside = _mask(base64.b64decode(shape["mask"], validate=True), path)
        left, top = (int(side) for side in points[0])
        if left < 0 or top < 0 or left + inside.shape[1] > size[1] or top + inside.shape[0] > size[0]:
            raise ValueError("a mask beyond the image")
        pixels = np.zeros(size, bool)
        pixels[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
        return pixels
    return None


def _filled(corners: NDArray[np.float64], size: tuple[int, int], around: tuple[float, float] | None = None) -> Bools:
    """Return the pixels inside of corners [N, 2], bool [H, W]. `around` is the centre of a circle, which alone must lie
    in the image. Raises ValueError for corners that cannot be those of this image."""
    (left, top), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
    reach = f"points from {left:g}, {top:g} to {right:g}, {bottom:g}"
    if in_shares((left, top, right, bottom), size):
        raise ValueError(f"{reach} (shares instead of pixels?)")
    if not inside_picture((left, top, right, bottom) if around is None else (*around, *around), size):
        raise ValueError(f"{reach}, outside of {size[1]}x{size[0]} pixels")
    if right <= left or bottom <= top:
        raise ValueError(f"{reach}, which have no area")
    return decode_segmentation([corners.ravel().tolist()], size)


def _mask(data: bytes, path: Path) -> Bools:
    """Return the mask of a shape, which is a PNG of 0 and 1, of one bit, or of 0 and 255."""
    levels = decode_grey(data, path)
    values = np.unique(levels).tolist()
    if levels.dtype != np.uint8 or len(values) > 2 or not set(values) <= {0, 1, 255} or {1, 255} <= set(values):
        raise ValueError("a mask of other values than 0 and 1")
    return levels > 0
