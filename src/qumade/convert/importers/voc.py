"""Pascal VOC segmentation: JPEGImages, SegmentationClass, SegmentationObject, ImageSets/Segmentation.

M. Everingham et al., "The Pascal visual object classes challenge", IJCV 2010. Both maps are palette PNG: 0 background,
255 void, which is ignored. Classes are those of labelmap.txt if the dataset has one, otherwise the twenty of the
challenge. XML in Annotations confirms them; difficult objects are listed there, and void in the maps.
"""

import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qumade.assets.label_names import means_unknown, table_of_names, unnamed_ids, unnamed_text
from qumade.convert.importers.objects import UNKNOWN, folders_of, painted
from qumade.convert.importers.records import (
    Labels,
    Record,
    Source,
    choose_classes,
    left_out,
    pictures_by_stem,
    read_ids,
    require_records,
)
from qumade.errors import DatasetError
from qumade.io.files import read_bytes
from qumade.io.listing import counted, is_leftover, name_key, named
from qumade.io.palette import read_palette, voc_palette
from qumade.io.pictures import printable

__all__ = ["read_voc"]

CLASSES = [
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
]  # fmt: skip
SPLITS = ("train", "val", "test")
Colour = tuple[int, ...]
LAYOUT = "JPEGImages/, SegmentationClass/, SegmentationObject/ and ImageSets/Segmentation/SPLIT.txt"
VOID = 255
MAX_TEXT_BYTES = 1 << 24


def read_voc(root: Path, classes: Collection[str] = ("car",)) -> Source:
    """Return the images in the lists of ImageSets/Segmentation that have maps of classes and objects. Notes name listed
    images without a photo or a map, and maps that no list has.

    An image in several lists, such as train and trainval, has the split of the first of train, val and test.
    """
    names, colours = _names(root / "labelmap.txt")
    table = table_of_names(dict(enumerate(names, 1)))
    choose_classes(table, classes, root)  # refuses unknown ones
    chosen = {number: place for place, name in enumerate(classes) for number in table[name]}
    meaning = [chosen.get(number, UNKNOWN if means_unknown(name) else None) for number, name in enumerate(names, 1)]
    images = pictures_by_stem(root / "JPEGImages")
    class_maps = pictures_by_stem(root / "SegmentationClass", (".png",))
    object_maps = pictures_by_stem(root / "SegmentationObject", (".png",))
    records, missing = [], []
    splits = _splits(root / "ImageSets" / "Segmentation")
    for stem, split in splits.items():
        if not (stem in images and stem in class_maps and stem in object_maps):
            missing.append(stem)
            continue
        annotation = root / "Annotations" / f"{images[stem].stem}.xml"
        listed = _listed(annotation) if annotation.is_file() else None
        read = partial(_read, class_maps[stem], object_maps[stem], annotation, listed, names, colours, meaning)
        source = images[stem].relative_to(root).as_posix()
        inputs = (class_maps[stem], object_maps[stem], *([annotation] if annotation.is_file() else []))
        uncertain = listed is not None and any(listed[name] for name in classes)
        records.append(Record(stem, split, images[stem], source, read, uncertain=uncertain, inputs=inputs))
    found = require_records(records, root, LAYOUT)
    notes = []
    if missing:
        listed_in = f"in the lists of {printable(root)}"
        count = counted(len(missing), f"image {listed_in} is", f"images {listed_in} are")
        notes.append(f"{count} left out, without a photo or a map: {named(missing)}")
    used = [class_maps[stem] for stem in splits if stem in class_maps]
    notes += left_out(root / "SegmentationClass", used, "in no list of ImageSets/Segmentation")
    shared = tuple(path for path in (root / "labelmap.txt",) if path.is_file())
    return Source("voc", root, found, folders_of(classes), tuple(classes), notes=tuple(notes), inputs=shared)


def _names(path: Path) -> tuple[list[str], dict[Colour, int]]:
    """Return the names of the classes 1, 2, ... from labelmap.txt: a line name:r,g,b:: for each, background first; and
    the value of each colour, none where the colours are not all different."""
    if not path.is_file():
        return CLASSES, _values([tuple(colour) for colour in voc_palette()[: len(CLASSES) + 1].tolist()])
    lines = read_bytes(path, MAX_TEXT_BYTES, DatasetError).decode("utf-8-sig", "replace").splitlines()
    parts = [line.split(":") for line in lines if line.strip() and not line.startswith("#")]
    names = [part[0].strip() for part in parts]
    if len(names) < 2 or names[0] != "background":
        raise DatasetError(
            f"Invalid labelmap: got {names[:1]} first in {printable(path)}; must be background, then classes"
        )
    colours = [part[1].split(",") if len(part) > 1 else [] for part in parts]
    known = all(len(each) == 3 and all(level.strip().isdecimal() for level in each) for each in colours)
    return names[1:], _values([tuple(int(level) for level in each) for each in colours] if known else [])


