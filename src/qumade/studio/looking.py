"""A dataset as a table of its manifest: filters, orders, and a map of where objects stand.

The table holds a few numbers per sample and per object, so 400 000 samples take some tens of megabytes, and no
picture is read before it is shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qumade.data.dataset import SPLIT_NAMES, SampleDataset
from qumade.data.manifest import read_manifest
from qumade.errors import DatasetError

__all__ = [
    "GRID",
    "NUMBERS",
    "ORDERS",
    "Filter",
    "Table",
    "bounds",
    "choices_of",
    "heat_map",
    "load_table",
    "ordered",
    "selected",
    "with_scores",
]

GRID = 24
"""Cells along each side of the map of contacts."""
NUMBERS = {"scale": "size", "distance": "distance", "visible_fraction": "visible fraction"}
"""Numbers of an object that can be filtered, with their titles. size: square root of box area / image area;
distance: 1 / inverse depth, in metres for metric depth."""
CHOICES = ("split", "background", "foreground", "policy", "class")
_OBJECT_NUMBERS = ("scale", "visible_fraction", "inverse_depth", "contact_u", "contact_v")
_OBJECT_NAMES = {"foreground": "foreground", "policy": "policy", "class": "class"}
ORDERS = ("position", "objects", "scale", "distance", "visible_fraction")


@dataclass(frozen=True, eq=False)
class Table:
    """The samples of a dataset in the order of its positions, and their objects one after another.

    `names` has code int32 per sample (split, background) or per object (foreground, policy, class), `words` what the
    codes mean. `numbers` are float32 per object; `sample` int64 is the sample of each object, ascending. `scores` are
    float64 per sample, NaN where a sample has none. `size` is width and height of a sample, None if they differ.
    `metric`: distances are in metres, and not in a unit of their own.
    """

    stems: NDArray[np.str_]
    sample: NDArray[np.int64]
    names: Mapping[str, NDArray[np.int32]]
    words: Mapping[str, tuple[str, ...]]
    numbers: Mapping[str, NDArray[np.float32]]
    size: tuple[int, int] | None
    scores: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    metric: bool = False

    def __len__(self) -> int:
        return len(self.stems)

    def unit(self, name: str) -> str:
        """Return the unit of a number of objects, to be written after its value; "" without one."""
        return "" if name != "distance" else " m" if self.metric else " in a unit of its own"

    def scored(self, name: str, values: NDArray[np.float64]) -> "Table":
        """Return the table with one more score per sample."""
        return replace(self, scores={**self.scores, name: values})


@dataclass(frozen=True)
class Filter:
    """What samples must have. `choices`: allowed names by column, none for all; `ranges`: (low, high) by column of
    NUMBERS; `text`: part of the stem; `cell`: (row, column) of the map that a contact lies in. All conditions on
    objects must hold for one and the same object."""

    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    text: str = ""
    cell: tuple[int, int] | None = None


def load_table(dataset: SampleDataset) -> Table:
    """Read the manifest of a dataset; one without gives stems and splits alone. Raises QumadeError if it is torn."""
    stems = dataset.stems
    codes = np.searchsorted(np.array(sorted(SPLIT_NAMES)), dataset.splits).astype(np.int32)
    names: dict[str, NDArray[np.int32]] = {"split": codes}
    words: dict[str, tuple[str, ...]] = {"split": tuple(sorted(SPLIT_NAMES))}
    manifest: Path | None = getattr(dataset, "manifest_path", None)
    nothing = Table(stems, np.zeros(0, np.int64), names, words, {}, None)
    if manifest is None:
        return nothing
    metadata = getattr(dataset, "metadata", None)
    size = None if metadata is None else metadata.size
    parts = _Parts(stems)
    try:
        columns = [name for name in ("stem", "background", "objects") if name in _columns(manifest)]
        if "objects" not in columns:
            return nothing
        for group in read_manifest(manifest, columns):
            parts.add(group)
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise DatasetError(
            f"Invalid manifest: got a damaged one in {manifest} ({' '.join(str(error).split())[:200]})"
        ) from None
    encoding = getattr(dataset, "depth_encoding", None)
    metric = encoding is not None and encoding.kind == "metric"
    return replace(parts.table(names, words, size), metric=metric)


def _columns(manifest: Path) -> list[str]:
    """Return the columns of a manifest; those of shards are in a folder, one of equal columns for each."""
    if manifest.is_dir():
        parts = sorted(manifest.glob("*.parquet"))
        return _columns(parts[0]) if parts else []
    names: list[str] = pq.read_schema(manifest).names
    return names


class _Places:
    """Finds the positions of stems, which are in the order of the shards and need not be sorted."""

    def __init__(self, stems: NDArray[np.str_]) -> None:
        self._stems, self._order = stems, np.argsort(stems)

    def find(self, wanted: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the position of each stem, and whether it is there at all."""
        names = wanted.cast(pa.string()).fill_null("").to_numpy(zero_copy_only=False).astype(np.str_)
        at = np.minimum(np.searchsorted(self._stems, names, sorter=self._order), len(self._stems) - 1)
        found = self._order[at]
        return found, self._stems[found] == names


