"""COCO instances: annotations/instances_*.json with polygons and run lengths; photos in a folder named like the split.

T.-Y. Lin et al., "Microsoft COCO: common objects in context", ECCV 2014. An annotation with iscrowd 1 is a roughly
outlined group of objects: its pixels are ignored, as are those of an annotation that cannot be drawn, and of a category
that means "not labelled".
"""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from qumade.assets.label_names import means_unknown, table_of_names
from qumade.convert.importers.coco_annotations import (
    Annotation,
    check_annotation,
    decode_segmentation,
    unknown_pixels,
    whole,
)
from qumade.convert.importers.objects import folders_of
from qumade.convert.importers.records import Labels, Record, Source, choose_classes, require_records
from qumade.errors import DatasetError
from qumade.extras import needs
from qumade.io.decode import decode_rgb
from qumade.io.files import read_bytes
from qumade.io.listing import counted, named
from qumade.io.pictures import printable, read_picture

__all__ = ["MAX_JSON_BYTES", "image_of", "read_coco", "require_unique", "split_of"]

MAX_JSON_BYTES = 1 << 30
MAX_SIDE = 1 << 20
LAYOUT = "annotations/instances_SPLIT.json, or one instances*.json, and the photos"

Size = tuple[int, int]  # height, width


def read_coco(root: Path, classes: Collection[str] = ("car",)) -> Source:
    """Return every image of every instances*.json in `root` or its annotations/, also images without such objects. A
    file without any annotation is not labelled: it is left out, and a note says so.

    An annotation that contradicts its picture's size, its own bbox or area, or that has no outline, is unknown: notes
    count them. Raises QumadeError for ids of the classes' annotations that are not unique or lead nowhere, and where
    no annotation of the classes can be drawn.
    """
    with needs("imports", "this dataset"):
        import pycocotools.mask  # noqa: F401 - fails now, not after hours of work
    files = sorted([*root.glob("annotations/instances*.json"), *root.glob("instances*.json")])
    records: list[Record] = []
    notes: list[str] = []
    for path in files:
        found, said = _records(root, path, classes)
        records += found
        notes += said
    records = list(require_records(records, root, LAYOUT))
    return Source(
        "coco", root, tuple(records), folders_of(classes), tuple(classes), notes=tuple(notes), inputs=tuple(files)
    )


def _records(root: Path, path: Path, classes: Collection[str]) -> tuple[list[Record], list[str]]:
    name = path.stem.removeprefix("instances").strip("_")
    try:
        content = json.loads(read_bytes(path, MAX_JSON_BYTES))
        categories = [(whole(each["id"]), str(each["name"])) for each in content["categories"]]
        images = [(whole(image["id"]), str(image["file_name"]), _stated_size(image)) for image in content["images"]]
        listed = [dict(annotation) for annotation in content["annotations"]]
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        reason = " ".join(repr(error).split())[:120]
        wanted = "must be COCO instances (images, annotations, categories)"
        raise DatasetError(f"Invalid annotations: got {reason} in {printable(path)}; {wanted}") from error
    require_unique("category id", [number for number, _ in categories], path)
    require_unique("image id", [number for number, _, _ in images], path)
    table = table_of_names(dict(categories))
    choose_classes(table, classes, path)  # refuses unknown ones
    chosen = {number: place for place, name in enumerate(classes) for number in table[name]}
    if images and not listed:
        of = f"of {printable(path)}"
        count = counted(len(images), f"image {of} is", f"images {of} are")
        return [], [f"{count} left out: the file has no annotation"]
    folders = [folder for folder in (root / name, root / "images" / name, root / "images", root) if folder.is_dir()]
    photos = {number: image_of(folders, root, file_name, path) for number, file_name, _ in images}
    sizes = {number: size or _size_of(photos[number]) for number, _, size in images}
    known = frozenset(number for number, _ in categories)
    unknown = frozenset(number for number, each in categories if means_unknown(each) and number not in chosen)
    annotations, notes = _of_images(listed, sizes, chosen, known, path)
    _require_drawable(annotations, chosen, classes, path)
    notes += _unknown(annotations, photos, path)
    records = []
    for number, file_name, _ in images:
        image, of_image = photos[number], annotations.get(number, [])
        read = partial(_read, of_image, chosen, unknown, image, path, sizes[number])
        stem = Path(file_name).with_suffix("").as_posix().replace("/", "_").lstrip(".")
        uncertain = any(
            each.category is None
            or each.category in unknown
            or (each.category in chosen and (each.crowd or each.problem))
            for each in of_image
        )
        source = image.relative_to(root).as_posix()
        records.append(Record(stem, split_of(name), image, source, read, uncertain=bool(uncertain)))
    return records, notes


def _stated_size(image: dict[str, Any]) -> Size | None:
    if image.get("height") is None or image.get("width") is None:
        return None
    height, width = whole(image["height"]), whole(image["width"])
    if not (0 < height < MAX_SIDE and 0 < width < MAX_SIDE):
        raise ValueError(f"{width}x{height} pixels for {str(image['file_name'])[:80]}")
    return height, width


def _size_of(photo: Path) -> Size:
    height, width = decode_rgb(read_picture(photo), photo).shape[:2]
    return height, width


def split_of(name: str) -> str:
    """Return the split of a file of annotations by its name without "instances": val of val2017, Val or validation."""
    return next((split for split in ("train", "val", "test") if name.lower().startswith(split)), "")


