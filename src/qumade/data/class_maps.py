"""Which class each pixel shows, from which object it shows and the class of each object."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qumade.data.manifest import read_manifest
from qumade.errors import DatasetError

__all__ = ["ObjectClasses", "class_map_of", "class_numbers_of", "object_lists"]


class ObjectClasses(NamedTuple):
    """The class number, from 0, of each object of the samples of a dataset: sample n has the objects `first[n]` ..
    `stop[n]` of `numbers`."""

    numbers: NDArray[np.int32]
    first: NDArray[np.int64]
    stop: NDArray[np.int64]

    @classmethod
    def read(cls, manifest: Path, stems: NDArray[np.str_], classes: Sequence[str]) -> Self:
        """Read them from a manifest, for samples with these stems. Raises QumadeError naming what is wrong in it."""
        lists = object_lists(manifest, stems)
        offsets = np.asarray(lists.offsets, np.int64)
        return cls(class_numbers_of(lists.flatten(), classes, manifest), offsets[:-1], offsets[1:])

    def of(self, sample: int) -> NDArray[np.int32]:
        """Return the class numbers of the objects of one sample."""
        return self.numbers[self.first[sample] : self.stop[sample]]


def object_lists(manifest: Path, stems: NDArray[np.str_]) -> pa.ListArray:
    """Return the objects that a manifest lists for each of these stems. Raises QumadeError for a stem without a row."""
    try:
        table = pa.concat_tables(read_manifest(manifest, ["stem", "objects"])).combine_chunks()
        names = table["stem"].to_numpy().astype(np.str_)
        order = np.argsort(names, kind="stable")
        rows = order[np.minimum(np.searchsorted(names[order], stems), len(names) - 1)]
        missing = stems[names[rows] != stems]
        if len(missing):
            raise DatasetError(
                f"Invalid manifest: got no row for {missing[0]!r} in {manifest}; must have one per sample"
            )
        return table["objects"].take(pa.array(rows)).combine_chunks()
    except (pa.ArrowException, ValueError, TypeError, IndexError) as error:
        raise _wrong(manifest, error) from error


def class_map_of(instances: NDArray[np.integer], class_number: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return the class of each pixel, uint8 [H, W]: 0 for no object, otherwise 1 + the `class_number` of the object
    that `instances` [H, W] names, from 1. The caller makes sure that there is such an object."""
    table = np.zeros(len(class_number) + 1, np.uint8)
    table[1:] = class_number + 1
    class_map: NDArray[np.uint8] = table[instances]
    return class_map


def class_numbers_of(objects: pa.StructArray, classes: Sequence[str], manifest: Path) -> NDArray[np.int32]:
    """Return the class number of each object of a manifest, int32, 0 if no class has a name. Raises QumadeError for a
    class that is not one of `classes`."""
    numbers = {name: number for number, name in enumerate(classes)} if classes else {None: 0}
    try:
        encoded = objects.field("class").cast(pa.string()).dictionary_encode(null_encoding="encode")
        codes = np.array([numbers[name] for name in encoded.dictionary.to_pylist()], np.int32)
        found: NDArray[np.int32] = codes[encoded.indices.to_numpy()] if len(codes) else np.zeros(0, np.int32)
    except (pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise _wrong(manifest, error) from error
    return found


def _wrong(manifest: Path, error: Exception) -> DatasetError:
    reason = " ".join(str(error).split())[:200]
    return DatasetError(f"Invalid manifest: got {reason} in {manifest}; must list objects and their classes")
