"""KITTI 2015 semantics: training/image_2 with semantic/ (ids of Cityscapes) and instance/ (16 bits: id x 256 + number,
number 0 for objects without an instance). The test images have no labels and are left out.

H. Alhaija et al., "Augmented reality meets computer vision", IJCV 2018.
"""

from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

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
)
from qumade.convert.importers.street_classes import instances_of, street_classes
from qumade.errors import DatasetError
from qumade.io.pictures import printable

__all__ = ["read_kitti_semantics"]


def read_kitti_semantics(root: Path, classes: Collection[str] = ("car",)) -> Source:
    """Return the training frames below `root` or its folder data_semantics."""
    ids = street_classes(classes, root)
    base = next((folder for folder in (root, root / "data_semantics") if (folder / "training").is_dir()), root)
    training = base / "training"
    images, instances = pictures_by_stem(training / "image_2"), pictures_by_stem(training / "instance", (".png",))
    records = []
    for stem, semantic in pictures_by_stem(training / "semantic", (".png",)).items():
        if stem not in images:
            raise DatasetError(f"Invalid dataset: got {printable(semantic)} without its photo; must be one for each")
        source = images[stem].relative_to(root).as_posix()
        instance = instances.get(stem)
        read = partial(_read, semantic, instance, ids)
        inputs = (semantic,) if instance is None else (semantic, instance)
        records.append(Record(stem, "train", images[stem], source, read, inputs=inputs))
    found = require_records(records, root, "training/image_2 with training/semantic")
    used = (record.image for record in found if isinstance(record.image, Path))
    notes = left_out(training / "image_2", used, "without a semantic map")
    return Source("kitti_semantics", root, found, ("masks", "ignore"), tuple(classes), notes=tuple(notes))


def _read(semantic: Path, instance: Path | None, classes: ClassIds, shape: tuple[int, int]) -> Labels:
    labels = labels_of_ids(read_ids(semantic, shape), classes, semantic)
    if instance is None:
        return labels
    numbers = read_ids(instance, shape)
    return replace(labels, instances=instances_of(numbers, 256, classes, numbers % 256 == 0))
