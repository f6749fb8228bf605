"""CamVid in the eleven classes of the SegNet tutorial: frames and label maps of ids 0 to 10, 11 for unlabelled pixels.

G. Brostow, J. Fauqueur, R. Cipolla, "Semantic object classes in video: a high-definition ground truth database",
Pattern Recognition Letters 30 (2009).
"""

from collections.abc import Collection
from functools import partial
from pathlib import Path

from qumade.assets.label_names import LABEL_TABLES, named_ids
from qumade.convert.importers.records import (
    ClassIds,
    Labels,
    Record,
    Source,
    choose_classes,
    labels_of_ids,
    left_out,
    pictures_by_stem,
    read_ids,
    require_records,
)
from qumade.errors import DatasetError
from qumade.io.pictures import printable

__all__ = ["read_camvid"]

UNLABELLED = (11, 255)
IN_FRONT = ("pole", "sign", "pedestrian", "bicyclist")


def read_camvid(root: Path, classes: Collection[str] = ("car",)) -> Source:
    """Return the splits train, val and test under `root`: SPLIT/ with SPLITannot/, or SPLIT/images with SPLIT/labels.

    A split without label maps is left out; within a split every image must have a label map.
    """
    table = {name: ids for name, ids in LABEL_TABLES["camvid"].items() if name != "unlabelled"}
    in_front = frozenset(number for name in IN_FRONT for number in table[name])
    known = named_ids(LABEL_TABLES["camvid"])
    name = "the table 'camvid' (for others: qumade import pairs --label-names)"
    ids = ClassIds(choose_classes(table, classes, root), frozenset(UNLABELLED), in_front, known, name)
    records, notes = [], []
    for split in ("train", "val", "test"):
        nested = (root / split / "images").is_dir()
        image_folder = root / split / "images" if nested else root / split
        label_folder = root / split / "labels" if nested else root / f"{split}annot"
        label_of = pictures_by_stem(label_folder)
        images = pictures_by_stem(image_folder)
        if not label_of:
            notes += left_out(image_folder, (), f"without label maps in {printable(label_folder)}") if images else []
            continue
        notes += left_out(image_folder, images.values(), "not images")
        notes += left_out(label_folder, (label_of[stem] for stem in images if stem in label_of), "without an image")
        for stem, image in images.items():
            if stem not in label_of:
                raise DatasetError(f"Invalid dataset: got {printable(image)} without a label map in {label_folder}")
            source, read = image.relative_to(root).as_posix(), partial(_read, label_of[stem], ids)
            records.append(Record(stem, split, image, source, read, inputs=(label_of[stem],)))
    layout = "train/ with trainannot/, or train/images with train/labels"
    found = require_records(records, root, layout)
    return Source("camvid", root, found, ("masks", "ignore"), tuple(classes), notes=tuple(notes))


def _read(path: Path, classes: ClassIds, shape: tuple[int, int]) -> Labels:
    return labels_of_ids(read_ids(path, shape), classes, path)
