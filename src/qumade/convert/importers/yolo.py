"""YOLO segmentation: data.yaml, images/SPLIT and labels/SPLIT/STEM.txt with a line of class and outline per object."""

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from qumade.assets.label_names import table_of_names
from qumade.convert.importers.coco_annotations import decode_segmentation
from qumade.convert.importers.objects import folders_of, painted
from qumade.convert.importers.records import (
    IMAGE_SUFFIXES,
    Labels,
    Record,
    Source,
    choose_classes,
    pictures_by_stem,
    require_records,
)
from qumade.errors import DatasetError
from qumade.extras import needs
from qumade.io.config import read_yaml, shown
from qumade.io.files import read_bytes
from qumade.io.pictures import printable

__all__ = ["read_yolo"]

MAX_LABEL_BYTES = 1 << 24
LAYOUT = "data.yaml with names and the folders of train, val or test, and labels/ beside images/"
SPLITS = ("train", "val", "test")


def read_yolo(root: Path, classes: Collection[str] = ("car",)) -> Source:
    """Return the images of all splits that data.yaml names, also images without a label file: they show no object.

    Folders must lie below `root`; an absolute `path` of another machine is replaced by `root`.
    """
    with needs("imports", "this dataset"):
        import pycocotools.mask  # noqa: F401 - fails now, not after hours of work
    files = [path for path in (root / "data.yaml", *sorted(root.glob("*.yaml"))) if path.is_file()]
    if not files:
        raise DatasetError(f"Invalid dataset: found no data.yaml in {printable(root)}; must have {LAYOUT}")
    content = read_yaml(files[0], "data.yaml")
    names = content.get("names") if isinstance(content, dict) else None
    names = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(content, dict) or not isinstance(names, dict) or not all(type(key) is int for key in names):
        raise DatasetError(
            f"Invalid names: got {shown(names)} in {printable(files[0])}; must be the names of the classes"
        )
    table = table_of_names({key: str(name) for key, name in names.items()})
    choose_classes(table, classes, root)  # refuses unknown ones
    chosen = {number: place for place, name in enumerate(classes) for number in table[name]}
    records = []
    for split in (*SPLITS, *(key for key in content if key not in (*SPLITS, "path", "names", "nc", "download"))):
        folders = content.get(split)
        for folder in folders if isinstance(folders, list) else [folders]:
            if isinstance(folder, str):
                records += _records(root, files[0], content.get("path"), folder, split, chosen, len(names))
    found = require_records(records, root, LAYOUT)
    return Source("yolo", root, found, folders_of(classes), tuple(classes), inputs=(files[0],))


def _records(
    root: Path, file: Path, base: Any, folder: str, split: str, chosen: Mapping[int, int], known: int
) -> list[Record]:
    start = root / base if isinstance(base, str) and (root / base).is_dir() else root
    images = start / folder
    if not images.is_dir() or not images.resolve().is_relative_to(root.resolve()):
        if split not in SPLITS:
            return []  # another key of the file, not the folder of a split
        wanted = f"must be a folder of images below {printable(root)}"
        raise DatasetError(f"Invalid {split}: got {shown(folder)} in {printable(file)}; {wanted}")
    parts = list(images.relative_to(root).parts)
    if "images" not in parts:
        raise DatasetError(f"Invalid {split}: got {shown(folder)} in {printable(file)}; must be below a folder images/")
    last = len(parts) - 1 - parts[::-1].index("images")
    labels = root.joinpath(*parts[:last], "labels", *parts[last + 1 :])
    return [
        Record(
            stem,
            split if split in SPLITS else "",
            image,
            image.relative_to(root).as_posix(),
            partial(_read, labels / f"{stem}.txt", chosen, known),
            inputs=tuple(path for path in (labels / f"{stem}.txt",) if path.is_file()),
        )
        for stem, image in pictures_by_stem(images, IMAGE_SUFFIXES).items()
    ]


def _read(path: Path, chosen: Mapping[int, int], known: int, shape: tuple[int, int]) -> Labels:
    objects = []
    text = read_bytes(path, MAX_LABEL_BYTES, DatasetError).decode("utf-8", "replace") if path.is_file() else ""
    for row, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        number, *numbers = line.split()
        try:
            corners = np.array([float(part) for part in numbers]).reshape(-1, 2) * (shape[1], shape[0])
            if not (number.isascii() and number.isdigit() and int(number) < known) or len(corners) < 3:
                raise ValueError("no class of data.yaml and three corners or more")
            pixels = decode_segmentation([corners.ravel().tolist()], shape)
        except ValueError as error:
            wanted = "a class number and the corners of an outline, as shares of width and height"
            raise DatasetError(
                f"Invalid label: got {line[:60]!r} in line {row} of {printable(path)}; must be {wanted} ({error})"
            ) from None
        objects.append((chosen.get(int(number)), pixels))
    return painted(shape, objects)