class _Parts:
    """Collects the row groups of a manifest as arrays."""

    def __init__(self, stems: NDArray[np.str_]) -> None:
        self.stems, self.places = stems, _Places(stems)
        self.sample: list[NDArray[np.int64]] = []
        self.numbers: dict[str, list[NDArray[np.float32]]] = {}
        self.codes: dict[str, list[NDArray[np.int32]]] = {}
        self.words: dict[str, dict[str, int]] = {}
        self.background = np.full(len(stems), -1, np.int32)

    def add(self, group: pa.Table) -> None:
        found, there = self.places.find(group["stem"])
        if not there.all():
            group, found = group.filter(pa.array(there)), found[there]
        if "background" in group.column_names:
            self.background[found] = self.code("background", group["background"].combine_chunks())
        lists = group["objects"].combine_chunks()
        counts = np.diff(np.asarray(lists.offsets))
        things = lists.flatten()
        self.sample.append(np.repeat(found, counts))
        present = {things.type.field(n).name for n in range(things.type.num_fields)}
        for name in _OBJECT_NUMBERS:
            if name in present:
                values = things.field(name).to_numpy(zero_copy_only=False).astype(np.float32)
                self.numbers.setdefault(name, []).append(values)
        for name in _OBJECT_NAMES:
            if name in present:
                self.codes.setdefault(name, []).append(self.code(name, things.field(name)))

    def code(self, name: str, values: pa.Array) -> NDArray[np.int32]:
        encoded = values if pa.types.is_dictionary(values.type) else values.cast(pa.string()).dictionary_encode()
        known = self.words.setdefault(name, {})
        numbers = [known.setdefault(str(word), len(known)) for word in encoded.dictionary.to_pylist()]
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        found: NDArray[np.int32] = np.array([*numbers, -1], np.int32)[codes]
        return found

    def table(self, names: dict[str, Any], words: dict[str, Any], size: tuple[int, int] | None) -> Table:
        sample = np.concatenate([*self.sample, np.zeros(0, np.int64)]).astype(np.int64)
        order = np.argsort(sample, kind="stable")
        numbers = {name: np.concatenate(parts)[order] for name, parts in self.numbers.items()}
        if "inverse_depth" in numbers:
            with np.errstate(divide="ignore"):
                numbers["distance"] = (1 / np.maximum(numbers["inverse_depth"], 0)).astype(np.float32)
        codes = {name: np.concatenate(parts)[order] for name, parts in self.codes.items()}
        words = words | {name: tuple(known) for name, known in self.words.items()}
        names = names | codes | ({"background": self.background} if "background" in words else {})
        return Table(self.stems, sample[order], names, words, numbers, size)


def with_scores(table: Table, path: Path, prefix: str = "") -> Table:
    """Return the table with the scores of an evaluation's scores.parquet, matched by stem. Raises DatasetError."""
    try:
        read = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise DatasetError(f"Invalid scores: cannot read {path.absolute()}: {reason}") from None
    if "stem" not in read.column_names:
        raise DatasetError(f"Invalid scores: got no column 'stem' in {path.absolute()}; must be of `qumade evaluate`")
    at, same = _Places(table.stems).find(read["stem"])
    if not same.any():
        raise DatasetError(
            f"Invalid scores: got none of this dataset in {path.absolute()}; must be of an evaluation on it"
        )
    for name in ("mask_iou", "depth_delta1"):
        if name in read.column_names:
            values = np.full(len(table), np.nan)
            values[at[same]] = read[name].to_numpy().astype(np.float64)[same]
            table = table.scored(prefix + name, values)
    return table


