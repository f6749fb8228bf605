"""Pascal VOC segmentation: JPEGImages, SegmentationClass, SegmentationObject, ImageSets/Segmentation.

M. Everingham et al., "The Pascal visual object classes challenge", IJCV 2010. Both maps are palette PNG: 0 background,
255 void, which is ignored. Classes are those of labelmap.txt if the dataset has one, otherwise the twenty of the
challenge. XML in Annotations confirms them.
"""

import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from qumade.assets.label_names import table_of_names
from qumade.convert.importers.objects import folders_of, painted
from qumade.convert.importers.records import (
    Labels,
    Record,
    Source,
    choose_classes,
    pictures_by_stem,
    read_ids,
    require_records,
)
from qumade.errors import DatasetError
from qumade.io.files import read_bytes
from qumade.io.pictures import printable

__all__ = ["read_voc"]

CLASSES = [
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
]  # fmt: skip
LAYOUT = "JPEGImages/, SegmentationClass/, SegmentationObject/ and ImageSets/Segmentation/SPLIT.txt"
VOID = 255
MAX_TEXT_BYTES = 1 << 24


def read_voc(root: Path, classes: Collection[str] = ("car",)) -> Source:
    """Return the images in the lists of ImageSets/Segmentation that have maps of classes and objects.

    An image in several lists, such as train and trainval, has the split of the first of train, val and test.
    """
    names = _names(root / "labelmap.txt")
    table = table_of_names(dict(enumerate(names, 1)))
    choose_classes(table, classes, root)  # refuses unknown ones
    chosen = {number: place for place, name in enumerate(classes) for number in table[name]}
    images = pictures_by_stem(root / "JPEGImages")
    class_maps = pictures_by_stem(root / "SegmentationClass", (".png",))
    object_maps = pictures_by_stem(root / "SegmentationObject", (".png",))
    records = []
    for stem, split in _splits(root / "ImageSets" / "Segmentation").items():
        if stem in images and stem in class_maps and stem in object_maps:
            annotation = root / "Annotations" / f"{stem}.xml"
            read = partial(_read, class_maps[stem], object_maps[stem], annotation, names, chosen)
            source = images[stem].relative_to(root).as_posix()
            inputs = (class_maps[stem], object_maps[stem], *([annotation] if annotation.is_file() else []))
            records.append(Record(stem, split, images[stem], source, read, inputs=inputs))
    found = require_records(records, root, LAYOUT)
    shared = tuple(path for path in (root / "labelmap.txt",) if path.is_file())
    return Source("voc", root, found, folders_of(classes), tuple(classes), inputs=shared)


def _names(path: Path) -> list[str]:
    """Return the names of the classes 1, 2, ... from labelmap.txt: a line name:r,g,b:: for each, background first."""
    if not path.is_file():
        return CLASSES
    lines = read_bytes(path, MAX_TEXT_BYTES, DatasetError).decode("utf-8", "replace").splitlines()
    names = [line.split(":")[0].strip() for line in lines if line.strip() and not line.startswith("#")]
    if len(names) < 2 or names[0] != "background":
        raise DatasetError(
            f"Invalid labelmap: got {names[:1]} first in {printable(path)}; must be background, then classes"
        )
    return names[1:]


def _splits(folder: Path) -> dict[str, str]:
    """Return the split of each listed image."""
    found: dict[str, str] = {}
    lists = {path.stem: path for path in sorted(folder.glob("*.txt"))}
    for name in (*(split for split in ("train", "val", "test") if split in lists), *lists):
        for line in read_bytes(lists[name], MAX_TEXT_BYTES, DatasetError).decode("utf-8", "replace").splitlines():
            if line.strip():
                found.setdefault(line.split()[0], name if name in ("train", "val", "test") else "")
    return found


def _read(
    class_map: Path,
    object_map: Path,
    annotation: Path,
    names: list[str],
    chosen: Mapping[int, int],
    shape: tuple[int, int],
) -> Labels:
    classes, numbers = read_ids(class_map, shape), read_ids(object_map, shape)
    objects, found = [], Counter[str]()
    for number in np.unique(numbers[(numbers > 0) & (numbers != VOID)]).tolist():
        pixels = (numbers == number) & (classes != VOID)
        values, counts = np.unique(classes[pixels], return_counts=True)
        if len(values) == 0:
            continue
        value = int(values[counts.argmax()])
        if not 1 <= value <= len(names):
            wanted = f"must be a class, 1 to {len(names)}"
            raise DatasetError(f"Invalid class: got {value} for object {number} in {printable(class_map)}; {wanted}")
        found[names[value - 1]] += 1
        objects.append((chosen.get(value), pixels))
    if annotation.is_file():
        _confirm(annotation, found, class_map)
    return painted(shape, objects, (classes == VOID) | (numbers == VOID))


def _confirm(path: Path, found: Counter[str], class_map: Path) -> None:
    """Refuse maps that show a class that their XML does not list: then the names of the values are wrong."""
    listed = set(_listed(path))
    for name in found:
        if name not in listed:
            has = ", ".join(sorted(listed)) or "no object"
            raise DatasetError(
                f"Invalid classes: got {name!r} in {printable(class_map)}, but {has} in {printable(path)}; must agree "
                "(labelmap.txt names the values of the maps)"
            )


def _listed(path: Path) -> Iterator[str]:
    text = read_bytes(path, MAX_TEXT_BYTES, DatasetError)
    try:
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:  # entities can grow without limit
            raise ElementTree.ParseError("a document type")
        for each in ElementTree.fromstring(text).iter("object"):
            yield (each.findtext("name") or "").strip()
    except ElementTree.ParseError as error:
        raise DatasetError(f"Invalid XML: got {error} in {printable(path)}; must be an annotation of VOC") from None
