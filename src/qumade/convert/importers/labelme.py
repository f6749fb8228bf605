"""LabelMe: one JSON file per image with shapes (polygon, rectangle, circle or mask), each with a label.

B. C. Russell et al., "LabelMe: a database and web-based tool for image annotation", IJCV 2008; fields as in
the tool labelme.
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

from qumade.convert.importers.coco_annotations import decode_segmentation
from qumade.convert.importers.objects import folders_of, painted
from qumade.convert.importers.records import IMAGE_SUFFIXES, Labels, Record, Source, choose_classes, require_records
from qumade.errors import DatasetError
from qumade.extras import needs
from qumade.io.decode import decode_bilevel
from qumade.io.files import read_bytes
from qumade.io.pictures import printable

__all__ = ["read_labelme"]

MAX_JSON_BYTES = 1 << 28  # a file may hold its image
CIRCLE_CORNERS = 128
LAYOUT = "JSON files of LabelMe beside their images"


def read_labelme(root: Path, classes: Collection[str] = ("car",)) -> Source:
    """Return the image of every JSON file below `root`. Shapes of one label and `group_id` are one object; later shapes
    cover earlier ones. Splits are unknown, unless a folder is named train, val or test."""
    with needs("imports", "this dataset"):
        import pycocotools.mask  # noqa: F401 - fails now, not after hours of work
    found: list[tuple[Path, Path, list[dict[str, Any]]]] = []
    for path in sorted(root.rglob("*.json")):
        content = _content(path)
        if content is not None:
            found.append((path, _image(path, root, content), content["shapes"]))
    names = sorted({str(shape["label"]) for _, _, shapes in found for shape in shapes})
    if found:
        choose_classes({name: (number,) for number, name in enumerate(names)}, classes, root)  # refuses unknown ones
    chosen = {name: place for place, name in enumerate(classes)}
    records = []
    for path, image, shapes in found:
        parts = path.relative_to(root).parts
        split = next((part for part in parts if part in ("train", "val", "test")), "")
        stem = path.relative_to(root).with_suffix("").as_posix().replace("/", "_")
        read = partial(_read, path, shapes, chosen)
        records.append(Record(stem, split, image, image.relative_to(root).as_posix(), read, inputs=(path,)))
    return Source("labelme", root, require_records(records, root, LAYOUT), folders_of(classes), tuple(classes))


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
    return {"imagePath": content.get("imagePath"), "shapes": content["shapes"]}


def _image(path: Path, root: Path, content: Mapping[str, Any]) -> Path:
    """Return the image of a file: the one it names, or the one of its stem beside it; never one outside of the root."""
    named = content["imagePath"]
    candidates = [path.parent / named.replace("\\", "/")] if isinstance(named, str) and named.isprintable() else []
    for image in (*candidates, *(path.with_suffix(suffix) for suffix in IMAGE_SUFFIXES)):
        if image.is_file() and image.suffix.lower() in IMAGE_SUFFIXES:
            if not image.resolve().is_relative_to(root.resolve()):
                wanted = f"must be a file below {printable(root)}"
                raise DatasetError(f"Invalid imagePath: got {named!r} in {printable(path)}; {wanted}")
            return (
                path.parent / Path(*image.relative_to(path.parent).parts)
                if ".." not in image.parts
                else image.resolve()
            )
    raise DatasetError(f"Invalid imagePath: got {str(named)[:100]!r} in {printable(path)}; must be an image beside it")


def _read(path: Path, shapes: list[dict[str, Any]], chosen: Mapping[str, int], size: tuple[int, int]) -> Labels:
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
            if label in chosen:
                raise DatasetError(
                    f"Invalid shape: got a {shape.get('shape_type')} of {label!r} in {printable(path)}; must be a "
                    "polygon, rectangle, circle or mask"
                )
            continue
        key = number if group is None else (label, str(group))
        before = groups.pop(key, None)
        groups[key] = chosen.get(label), pixels if before is None else before[1] | pixels
    return painted(size, groups.values())


def _pixels(shape: Mapping[str, Any], size: tuple[int, int], path: Path) -> NDArray[np.bool_] | None:
    """Return the pixels of a shape, None for one without an area: a point or a line."""
    kind = shape.get("shape_type") or "polygon"
    points = np.asarray(shape["points"], np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise ValueError("a non-finite point")
    if kind == "polygon":
        return decode_segmentation([points.ravel().tolist()], size)
    if kind == "rectangle":
        (x0, y0), (x1, y1) = points[[0, -1]]
        return decode_segmentation([[x0, y0, x1, y0, x1, y1, x0, y1]], size)
    if kind == "circle":
        (x, y), (u, v) = points[:2]
        angles = np.arange(CIRCLE_CORNERS) * (2 * math.pi / CIRCLE_CORNERS)
        corners = np.stack(
            [x + math.hypot(u - x, v - y) * np.cos(angles), y + math.hypot(u - x, v - y) * np.sin(angles)], 1
        )
        return decode_segmentation([corners.ravel().tolist()], size)
    if kind == "mask":
        inside = decode_bilevel(base64.b64decode(shape["mask"], validate=True), path)
        left, top = (int(side) for side in np.rint(points[0]))
        if left < 0 or top < 0 or left + inside.shape[1] > size[1] or top + inside.shape[0] > size[0]:
            raise ValueError("a mask beyond the image")
        pixels = np.zeros(size, bool)
        pixels[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
        return pixels
    return None