def choices_of(table: Table) -> dict[str, list[str]]:
    """Return the names that occur in each column that can be filtered by name, sorted."""
    found = {}
    for name in CHOICES:
        if name in table.names:
            codes = np.unique(table.names[name])
            found[name] = sorted(table.words[name][code] for code in codes if code >= 0 and table.words[name][code])
    return {name: words for name, words in found.items() if words}


def bounds(table: Table, name: str) -> tuple[float, float] | None:
    """Return the least and the largest finite value of a number of objects; None without any."""
    values = table.numbers.get(name)
    finite = values[np.isfinite(values)] if values is not None else np.zeros(0)
    return (float(finite.min()), float(finite.max())) if finite.size else None


def selected(table: Table, wanted: Filter) -> NDArray[np.int64]:
    """Return the positions of the samples that pass a filter, int64, ascending."""
    keep = np.ones(len(table), np.bool_)
    objects = np.ones(len(table.sample), np.bool_)
    about_objects = False
    for name, words in wanted.choices.items():
        if not words or name not in table.names:
            continue
        allowed = [code for code, word in enumerate(table.words[name]) if word in words]
        passes = np.isin(table.names[name], allowed)
        if name in _OBJECT_NAMES:
            objects &= passes
            about_objects = True
        else:
            keep &= passes
    for name, (low, high) in wanted.ranges.items():
        if name in table.numbers:
            objects &= (table.numbers[name] >= low) & (table.numbers[name] <= high)
            about_objects = True
    if wanted.cell is not None and table.size is not None:
        row, column = _cells(table)
        objects &= (row == wanted.cell[0]) & (column == wanted.cell[1])
        about_objects = True
    if about_objects:
        with_object = np.zeros(len(table), np.bool_)
        with_object[table.sample[objects]] = True
        keep &= with_object
    if wanted.text:
        keep &= np.char.find(table.stems, wanted.text) >= 0
    return np.flatnonzero(keep)


def ordered(table: Table, positions: NDArray[np.int64], by: str, *, descending: bool = False) -> NDArray[np.int64]:
    """Return positions in the order of a number: of the sample itself, of its largest, nearest or least visible object,
    or of a score. Samples without it come last."""
    if by == "position":
        return positions[::-1] if descending else positions
    key = _sort_key(table, by)[positions]
    order = np.argsort(-key if descending else key, kind="stable")  # NaN last either way
    return positions[order]


def _sort_key(table: Table, by: str) -> NDArray[np.float64]:
    if by in table.scores:
        return table.scores[by]
    if by == "objects":
        return np.bincount(table.sample, minlength=len(table)).astype(np.float64)
    key = np.full(len(table), np.nan)
    values = table.numbers.get(by)
    if values is not None:
        (np.fmax if by == "scale" else np.fmin).at(key, table.sample, values.astype(np.float64))
    return key


def heat_map(table: Table, positions: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return how many contacts of these samples lie in each cell of the image, int64 [GRID, GRID], row first; None for
    a dataset that does not record contacts. Contacts beyond an edge count in the cell at it."""
    if table.size is None or "contact_u" not in table.numbers:
        return None
    chosen = np.zeros(len(table), np.bool_)
    chosen[positions] = True
    row, column = _cells(table)
    counts = np.zeros((GRID, GRID), np.int64)
    taken = chosen[table.sample]
    np.add.at(counts, (row[taken], column[taken]), 1)
    return counts


def _cells(table: Table) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    width, height = table.size or (1, 1)
    column = np.clip(table.numbers["contact_u"] / width * GRID, 0, GRID - 1).astype(np.intp)
    row = np.clip(table.numbers["contact_v"] / height * GRID, 0, GRID - 1).astype(np.intp)
    return row, column
