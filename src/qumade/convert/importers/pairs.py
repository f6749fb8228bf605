"""Any dataset with images, masks and depth in folders with equal file stems."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qumade.assets.coverage import coverage_problem, looks_inverted
from qumade.assets.depths import depth_grows_downwards, read_inverse_depth
from qumade.assets.label_names import alike, label_table, means_unknown, named_ids
from qumade.convert.importers.records import (
    IMAGE_SUFFIXES,
    ClassIds,
    Labels,
    Record,
    Source,
    choose_classes,
    labels_of_ids,
    left_out,
    metric_depth,
    pictures_by_stem,
    read_ids,
    require_records,
    require_size,
)
from qumade.convert.importers.street_classes import IN_FRONT
from qumade.convert.importers.writer import read_image
from qumade.depth.codec import decode_depth
from qumade.depth.encoding import KITTI_SCALE, METRES_16_BIT, DepthEncoding, DepthKind
from qumade.errors import ConfigError, DatasetError, QumadeError
from qumade.io.decode import decode_grey
from qumade.io.pictures import printable, read_picture

__all__ = ["read_pairs"]

JPEG_START = b"\xff\xd8"
_MAPS = (*IMAGE_SUFFIXES, ".npy")
LOOKED_AT = 9  # masks that tell whether all are inverted, and depth maps whether all are upside down


def read_pairs(
    root: Path,
    images: Path,
    masks: Path | None = None,
    depth: Path | None = None,
    classes: Collection[str] = (),
    *,
    label_names: str | Path | None = None,
    depth_kind: DepthKind = "metric",
    depth_scale: float = KITTI_SCALE,
) -> Source:
    """Return the images of a folder that have a mask and depth of equal stem, as far as these folders are given.

    Folders are relative to `root`. `masks` holds coverage (255 is the object), or with `classes` label maps, PNG or
    .npy; their ids are named by `label_names`, a built-in table or a YAML file. Ids whose name means "not labelled",
    such as void, and ids without a name are ignored. Metric depth is 16-bit PNG of metres x `depth_scale`, 0 unknown;
    other kinds are inverse depth in 8 or 16 bits, from 0 (far) to the largest code (near). Depth of any kind may also
    be .npy of inverse depth as the recipe's `depths` has it; what is not metric is divided by the largest value of its
    map. Splits are unknown. Raises QumadeError where most of the depth maps looked at are upside down.
    """
    if masks is None and depth is None:
        raise ConfigError("Invalid pairs: got neither --masks nor --depth; must be one of them or both")
    if bool(classes) != (label_names is not None) or (classes and masks is None):
        raise ConfigError("Invalid --class: must be given together with --masks and --label-names, or not at all")
    if not 0 < depth_scale < float("inf"):
        raise ConfigError(f"Invalid --depth-scale: got {depth_scale}; must be above 0")
    ids = None
    if label_names is not None:
        table = label_table(label_names)
        known = named_ids(table)
        unknown = frozenset(i for name in table if means_unknown(name) and name not in classes for i in table[name])
        in_front = frozenset(i for name in alike(table, IN_FRONT) for i in table[name])
        ids = ClassIds(choose_classes(table, classes, root), unknown, in_front, known, f"{str(label_names)!r}")
    mask_of = None if masks is None else pictures_by_stem(root / masks, IMAGE_SUFFIXES if ids is None else _MAPS)
    depth_of = None if depth is None else pictures_by_stem(root / depth, _MAPS)
    labels = [found for found in (mask_of, depth_of) if found is not None]
    image_of = pictures_by_stem(root / images)
    records = []
    for stem, image in image_of.items():
        if all(stem in found for found in labels):
            read = partial(_read, _at(mask_of, stem), _at(depth_of, stem), ids, depth_kind, depth_scale)
            source = image.relative_to(root).as_posix() if image.is_relative_to(root) else image.name
            inputs = tuple(found[stem] for found in labels)
            records.append(Record(stem, "", image, source, read, inputs=inputs))
    found = require_records(records, root, f"images in {root / images} with labels of equal stems")
    folders = tuple(name for name, part in (("masks", masks), ("depth", depth), ("ignore", ids)) if part is not None)
    code = (
        METRES_16_BIT
        if depth_kind == "metric"
        else DepthEncoding(kind=depth_kind, source="dataset", code="inverse", bits=16, range=(0.0, 1.0))
    )
    given = {"images": images, "masks": masks, "depth": depth, "label_names": label_names}
    options: dict[str, Any] = {name: str(value) for name, value in given.items() if value is not None}
    if depth is not None and depth_kind == "metric":
        options["depth_scale"] = float(depth_scale)
    if mask_of is not None and ids is None:
        _refuse_inverted([mask_of[record.stem] for record in found])
    if depth_of is not None:
        _refuse_upside_down([(depth_of[record.stem], record) for record in found], depth_kind, depth_scale)
    paired = {record.stem for record in found}
    notes = left_out(root / images, (image_of[stem] for stem in paired), "no images or without a label of equal stem")
    for folder, found_labels in ((masks, mask_of), (depth, depth_of)):
        if folder is not None and found_labels is not None:
            used = (found_labels[stem] for stem in paired)
            notes += left_out(root / folder, used, "no labels or without an image of equal stem")
    file = () if label_names is None or not Path(label_names).is_file() else (Path(label_names),)
    encoding = code if depth is not None else None
    return Source("pairs", root, found, folders, tuple(classes), encoding, options, tuple(notes), file)


def _at(found: dict[str, Path] | None, stem: str) -> Path | None:
    return None if found is None else found[stem]


def _read(
    mask: Path | None,
    depth: Path | None,
    ids: ClassIds | None,
    kind: DepthKind,
    scale: float,
    shape: tuple[int, int],
) -> Labels:
    labels = Labels()
    if mask is not None:
        labels = Labels(mask=_coverage(mask, shape)) if ids is None else labels_of_ids(read_ids(mask, shape), ids, mask)
    if depth is not None:
        labels = replace(labels, inverse_depth=_inverse_depth(depth, shape, kind, scale))
    return labels


def _coverage(path: Path, shape: tuple[int, int]) -> NDArray[np.uint8]:
    data = read_picture(path)
    found = decode_grey(data, path)
    require_size(found.shape, shape, path)
    mask = found.astype(np.uint8, copy=False)
    problem = "16 bits" if found.dtype != np.uint8 else coverage_problem(mask, lossy=data.startswith(JPEG_START))
    if problem is not None:
        wanted = "coverage, 255 the object; for label maps give --class and --label-names"
        raise DatasetError(f"Invalid mask: got {problem} in {printable(path)}; must be {wanted}")
    return mask


def _refuse_inverted(masks: list[Path]) -> None:
    """Refuse masks of which most cover all four edges of the picture: no object does that so often."""
    looked_at = masks[:: max(1, len(masks) // LOOKED_AT)]
    inverted = [path for path in looked_at if _is_inverted(path)]
    if len(inverted) > max(1, len(looked_at) // 2):
        got = f"{len(inverted)} of {len(looked_at)} masks white along all four edges but not inside, as if inverted"
        raise DatasetError(
            f"Invalid masks: got {got}, such as {printable(inverted[0])}; must be 255 on the object only"
        )


def _is_inverted(path: Path) -> bool:
    found = decode_grey(read_picture(path), path)
    return found.dtype == np.uint8 and looks_inverted(found.astype(np.uint8))


def _inverse_depth(path: Path, shape: tuple[int, int], kind: DepthKind, scale: float) -> NDArray[np.float32]:
    if path.suffix.lower() == ".npy":
        return _depth_values(path, shape, kind)
    return metric_depth(path, shape, scale) if kind == "metric" else _relative_depth(path, shape)


def _refuse_upside_down(maps: list[tuple[Path, Record]], kind: DepthKind, scale: float) -> None:
    """Refuse depth that mostly grows towards the lower edge, as inverse depth does that is read as depth."""
    looked_at = maps[:: max(1, len(maps) // LOOKED_AT)]
    wrong = []
    for path, record in looked_at:
        with suppress(QumadeError):  # reading the record says what is wrong
            image, _ = read_image(record)
            if depth_grows_downwards(_inverse_depth(path, (image.shape[0], image.shape[1]), kind, scale)):
                wrong.append(path)
    if len(wrong) > max(1, len(looked_at) // 2):
        got = f"depth that grows towards the lower edge in {len(wrong)} of {len(looked_at)} maps"
        wanted = (
            "metres in a PNG of --depth-kind metric, else inverse depth (near is large): is it the other of the two?"
        )
        raise DatasetError(f"Invalid depth: got {got}, such as {printable(wrong[0])}; must be {wanted}")


def _depth_values(path: Path, shape: tuple[int, int], kind: DepthKind) -> NDArray[np.float32]:
    inverse = read_inverse_depth(path, (shape[1], shape[0]), kind)
    unknown = float(np.isnan(inverse).mean())
    if unknown and kind != "metric":
        wanted = "none, because only metric depth can store them"
        raise DatasetError(f"Invalid depth: got {unknown:.1%} unknown pixels in {printable(path)}; must have {wanted}")
    if kind != "scaled":
        return inverse
    nearest = np.nanmax(inverse)
    if nearest == 0:
        raise DatasetError(f"Invalid depth: got 0 everywhere in {printable(path)}; must have some depth above 0")
    return inverse / nearest


def _relative_depth(path: Path, shape: tuple[int, int]) -> NDArray[np.float32]:
    codes = decode_grey(read_picture(path), path)
    require_size(codes.shape, shape, path)
    bits: Literal[8, 16] = 8 if codes.dtype == np.uint8 else 16
    return decode_depth(codes, DepthEncoding(code="inverse", bits=bits, range=(0.0, 1.0)))
