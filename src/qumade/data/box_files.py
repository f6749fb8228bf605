"""Learn the layout of scenes from a list of boxes: a CSV file, or the annotations of a COCO JSON file."""

import csv
import io
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qumade.assets.scene_layout import MOST_OBJECTS, ROWS, SIZES, SceneLayout, count_boxes
from qumade.errors import DatasetError
from qumade.io.config import shown
from qumade.io.files import read_bytes
from qumade.io.pictures import printable

__all__ = ["COLUMNS", "layout_of_boxes"]

MAX_BYTES = 1 << 30
MOST_PX = 1e6  # a side of a picture
COLUMNS = ("x", "y", "width", "height", "image_width", "image_height")
_BOX = ("x", "y", "width", "height")


class _Picture(NamedTuple):
    width: float
    height: float


class _Boxes:
    """Boxes in their pictures, counted one by one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.table = np.zeros((ROWS, SIZES), np.int64)
        self.of_picture: Counter[object] = Counter()
        self._reach = 0.0  # the farthest edge of a box from the upper left corner

    def add(self, box: Iterable[Any], picture: _Picture, key: object, where: str) -> None:
        left, top, width, height = (self.number(value, name, where) for value, name in zip(box, _BOX, strict=True))
        for value, name in ((width, "width"), (height, "height")):
            if not 0 < value <= 10 * MOST_PX:
                raise self.wrong(name, value, where, "above 0 pixels")
        self._reach = max(self._reach, left + width, top + height)
        right, bottom = min(left + width, picture.width), min(top + height, picture.height)
        left, top = max(left, 0.0), max(top, 0.0)
        if not (left < right and top < bottom):
            box_text = [left, top, width, height]
            inside = f"inside its picture of {picture.width:g}x{picture.height:g} pixels"
            raise self.wrong("box", box_text, where, inside)
        self.table += count_boxes(np.array([[left, top, right, bottom]]), picture.width, picture.height)
        self.of_picture[key] += 1

    def picture(self, width: Any, height: Any, names: tuple[str, str], where: str) -> _Picture:
        sides = [self.number(value, name, where) for value, name in zip((width, height), names, strict=True)]
        for value, name in zip(sides, names, strict=True):
            if not 1 <= value <= MOST_PX:
                raise self.wrong(name, value, where, f"1 to {MOST_PX:g} pixels")
        return _Picture(*sides)

    def number(self, value: Any, name: str, where: str) -> float:
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise self.wrong(name, value, where, "a finite number of pixels")
        return number

    def wrong(self, what: str, got: object, where: str, must_be: str) -> DatasetError:
        return DatasetError(
            f"Invalid {what}: got {shown(got)} in {where} of {printable(self._path)}; must be {must_be}"
        )

    def layout(self, pictures: Iterable[object] | None) -> SceneLayout:
        """The layout; `pictures` are the keys of those whose number of objects is known, or None if no one's is."""
        if not self.table.any():
            raise DatasetError(f"Invalid boxes: got none in {printable(self._path)}; must have at least one")
        if self._reach <= 1:
            raise self.wrong("boxes", f"at most {self._reach:g} in all", "the boxes", "pixels, not shares")
        number: tuple[float, ...] = ()
        if pictures is not None:
            counts = np.bincount(
                [min(self.of_picture[key], MOST_OBJECTS) for key in pictures] or [0], minlength=MOST_OBJECTS + 1
            )
            number = tuple(counts.tolist()) if counts[1:].any() else ()
        return SceneLayout(
            format="qumade-layout/1",
            told_apart="boxes",
            pictures=len(self.of_picture.keys() | set(pictures or ())),
            number=number,
            size_and_row=tuple(map(tuple, self.table.tolist())),
        )


def layout_of_boxes(path: Path, category: str | None = None) -> SceneLayout:
    """Return the layout of the boxes in a file.

    CSV: columns x, y, width, height of the box and image_width, image_height, in pixels. With a column `image` the
    boxes of a picture belong together; a row without box is a picture without object. JSON: COCO (images, annotations
    with bbox), only the annotations of `category` if given; a picture with a crowd does not count for the number.
    Boxes are cut at the edges of their picture. Raises QumadeError naming file, line, value and what is allowed.
    """
    if path.suffix.lower() == ".json":
        return _coco(path, category)
    if category is not None:
        raise DatasetError(
            f"Invalid category: got {category!r} for {printable(path)}; must be left out but for COCO JSON"
        )
    return _csv(path)


