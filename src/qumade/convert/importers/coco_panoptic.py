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

from qumade.assets.label_names import table_of_names
from qumade.convert.importers.coco import MAX_JSON_BYTES, image_of
from qumade.convert.importers.objects import folders_of, painted
from qumade.convert.importers.records import Labels, Record, Source, choose_classes, require_records, require_size
from qumade.errors import DatasetError
from qumade.io.decode import decode_rgb
from qumade.io.files import read_bytes
from qumade.io.pictures import printable, read_picture

__all__ = ["read_coco_panoptic"]

LAYOUT = "annotations/panoptic_SPLIT.json, panoptic_SPLIT/*.png and the photos"


def read_coco_panoptic(root: Path, classes: Collection[str] = ("car",)) -> Source:
    """Return every image of every panoptic*.json in `root` or its annotations/. Each segment of a class is an object,
    also one of a class without countable things, such as sky."""
    files = sorted([*root.glob("annotations/panoptic*.json"), *root.glob("panoptic*.json")])
    records: list[Record] = []
    for path in files:
        records += _records(root, path, classes)
    found = require_records(records, root, LAYOUT)
    return Source("coco_panoptic", root, found, folders_of(classes), tuple(classes), inputs=tuple(files))


def _records(root: Path, path: Path, classes: Collection[str]) -> list[Record]:
    name = path.stem.removeprefix("panoptic").strip("_")
    split = next((split for split in ("train", "val", "test") if name.startswith(split)), "")
    try:
        content = json.loads(read_bytes(path, MAX_JSON_BYTES))
        table = table_of_names({int(each["id"]): str(each["name"]) for each in content["categories"]})
        images = {int(image["id"]): str(image["file_name"]) for image in content["images"]}
        annotated = [
            (images[int(each["image_id"])], str(each["file_name"]), each["segments_info"])
            for each in content["annotations"]
        ]
        segments_of = [
            {int(s["id"]): (int(s["category_id"]), bool(s.get("iscrowd", 0))) for s in segments}
            for _, _, segments in annotated
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        reason = " ".join(repr(error).split())[:120]
        wanted = "must be COCO panoptic (images, annotations with segments_info, categories)"
        raise DatasetError(f"Invalid annotations: got {reason} in {printable(path)}; {wanted}") from error
    choose_classes(table, classes, path)  # refuses unknown ones
    chosen = {number: place for place, each in enumerate(classes) for number in table[each]}
    photos = [folder for folder in (root / name, root / "images" / name, root / "images", root) if folder.is_dir()]
    maps = [folder for folder in (path.with_suffix(""), root / f"panoptic_{name}") if folder.is_dir()]
    if not maps:
        raise DatasetError(
            f"Invalid dataset: got no folder {printable(path.with_suffix(''))}; must hold the label maps"
        )
    records = []
    for (file_name, map_name, _), segments in zip(annotated, segments_of, strict=True):
        image, ids = image_of(photos, root, file_name, path), image_of(maps, root, map_name, path)
        stem = Path(file_name).with_suffix("").as_posix().replace("/", "_").lstrip(".")
        read = partial(_read, ids, segments, chosen)
        records.append(Record(stem, split, image, image.relative_to(root).as_posix(), read, inputs=(ids,)))
    return records


def _read(
    path: Path, segments: Mapping[int, tuple[int, bool]], chosen: Mapping[int, int], shape: tuple[int, int]
) -> Labels:
    rgb = decode_rgb(read_picture(path), path, ("PNG",)).astype(np.int32)
    require_size(rgb.shape, shape, path)
    ids = rgb[..., 0] | rgb[..., 1] << 8 | rgb[..., 2] << 16
    ignore, objects = ids == 0, []
    for number in np.unique(ids[ids > 0]).tolist():
        if number not in segments:
            raise DatasetError(
                f"Invalid label map: got the segment {number} in {printable(path)}; must be listed in segments_info"
            )
        category, crowd = segments[number]
        pixels: Any = ids == number
        if crowd:
            ignore |= pixels
        else:
            objects.append((chosen.get(category), pixels))
    return painted(shape, objects, ignore)