def require_unique(what: str, numbers: list[int], path: Path) -> None:
    """Raise QumadeError for an id that the file `path` gives twice."""
    twice = [number for number, count in Counter(numbers).items() if count > 1]
    if twice:
        raise DatasetError(f"Invalid {what}: got {twice[0]} twice in {printable(path)}; must be unique")


def _of_images(
    listed: list[dict[str, Any]], sizes: dict[int, Size], chosen: Collection[int], known: frozenset[int], path: Path
) -> tuple[defaultdict[int, list[Annotation]], list[str]]:
    """Return the annotations of each image, and what is said of those of other classes that belong to none."""
    found: defaultdict[int, list[Annotation]] = defaultdict(list)
    aside: list[str] = []
    seen: dict[str, str] = {}
    for annotation in listed:
        number, class_number = str(annotation.get("id"))[:40], annotation.get("category_id")
        try:
            other = whole(class_number) not in chosen and whole(class_number) in known
        except ValueError:
            other = False
        try:
            image = whole(annotation.get("image_id"))
        except ValueError:
            image = None
        problem = None
        if image not in sizes:
            problem = f"image_id {str(annotation.get('image_id'))[:40]}", "be the id of an image in the file"
        elif number != "None" and number in seen:
            problem = "an id that another annotation has too", "be unique"
        seen[number] = number
        if problem is not None and not other:
            got, allowed = problem
            raise DatasetError(f"Invalid annotation {number}: got {got} in {printable(path)}; must {allowed}")
        if image not in sizes or image is None:
            aside.append(f"annotation {number}")
            continue
        if problem is not None:
            aside.append(f"annotation {number}")
        found[image].append(check_annotation(annotation, known, sizes[image]))
    if not aside:
        return found, []
    count = counted(len(aside), "annotation of another class has", "annotations of other classes have")
    return found, [f"{count} no image or another one's id in {printable(path)}: {named(aside)}"]


def _require_drawable(
    annotations: dict[int, list[Annotation]], chosen: Collection[int], classes: Collection[str], path: Path
) -> None:
    of_classes = [each for found in annotations.values() for each in found if each.category in chosen]
    if of_classes and all(each.problem is not None for each in of_classes):
        first = f"annotation {of_classes[0].number} {of_classes[0].problem}"
        got = f"no annotation of {', '.join(classes)} that can be drawn ({len(of_classes):,} cannot; {first})"
        raise DatasetError(f"Invalid annotations: got {got} in {printable(path)}; must have outlines in pixels")


def _unknown(annotations: dict[int, list[Annotation]], photos: dict[int, Path], path: Path) -> list[str]:
    bad = [
        f"annotation {each.number} of {photos[image].name} {each.problem}"
        for image, found in annotations.items()
        for each in found
        if each.problem is not None
    ]
    if not bad:
        return []
    count = counted(len(bad), "annotation", "annotations")
    return [f"{count} of {printable(path)} cannot be drawn, the pixels are unknown: {named(bad)}"]


def image_of(folders: list[Path], root: Path, file_name: str, path: Path) -> Path:
    """Return the path of a file_name in the first folder that has it; never a path outside of the root."""
    parts = Path(file_name).parts
    safe = bool(parts) and not Path(file_name).is_absolute() and ".." not in parts and file_name.isprintable()
    if not safe or "\\" in file_name:
        wanted = f"must be a file below {printable(root)}"
        raise DatasetError(f"Invalid file_name: got {ascii(file_name)[:200]} in {printable(path)}; {wanted}")
    for folder in folders:
        if (folder / file_name).is_file():
            if not (folder / file_name).resolve().is_relative_to(root.resolve()):
                wanted = f"must be a file below {printable(root)}, not a link out of it"
                raise DatasetError(f"Invalid file_name: got {file_name!r} in {printable(path)}; {wanted}")
            return folder / file_name
    looked = " or ".join(printable(folder) for folder in folders)
    raise DatasetError(f"Invalid dataset: got no photo {file_name!r} of {printable(path)}; must be in {looked}")


def _read(
    annotations: list[Annotation],
    chosen: Mapping[int, int],
    unknown: Collection[int],
    image: Path,
    path: Path,
    size: Size,
    shape: Size,
) -> Labels:
    if shape != size:
        wanted = (
            f"{size[1]}x{size[0]} as {printable(path)} says: was the photo resized or turned after it was labelled?"
        )
        raise DatasetError(f"Invalid size: got {shape[1]}x{shape[0]} pixels in {printable(image)}; must be {wanted}")
    mask, ignore = np.zeros(shape, bool), np.zeros(shape, bool)
    instances, others = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    object_classes: dict[int, int] = {}
    for number, annotation in enumerate(annotations, 1):
        nameless = annotation.category is None or annotation.category in unknown
        of_class = annotation.category in chosen or nameless
        if annotation.crowd and not of_class:
            continue
        drawn = annotation.problem is None
        pixels = decode_segmentation(annotation.segmentation, shape) if drawn else unknown_pixels(annotation, shape)
        if nameless or (of_class and (annotation.crowd or not drawn)):
            ignore |= pixels
        elif annotation.category is not None and annotation.category in chosen:
            mask |= pixels
            instances[pixels] = number
            object_classes[number] = chosen[annotation.category]
        else:
            others[pixels] = number
    return Labels(
        mask=np.where(mask, np.uint8(255), np.uint8(0)),
        ignore=ignore & ~mask,
        instances=instances,
        in_front=np.where(mask, np.int32(0), others),
        object_classes=object_classes,
    )