def _csv(path: Path) -> SceneLayout:
    boxes = _Boxes(path)
    try:
        text = read_bytes(path, MAX_BYTES, DatasetError).decode("utf-8-sig")
        rows = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
        names = [str(name).strip() for name in rows.fieldnames or ()]
        rows.fieldnames = names
        missing = [name for name in COLUMNS if name not in names]
        if missing:
            raise boxes.wrong("columns", names, "line 1", f"{', '.join(COLUMNS)} and, if known, image")
        known: dict[object, _Picture] = {}
        for row in rows:
            where = f"line {rows.line_num}"
            picture = boxes.picture(row["image_width"], row["image_height"], ("image_width", "image_height"), where)
            key: object = row["image"] if "image" in names else rows.line_num
            if known.setdefault(key, picture) != picture:
                raise boxes.wrong("image", key, where, "of one size in all lines")
            values = [row[name] for name in _BOX]
            if "image" in names and not any((value or "").strip() for value in values):
                continue  # a picture without object
            boxes.add(values, picture, key, where)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"Invalid boxes: cannot read {printable(path)}: {error}; must be a CSV file") from error
    return boxes.layout(known if "image" in names else None)


def _coco(path: Path, category: str | None) -> SceneLayout:
    boxes = _Boxes(path)
    try:
        content = json.loads(read_bytes(path, MAX_BYTES, DatasetError))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"Invalid boxes: cannot read {printable(path)}: {error}; must be COCO JSON") from error
    images, annotations = (_entries(boxes, content, name) for name in ("images", "annotations"))
    chosen, known = (None, None) if category is None else _category(boxes, content, category)
    pictures: dict[object, _Picture] = {}
    for number, image in enumerate(images):
        where = f"images[{number}]"
        if _key(image.get("id")) is None or _key(image.get("id")) in pictures:
            raise boxes.wrong("id", image.get("id"), where, "a number or a name of its own")
        pictures[_key(image["id"])] = boxes.picture(image.get("width"), image.get("height"), ("width", "height"), where)
    crowded = set()
    for number, annotation in enumerate(annotations):
        where = f"annotations[{number}]"
        if known is not None and _key(annotation.get("category_id")) not in known:
            raise boxes.wrong("category_id", annotation.get("category_id"), where, "the id of one of the categories")
        if chosen is not None and _key(annotation.get("category_id")) not in chosen:
            continue
        key = _key(annotation.get("image_id"))
        if key is None or key not in pictures:
            raise boxes.wrong("image_id", annotation.get("image_id"), where, "the id of one of the images")
        crowd = annotation.get("iscrowd") or 0
        if str(crowd) not in ("0", "1", "True"):
            raise boxes.wrong("iscrowd", crowd, where, "0 or 1")
        if str(crowd) != "0":
            crowded.add(key)
            continue
        box = annotation.get("bbox")
        if not isinstance(box, list) or len(box) != 4:
            raise boxes.wrong("bbox", box, where, "a list of x, y, width and height")
        boxes.add(box, pictures[key], key, where)
    return boxes.layout([key for key in pictures if key not in crowded])


def _entries(boxes: _Boxes, content: Any, name: str) -> list[Mapping[str, Any]]:
    entries = content.get(name) if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise boxes.wrong(name, entries, "the top level", "a list of objects, as in COCO (images, annotations)")
    return entries


def _category(boxes: _Boxes, content: Any, category: str) -> tuple[set[object], set[object]]:
    """Return the ids of a category, and those of all."""
    ids: defaultdict[str, set[object]] = defaultdict(set)
    for entry in _entries(boxes, content, "categories"):
        ids[str(entry.get("name"))].add(_key(entry.get("id")))
    if category not in ids:
        raise boxes.wrong("category", category, "the command line", f"one of {shown(sorted(ids))}")
    return ids[category], set().union(*ids.values())


def _key(value: object) -> int | str | None:
    """Return an id: some tools write numbers as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None