def _values(colours: list[Colour]) -> dict[Colour, int]:
    return {colour: value for value, colour in enumerate(colours)} if len(set(colours)) == len(colours) else {}


def _require_order(
    class_map: Path, values: NDArray[np.integer], names: list[str], colours: Mapping[Colour, int]
) -> None:
    """Refuse a map whose palette gives a value the colour of another class: programs that make pictures smaller number
    the colours anew."""
    palette = read_palette(class_map) if colours else None
    if palette is None:
        return
    shown = {
        value: tuple(palette[value].tolist()) for value in values.tolist() if value < min(len(palette), len(names))
    }
    if len(set(shown.values())) < len(shown):
        return  # a palette without meaning
    for value, colour in shown.items():
        other = colours.get(colour, value)
        if other != value:
            got = f"value {value}, {names[value]}, in the colour {', '.join(map(str, colour))} of {names[other]}"
            wanted = "numbered as the classes: was the file made smaller?"
            raise DatasetError(f"Invalid palette: got {got} in {printable(class_map)}; must be {wanted}")


def _splits(folder: Path) -> dict[str, str]:
    """Return the split of each listed image. A name may have spaces, and then stand in quotes."""
    found: dict[str, str] = {}
    lists = {path.stem: path for path in sorted(folder.glob("*.txt")) if not is_leftover(path.name)}
    for name in (*(split for split in SPLITS if split in lists), *lists):
        for line in read_bytes(lists[name], MAX_TEXT_BYTES, DatasetError).decode("utf-8-sig", "replace").splitlines():
            if line.strip():
                found.setdefault(name_key(line.strip().strip('"')), name if name in SPLITS else "")
    return found


def _read(
    class_map: Path,
    object_map: Path,
    annotation: Path,
    listed: Counter[str] | None,
    names: list[str],
    colours: Mapping[Colour, int],
    meaning: list[int | None],
    shape: tuple[int, int],
) -> Labels:
    """Return the labels of an image. Pixels on which the maps do not agree are unknown, such as those of a class but of
    no object."""
    classes, numbers = read_ids(class_map, shape), read_ids(object_map, shape)
    _require_order(class_map, np.unique(classes), ["background", *names], colours)
    unnamed = unnamed_ids(classes, range(len(names) + 1))
    if unnamed:
        wanted = f"must be a class, 1 to {len(names)}, 0 or {VOID}"
        raise DatasetError(
            f"Invalid class: got {unnamed_text(unnamed, classes)[0]} in {printable(class_map)}; {wanted}"
        )
    objects, found = [], Counter[str]()
    known = (classes == 0) & (numbers == 0)
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
        pixels &= classes == value
        known |= pixels
        objects.append((meaning[value - 1], pixels))
    if listed is not None:
        _confirm(annotation, listed, found, class_map)
    return painted(shape, objects, ~known)


def _confirm(path: Path, listed: Counter[str], found: Counter[str], class_map: Path) -> None:
    """Refuse maps that show a class that their XML does not list: then the names of the values are wrong."""
    for name in found:
        if name not in listed:
            has = ", ".join(sorted(listed)) or "no object"
            raise DatasetError(
                f"Invalid classes: got {name!r} in {printable(class_map)}, but {has} in {printable(path)}; must agree "
                "(labelmap.txt names the values of the maps)"
            )


def _listed(path: Path) -> Counter[str]:
    """Return the names of the objects that an XML file lists, with the number of those marked as difficult."""
    text = read_bytes(path, MAX_TEXT_BYTES, DatasetError)
    try:
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:  # entities can grow without limit
            raise ElementTree.ParseError("a document type")
        found = Counter[str]()
        for each in ElementTree.fromstring(text).iter("object"):
            found[(each.findtext("name") or "").strip()] += (each.findtext("difficult") or "").strip() == "1"
        return found
    except ElementTree.ParseError as error:
        raise DatasetError(f"Invalid XML: got {error} in {printable(path)}; must be an annotation of VOC") from None
