"""YOLO segmentation: data.yaml, images/SPLIT and labels/SPLIT/STEM.txt with a line of class and outline per object."""

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qumade.assets.label_names import means_unknown, table_of_names
from qumade.convert.importers.coco_annotations import OUTSIDE, decode_segmentation
from qumade.convert.importers.objects import UNKNOWN, folders_of, painted
from qumade.convert.importers.records import (
    IMAGE_SUFFIXES,
    Labels,
    Record,
    Source,
    choose_classes,
    left_out,
    pictures_by_stem,
    require_records,
)
from qumade.errors import DatasetError
from qumade.extras import needs
from qumade.io.config import read_yaml, shown
from qumade.io.files import read_bytes
from qumade.io.listing import counted
from qumade.io.pictures import printable

__all__ = ["read_yolo"]

MAX_LABEL_BYTES = 1 << 24
LAYOUT = "data.yaml with names and the folders of train, val or test, and labels/ beside images/"
SPLITS = ("train", "val", "test")
NAMES_OF_CLASSES = "classes.txt"  # tools write it among the labels

Names = Mapping[int, int | None]  # what the mask has for each class number of data.yaml: see `painted`


def read_yolo(root: Path, classes: Collection[str] = ("car",)) -> Source:
    """Return the images of the splits that data.yaml names, also images without a label file: they show no object.

    A folder of images of which none has a label file is not labelled: it is left out, and a note says so. Folders must
    lie below `root`; an absolute `path` of another machine is replaced by `root`.
    """
    with needs("imports", "this dataset"):
        import pycocotools.mask  # noqa: F401 - fails now, not after hours of work
    files = [path for path in (root / "data.yaml", *sorted(root.glob("*.yaml"))) if path.is_file()]
    if not files:
        raise DatasetError(f"Invalid dataset: found no data.yaml in {printable(root)}; must have {LAYOUT}")
    content: Any = read_yaml(files[0], "data.yaml")
    names = _names(content, files[0])
    table = table_of_names(names)
    choose_classes(table, classes, root)  # refuses unknown ones
    chosen = {number: place for place, name in enumerate(classes) for number in table[name]}
    meaning = {i: chosen.get(i, UNKNOWN if means_unknown(name) else None) for i, name in names.items()}
    records: list[Record] = []
    notes: list[str] = []
    for split in (*SPLITS, *(key for key in content if key not in (*SPLITS, "path", "names", "nc", "download"))):
        folders = content.get(split)
        for folder in folders if isinstance(folders, list) else [folders]:
            if isinstance(folder, str):
                found, said = _records(root, files[0], content.get("path"), folder, split, meaning)
                records, notes = records + found, notes + said
    required = require_records(records, root, LAYOUT)
    inputs = (files[0],)
    return Source("yolo", root, required, folders_of(classes), tuple(classes), notes=tuple(notes), inputs=inputs)


def _names(content: Any, file: Path) -> dict[int, str]:
    """Return the names of the classes by number. Raises DatasetError for others, and for labels of a pose."""
    names = content.get("names") if isinstance(content, dict) else None
    names = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(names, dict) or not all(type(key) is int and key >= 0 for key in names):
        raise DatasetError(f"Invalid names: got {shown(names)} in {printable(file)}; must be the names of the classes")
    if content.get("kpt_shape") is not None:
        got = f"kpt_shape {shown(content['kpt_shape'])}, so its labels are boxes and keypoints,"
        raise DatasetError(f"Invalid data.yaml: got {got} in {printable(file)}; must be of the task segment")
    count = content.get("nc", len(names))
    if count != len(names):
        wanted = f"the number of its names, {len(names)}"
        raise DatasetError(f"Invalid nc: got {shown(count)} in {printable(file)}; must be {wanted}")
    return {key: str(name) for key, name in names.items()}


def _records(
    root: Path, file: Path, base: Any, folder: str, split: str, meaning: Names
) -> tuple[list[Record], list[str]]:
    start = root / base if isinstance(base, str) and (root / base).is_dir() else root
    images = start / folder
    if not images.is_dir() or not images.resolve().is_relative_to(root.resolve()):
        if split not in SPLITS:
            return [], []  # another key of the file, not the folder of a split
        wanted = f"must be a folder of images below {printable(root)}"
        raise DatasetError(f"Invalid {split}: got {shown(folder)} in {printable(file)}; {wanted}")
    parts = list(images.relative_to(root).parts)
    if "images" not in parts:
        raise DatasetError(f"Invalid {split}: got {shown(folder)} in {printable(file)}; must be below a folder images/")
    last = len(parts) - 1 - parts[::-1].index("images")
    labels = root.joinpath(*parts[:last], "labels", *parts[last + 1 :])
    label_of = {
        stem: path for stem, path in pictures_by_stem(labels, (".txt",)).items() if path.name != NAMES_OF_CLASSES
    }
    image_of = pictures_by_stem(images, IMAGE_SUFFIXES)
    notes = left_out(images, image_of.values(), "no images (sub-folders are not read)")
    used = [label_of[stem] for stem in image_of if stem in label_of]
    if image_of and not used:
        of = f"of {printable(images)}"
        count = counted(len(image_of), f"image {of} is", f"images {of} are")
        return [], [*notes, f"{count} left out: none has a label file in {printable(labels)}"]
    notes += left_out(labels, [*used, labels / NAMES_OF_CLASSES], "without an image")
    return [
        Record(
            stem,
            split if split in SPLITS else "",
            image,
            image.relative_to(root).as_posix(),
            partial(_read, label_of.get(stem), meaning),
            inputs=(label_of[stem],) if stem in label_of else (),
        )
        for stem, image in image_of.items()
    ], notes


def _read(path: Path | None, meaning: Names, shape: tuple[int, int]) -> Labels:
    if path is None:
        return painted(shape, ())
    objects = []
    text = read_bytes(path, MAX_LABEL_BYTES, DatasetError).decode("utf-8-sig", "replace")
    for row, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        number, *numbers = line.split()
        try:
            if not (number.isascii() and number.isdigit() and int(number) in meaning):
                raise ValueError("no class of data.yaml")
            pixels = decode_segmentation([_corners(numbers, shape)], shape)
        except ValueError as error:
            wanted = "a class number and the corners of an outline, as shares of width and height"
            raise DatasetError(
                f"Invalid label: got {line[:60]!r} in line {row} of {printable(path)}; must be {wanted} ({error})"
            ) from None
        objects.append((meaning[int(number)], pixels))
    return painted(shape, objects)


def _corners(numbers: list[str], shape: tuple[int, int]) -> list[float]:
    """Return x and y of each corner in pixels. Raises ValueError for numbers that are no shares of the picture."""
    shares: NDArray[np.float64] = np.array([float(part) for part in numbers])
    if len(shares) < 6 or len(shares) % 2:
        raise ValueError(f"{len(shares)} numbers, where three corners have 6; boxes have no outline")
    if not (shares.min() >= -OUTSIDE and shares.max() <= 1 + OUTSIDE):
        raise ValueError(f"numbers from {shares.min():g} to {shares.max():g}, outside of 0 to 1")
    corners: list[float] = (shares.reshape(-1, 2) * (shape[1], shape[0])).ravel().tolist()
    return corners
