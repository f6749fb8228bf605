"""What a manifest.parquet must hold before anything is done with it: its values come from a file, and compiled code
that was given a wrong index would read memory that is not its own."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from qumade.errors import DatasetError

__all__ = ["match_rows", "require_values", "text_bytes"]

_MAY_BE_UNKNOWN = ("split", "background_split", "foreground_split", "objects.class")
"""Columns with rows of no value: mixed samples are of no split, and objects of one class have no name for it."""


def require_values(rows: pa.Table, total: int, where: str) -> None:
    """Refuse rows of a generated dataset that lack a value, or whose sample is none of the recipe's `total`.

    `rows` may have only some of the manifest's columns. Raises DatasetError naming `where`, the column and the value.
    """
    for name in rows.column_names:
        missing = next(_nulls(rows[name].combine_chunks(), name), None)
        if missing is not None:
            raise DatasetError(f"Invalid manifest: got no {missing} in a row of {where}; must be given in every row")
    if "index" in rows.column_names and len(rows):
        ends = pc.min_max(rows["index"]).as_py()
        for value in ends.values():
            if not 0 <= value < total:
                raise DatasetError(
                    f"Invalid manifest: got index {value} in {where}; must be from 0 to {total - 1}, as the recipe has "
                    f"{total} samples"
                )


def match_rows(stems: NDArray[np.str_], row_stems: pa.ChunkedArray, where: str) -> NDArray[np.int64]:
    """Return the row of each picture's stem; `stems` are sorted.

    Raises DatasetError unless rows and pictures have the same stems: a split must not be lost, and a row without a
    picture describes another dataset.
    """
    if row_stems.null_count:
        raise DatasetError(f"Invalid manifest: got a row without a stem in {where}; must name its picture")
    names = row_stems.to_numpy().astype(np.str_) if len(row_stems) else np.array([], np.str_)
    order = np.argsort(names, kind="stable")
    names = names[order]
    twice = np.flatnonzero(names[1:] == names[:-1])
    if len(twice):
        raise DatasetError(
            f"Invalid manifest: got {str(names[twice[0]])!r} twice in {where}; must be one row per picture"
        )
    if not np.array_equal(names, stems):
        extra, missing = np.setdiff1d(names, stems), np.setdiff1d(stems, names)
        got = f"{str(extra[0])!r}, which is no picture," if len(extra) else f"no row for {str(missing[0])!r}"
        count = f"{len(missing)} missing, {len(extra)} too many"
        raise DatasetError(f"Invalid manifest: got {got} in {where}; must be one row per picture ({count})")
    return order


def text_bytes(values: pa.Array) -> int:
    """Return the bytes of all text in an array with text in dictionaries, if every row had its own."""
    if pa.types.is_dictionary(values.type):
        lengths = pc.binary_length(values.dictionary).fill_null(0).to_numpy(zero_copy_only=False)
        return int(lengths[values.indices.drop_null().to_numpy()].sum(dtype=np.int64))
    if pa.types.is_list(values.type):
        return text_bytes(values.flatten())
    if pa.types.is_struct(values.type):
        return sum(text_bytes(values.field(number)) for number in range(values.type.num_fields))
    return 0


def _nulls(values: pa.Array, name: str) -> Iterator[str]:
    """Yield the dotted names of values that are missing somewhere, outermost first."""
    if name in _MAY_BE_UNKNOWN:
        return
    if values.null_count or (pa.types.is_dictionary(values.type) and values.dictionary.null_count):
        yield name
    elif pa.types.is_list(values.type):
        yield from _nulls(values.flatten(), name)
    elif pa.types.is_struct(values.type):
        for number, field in enumerate(values.type):
            yield from _nulls(values.field(number), f"{name}.{field.name}")
