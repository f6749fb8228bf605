"""Cityscapes: leftImg8bit/ with gtFine/ (label ids or train ids, instances) and optionally disparity/ and camera/.

Depth is baseline x focal length / disparity; disparity is (p - 1) / 256 in a 16-bit PNG, p = 0 is unknown.

M. Cordts et al., "The Cityscapes dataset for semantic urban scene understanding", CVPR 2016.
"""

import json
import math
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qumade.convert.importers.records import (
    ClassIds,
    Labels,
    Record,
    Source,
    labels_of_ids,
    left_out,
    pictures_by_stem,
    read_ids,
    require_records,
    require_size,
)
from qumade.convert.importers.street_classes import instances_of, street_classes
from qumade.depth.encoding import METRES_16_BIT
from qumade.errors import DatasetError
from qumade.io.decode import decode_grey
from qumade.io.files import read_bytes
from qumade.io.pictures import printable, read_picture

__all__ = ["read_cityscapes"]

MAX_CAMERA_BYTES = 1 << 16


def read_cityscapes(root: Path, classes: Collection[str] = ("car",)) -> Source:
    """Return the labelled frames of train, val and test, with depth if disparity/ exists. Notes name the others.

    Labels are *_labelIds.png, or else *_labelTrainIds.png. Unlabelled pixels, the ego vehicle and the borders are
    ignored.
    """
    has_depth = (root / "disparity").is_dir()
    records: list[Record] = []
    notes: list[str] = []
    for image_folder in sorted((root / "leftImg8bit").glob("*/*/")):
        split, city = image_folder.parts[-2:]
        if split not in ("train", "val", "test"):
            continue  # train_extra has coarse labels only
        label_of = pictures_by_stem(root / "gtFine" / split / city, (".png",))
        used = []
        for image_stem, image in pictures_by_stem(image_folder).items():
            stem = image_stem.removesuffix("_leftImg8bit")
            labels = label_of.get(f"{stem}_gtFine_labelIds") or label_of.get(f"{stem}_gtFine_labelTrainIds")
            if labels is None:
                continue
            used.append(image)
            ids = street_classes(classes, root, train_ids=labels.stem.endswith("TrainIds"))
            disparity = root / "disparity" / split / city / f"{stem}_disparity.png" if has_depth else None
            camera = root / "camera" / split / city / f"{stem}_camera.json"
            instances = label_of.get(f"{stem}_gtFine_instanceIds")
            read = partial(_read, labels, instances, ids, disparity, camera)
            inputs = (labels, *([instances] if instances else []), *([disparity, camera] if disparity else []))
            records.append(Record(stem, split, image, image.relative_to(root).as_posix(), read, inputs=inputs))
        notes += left_out(image_folder, used, "without labels in gtFine")
    found = require_records(records, root, "leftImg8bit/SPLIT/CITY with gtFine/SPLIT/CITY (*_labelIds.png)")
    folders = ("masks", "depth", "ignore") if has_depth else ("masks", "ignore")
    code = METRES_16_BIT if has_depth else None
    return Source("cityscapes", root, found, folders, tuple(classes), code, notes=tuple(notes))


def _read(
    labels_path: Path,
    instance_path: Path | None,
    classes: ClassIds,
    disparity_path: Path | None,
    camera_path: Path,
    shape: tuple[int, int],
) -> Labels:
    labels = labels_of_ids(read_ids(labels_path, shape), classes, labels_path)
    if instance_path is not None and not labels_path.stem.endswith("TrainIds"):
        numbers = read_ids(instance_path, shape)  # id x 1000 + number; only the id for a group of objects
        labels = replace(labels, instances=instances_of(numbers, 1000, classes, numbers < 1000))
    if disparity_path is not None:
        labels = replace(labels, inverse_depth=_inverse_depth(disparity_path, camera_path, shape))
    return labels


def _inverse_depth(disparity_path: Path, camera_path: Path, shape: tuple[int, int]) -> NDArray[np.float32]:
    codes = decode_grey(read_picture(disparity_path), disparity_path)
    require_size(codes.shape, shape, disparity_path)
    if codes.dtype != np.uint16:
        raise DatasetError(f"Invalid disparity: got 8 bits in {printable(disparity_path)}; must be a 16-bit PNG")
    disparity_px = (codes.astype(np.float64) - 1) / 256
    inverse = disparity_px / _baseline_times_focal(camera_path)
    return np.where(codes == 0, np.nan, inverse).astype(np.float32)


def _baseline_times_focal(path: Path) -> float:
    """Return baseline in metres x focal length in pixels."""
    try:
        content = json.loads(read_bytes(path, MAX_CAMERA_BYTES))
        baseline, focal_px = content["extrinsic"]["baseline"], content["intrinsic"]["fx"]
        product = float(baseline) * float(focal_px)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        wanted = "must have numbers extrinsic.baseline and intrinsic.fx"
        raise DatasetError(f"Invalid camera: got {error!r} in {printable(path)}; {wanted}") from error
    if not (math.isfinite(product) and product > 0):
        got = f"baseline x fx = {product}"
        raise DatasetError(f"Invalid camera: got {got} in {printable(path)}; must be finite and above 0")
    return product
