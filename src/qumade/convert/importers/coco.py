"""COCO instances: annotations/instances_*.json with polygons and run lengths; photos in a folder named like the split.

T.-Y. Lin et al., "Microsoft COCO: common objects in context", ECCV 2014. An annotation with iscrowd 1 is a roughly
outlined group of objects: its pixels are ignored.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qumade.assets.label_names import table_of_names
from qumade.convert.importers.objects import folders_of
from qumade.convert.importers.records import Labels, Record, Source, choose_classes, require_records
from qumade.errors import DatasetError
from qumade.extras import needs
from qumade.io.files import read_bytes
from qumade.io.pictures import printable

__all__ = ["MAX_JSON_BYTES", "decode_segmentation", "image_of", "read_coco"]

MAX_JSON_BYTES = 1 << 30
MAX_CORNERS = 100_000  # of one polygon
LAYOUT = "annotations/instances_SPLIT.json, or one instances*.json, and the photos"


def read_coco(root: Path, classes: Collection[str] = ("car",)) -> Source:
    """Return every image of every instances*.json in `root` or its annotations/, also images without such objects."""
    with needs("imports", "this dataset"):
        import pycocotools.mask  # noqa: F401 - fails now, not after hours of work
    files = sorted([*root.glob("annotations/instances*.json"), *root.glob("instances*.json")])
    records: list[Record] = []
    for path in files:
        records += _records(root, path, classes)
    found = require_records(records, root, LAYOUT)
    return Source("coco", root, found, folders_of(classes), tuple(classes))


def _records(root: Path, path: Path, classes: Collection[str]) -> list[Record]:
    name = path.stem.removeprefix("instances").strip("_")
    split = next((split for split in ("train", "val", "test") if name.startswith(split)), "")
    try:
        content = json.loads(read_bytes(path, MAX_JSON_BYTES))
        table = table_of_names({int(each["id"]): str(each["name"]) for each in content["categories"]})
        choose_classes(table, classes, path)  # refuses unknown ones
        chosen = {number: place for place, name in enumerate(classes) for number in table[name]}
        annotations: defaultdict[int, list[Any]] = defaultdict(list)
        for annotation in content["annotations"]:
            annotations[int(annotation["image_id"])].append(annotation)
        images = [(int(image["id"]), str(image["file_name"])) for image in content["images"]]
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        reason = " ".join(repr(error).split())[:120]
        wanted = "must be COCO instances (images, annotations, categories)"
        raise DatasetError(f"Invalid annotations: got {reason} in {printable(path)}; {wanted}") from error
    folders = [folder for folder in (root / name, root / "images" / name, root / "images", root) if folder.is_dir()]
    records = []
    for number, file_name in images:
        image = image_of(folders, root, file_name, path)
        read = partial(_read, annotations.get(number, []), chosen, path)
        stem = Path(file_name).with_suffix("").as_posix().replace("/", "_").lstrip(".")
        records.append(Record(stem, split, image, image.relative_to(root).as_posix(), read))
    return records


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


def _read(annotations: list[Any], chosen: Mapping[int, int], path: Path, shape: tuple[int, int]) -> Labels:
    mask, ignore = np.zeros(shape, bool), np.zeros(shape, bool)
    instances, others = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    object_classes: dict[int, int] = {}
    for number, annotation in enumerate(annotations, 1):
        try:
            category, crowd = int(annotation["category_id"]), bool(annotation.get("iscrowd", 0))
            if category not in chosen and crowd:
                continue
            pixels = decode_segmentation(annotation["segmentation"], shape)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            where = f"annotation {annotation.get('id') if isinstance(annotation, dict) else number}"
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            wanted = "polygons or run lengths of its image's size"
            raise DatasetError(f"Invalid {where}: got {reason} in {printable(path)}; must be {wanted}") from error
        if crowd:
            ignore |= pixels
        elif category in chosen:
            mask |= pixels
            instances[pixels] = number
            object_classes[number] = chosen[category]
        else:
            others[pixels] = number
    return Labels(
        mask=np.where(mask, np.uint8(255), np.uint8(0)),
        ignore=ignore & ~mask,
        instances=instances,
        in_front=np.where(mask, np.int32(0), others),
        object_classes=object_classes,
    )


def decode_segmentation(segmentation: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode a COCO segmentation to bool [H, W]. Raises ValueError, TypeError or KeyError for an invalid one."""
    import pycocotools.mask as coco_mask

    height, width = shape
    if isinstance(segmentation, list):
        polygons = []
        for polygon in segmentation:
            corners = np.asarray(polygon, np.float64)
            if corners.ndim != 1 or len(corners) % 2 or not 6 <= len(corners) <= MAX_CORNERS:
                raise ValueError(f"a polygon of {corners.shape} numbers")
            if not np.isfinite(corners).all():
                raise ValueError("a non-finite corner")
            # corners far outside draw nothing, but cost the decoder memory
            polygons.append(np.clip(corners, -max(shape), 2 * max(shape)).tolist())
        if not polygons:
            return np.zeros(shape, bool)
        runs = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
        return np.asarray(coco_mask.decode(runs), bool)
    size, counts = segmentation["size"], segmentation["counts"]
    if list(size) != [height, width]:
        raise ValueError(f"size {str(size)[:40]}")
    if isinstance(counts, list):
        lengths = np.asarray(counts, np.int64)
        if lengths.ndim != 1 or (lengths < 0).any() or lengths.max(initial=0) > height * width:
            raise ValueError("wrong run lengths")
        if int(lengths.sum()) != height * width:
            raise ValueError(f"run lengths of {int(lengths.sum())} pixels")
        values = np.arange(len(lengths)) % 2 == 1
        return np.repeat(values, lengths).reshape(width, height).T  # COCO runs are in column-major order
    if not isinstance(counts, str) or len(counts) > 4 * height * width + 8:
        raise ValueError("wrong run lengths")
    return np.asarray(coco_mask.decode({"size": [height, width], "counts": counts.encode("ascii")}), bool)
