"""COCO panoptic: annotations/panoptic_SPLIT.json, panoptic_SPLIT/*.png with the id R + 256 G + 65536 B of each pixel's
segment, and photos in a folder named like the split.

A. Kirillov et al., "Panoptic segmentation", CVPR 2019. Pixels of no segment and of crowds are ignored.
"""

import json
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from qumade.assets.label_names import means_unknown, table_of_names
from qumade.convert.importers.coco import MAX_JSON_BYTES, image_of, require_unique, split_of
from qumade.convert.importers.coco_annotations import whole
from qumade.convert.importers.objects import UNKNOWN, folders_of, painted
from qumade.convert.importers.records import Labels, Record, Source, choose_classes, require_records, require_size
from qumade.errors import DatasetError
from qumade.io.decode import decode_rgb
from qumade.io.files import read_bytes
from qumade.io.listing import counted, named
from qumade.io.pictures import one_line, printable, read_picture

__all__ = ["read_coco_panoptic"]

LAYOUT = "annotations/panoptic_SPLIT.json, panoptic_SPLIT/*.png and the photos"


def read_coco_panoptic(root: Path, classes: Collection[str] = ("car",)) -> Source:
    """Return every annotated image of every panoptic*.json in `root` or its annotations/. Each segment of a class is an
    object, also one of a class without countable things, such as sky. Segments of crowds, of categories that the file
    does not list and of categories that mean "not labelled" are unknown.

    Raises QumadeError for ids that are not unique or lead nowhere; notes count images without an annotation.
    """
    files = sorted([*root.glob("annotations/panoptic*.json"), *root.glob("panoptic*.json")])
    records: list[Record] = []
    notes: list[str] = []
    for path in files:
        found, said = _records(root, path, classes)
        records += found
        notes += said
    found_records = require_records(records, root, LAYOUT)
    folders, inputs = folders_of(classes), tuple(files)
    return Source("coco_panoptic", root, found_records, folders, tuple(classes), notes=tuple(notes), inputs=inputs)


def _records(root: Path, path: Path, classes: Collection[str]) -> tuple[list[Record], list[str]]:
    name = path.stem.removeprefix("panoptic").strip("_")
    try:
        content = json.loads(read_bytes(path, MAX_JSON_BYTES))
        categories = [(whole(each["id"]), str(each["name"])) for each in content["categories"]]
        images = [(whole(image["id"]), str(image["file_name"])) for image in content["images"]]
        annotated = [
            (whole(each["image_id"]), str(each["file_name"]), [_segment(segment) for segment in each["segments_info"]])
            for each in content["annotations"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        reason = " ".join(repr(error).split())[:120]
        wanted = "must be COCO panoptic (images, annotations with segments_info, categories)"
        raise DatasetError(f"Invalid annotations: got {reason} in {printable(path)}; {wanted}") from error
    require_unique("category id", [number for number, _ in categories], path)
    require_unique("image id", [number for number, _ in images], path)
    require_unique("image_id", [number for number, _, _ in annotated], path)
    table = table_of_names(dict(categories))
    choose_classes(table, classes, path)  # refuses unknown ones
    chosen = {number: place for place, each in enumerate(classes) for number in table[each]}
    meaning = {number: chosen.get(number, UNKNOWN if means_unknown(each) else None) for number, each in categories}
    photos = [folder for folder in (root / name, root / "images" / name, root / "images", root) if folder.is_dir()]
    maps = [folder for folder in (path.with_suffix(""), root / f"panoptic_{name}") if folder.is_dir()]
    if not maps:
        raise DatasetError(
            f"Invalid dataset: got no folder {printable(path.with_suffix(''))}; must hold the label maps"
        )
    records, file_names, strange = [], dict(images), []
    for image_id, map_name, segments in annotated:
        if image_id not in file_names:
            wanted = "must be the id of an image in the file"
            raise DatasetError(f"Invalid annotation: got image_id {image_id} in {printable(path)}; {wanted}")
        file_name = file_names.pop(image_id)
        require_unique(f"segment of {one_line(file_name)}", [number for number, _, _ in segments], path)
        image, ids = image_of(photos, root, file_name, path), image_of(maps, root, map_name, path)
        stem = Path(file_name).with_suffix("").as_posix().replace("/", "_").lstrip(".")
        strange += [f"segment {number} of {file_name}" for number, category, _ in segments if category not in meaning]
        read = partial(
            _read, ids, {number: UNKNOWN if crowd else meaning.get(each, UNKNOWN) for number, each, crowd in segments}
        )
        source = image.relative_to(root).as_posix()
        uncertain = any(each not in meaning or (crowd and each in chosen) for _, each, crowd in segments)
        records.append(Record(stem, split_of(name), image, source, read, uncertain=uncertain, inputs=(ids,)))
    notes = []
    if file_names:
        of = f"of {printable(path)}"
        count = counted(len(file_names), f"image {of} is", f"images {of} are")
        notes.append(f"{count} left out, without an annotation: {named([*file_names.values()])}")
    if strange:
        of = f"of {printable(path)}"
        count = counted(len(strange), f"segment {of} is", f"segments {of} are")
        notes.append(f"{count} unknown, with a category_id that the file does not list: {named(strange)}")
    return records, notes


def _segment(segment: Any) -> tuple[int, int, bool]:
    """Return the id of a segment, its category and whether it is a crowd."""
    crowd = segment.get("iscrowd", 0)
    return whole(segment["id"]), whole(segment["category_id"]), bool(whole(int(crowd) if crowd is True else crowd or 0))


def _read(path: Path, segments: Mapping[int, int | None], shape: tuple[int, int]) -> Labels:
    rgb = decode_rgb(read_picture(path), path, ("PNG",)).astype(np.int32)
    require_size(rgb.shape, shape, path)
    ids = rgb[..., 0] | rgb[..., 1] << 8 | rgb[..., 2] << 16
    shown = np.unique(ids[ids > 0]).tolist()
    for number in (*shown, *segments):
        if number not in segments:
            raise DatasetError(
                f"Invalid label map: got the segment {number} in {printable(path)}; must be listed in segments_info"
            )
        if number not in shown:
            got = f"no pixel of the segment {number}"
            raise DatasetError(
                f"Invalid label map: got {got} in {printable(path)}; must have it, as segments_info does"
            )
    return painted(shape, ((segments[number], ids == number) for number in shown), ids == 0)
