"""The samples of a dataset with instances/, as labelled photos to cut objects of its classes out of."""

from collections.abc import Collection, Mapping
from functools import partial

import numpy as np

from qumade.convert.exporters.samples import class_names_of
from qumade.convert.importers.records import Labels, Record, require_distinct
from qumade.data.folder import FolderDataset
from qumade.data.objects import read_objects
from qumade.errors import ConfigError
from qumade.io.pictures import printable

__all__ = ["records_of_objects"]


def records_of_objects(
    dataset: FolderDataset, classes: Collection[str] = (), uncertain: Collection[str] = ()
) -> list[Record]:
    """Return the samples with the instances of these classes, by default of all; the others may be in front of them.
    `uncertain` are the stems of samples whose ignored pixels may be of a class.

    Raises QumadeError for a class that the dataset does not have.
    """
    known = class_names_of(dataset)
    require_distinct(classes)
    for name in classes:
        if name not in known:
            raise ConfigError(
                f"Invalid --class: got {name!r} for {printable(dataset.root)}; must be one of {', '.join(known)}"
            )
    place_of = {known.index(name): place for place, name in enumerate(classes or known)}
    objects = read_objects(dataset)
    records = []
    for position, (stem, split) in enumerate(zip(dataset.stems.tolist(), dataset.splits.tolist(), strict=True)):
        numbers = enumerate(objects.class_number[objects.of(position)].tolist(), 1)
        chosen = {number: place_of[each] for number, each in numbers if each in place_of}
        read = partial(_read, dataset, stem, chosen)
        records.append(Record(stem, split, dataset.path("images", stem), stem, read, stem in uncertain))
    return records


def _read(dataset: FolderDataset, stem: str, chosen: Mapping[int, int], shape: tuple[int, int]) -> Labels:
    numbers = dataset.read_instances(stem).astype(np.int32)
    dataset.require_equal_size(stem, shape, "instances", numbers.shape)
    wanted = np.isin(numbers, list(chosen))
    return Labels(
        mask=np.where(wanted, np.uint8(255), np.uint8(0)),
        ignore=dataset.read_ignore(stem) if dataset.has_ignore else None,
        instances=np.where(wanted, numbers, 0),
        in_front=np.where(wanted, 0, numbers),
        object_classes=chosen,
    )
