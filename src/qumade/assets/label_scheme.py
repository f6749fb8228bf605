"""Map the classes that a recipe names to ids of the label maps."""

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from qumade.assets.fetched import local_folder
from qumade.assets.label_names import (
    LABEL_TABLES,
    LabelTable,
    alike,
    fitting_tables,
    label_table,
    means_unknown,
    resolve_ids,
)
from qumade.assets.labels import LABEL_SUFFIXES, read_ids
from qumade.assets.stems import files_of
from qumade.errors import ConfigError
from qumade.io.pictures import UnusablePicture, printable
from qumade.recipe import Recipe, for_file

__all__ = ["LabelScheme", "label_scheme"]

_FLAT, _UNEVEN = ("road", "sidewalk"), "terrain"
_MOST_READ = 50  # label maps, to suggest a table


@dataclass(frozen=True)
class LabelScheme:
    """The label ids that a recipe uses.

    `places` lists the standing classes by number; the first is the recipe's `ground`. `flat` is the ground that
    determines the horizon, `road` the part of it whose edges meet at the horizon, and `level` all flat and uneven
    ground. `named` contains every known class; other ids mean unknown.
    """

    ground: frozenset[int]
    road: frozenset[int]
    flat: frozenset[int]
    level: frozenset[int]
    sky: frozenset[int]
    target: frozenset[int]
    named: frozenset[int]
    places: tuple[tuple[str, ...], ...]
    table: LabelTable

    @cached_property
    def key(self) -> str:
        """Equal for equal schemes only: the name of what was made with one."""
        values = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        return json.dumps(values, sort_keys=True)

    def place_of(self, place: Mapping[str, tuple[str, ...]], name: str) -> int:
        """Returns the number of the classes that a cut-out stands on."""
        names = for_file(name, place)
        return 0 if names is None else self.places.index(names)


def label_scheme(recipe: Recipe, classes: Collection[str] = ()) -> LabelScheme | None:
    """Looks up the ids of a recipe's classes; None without label maps. Raises QumadeError for unknown or no names.

    `classes` are those of the cut-outs: the label maps' classes of the same names, whatever their capitals, are targets
    too, unless the recipe has no target.
    """
    if recipe.labels is None:
        return None
    if recipe.label_names is None:
        labels, shown = local_folder(recipe.labels)
        with shown:
            raise _no_names(labels)
    table = label_table(recipe.label_names)
    places = tuple(dict.fromkeys([recipe.ground, *recipe.place.values()]))
    for names in places:
        resolve_ids(table, names)
    target = [*recipe.target, *alike(table, classes if recipe.target else ())]
    flat = alike(table, _FLAT) or list(recipe.ground)
    return LabelScheme(
        ground=resolve_ids(table, recipe.ground),
        road=resolve_ids(table, flat[:1]),
        flat=resolve_ids(table, flat),
        level=resolve_ids(table, [*flat, *alike(table, [_UNEVEN])]),
        sky=resolve_ids(table, alike(table, ["sky"])),
        target=resolve_ids(table, target),
        named=frozenset(i for name, ids in table.items() if name != "none" and not means_unknown(name) for i in ids),
        places=places,
        table=table,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(value)
    return {name: list(ids) for name, ids in value.items()} if isinstance(value, Mapping) else value


def _no_names(folder: Path) -> ConfigError:
    """Returns the error of label maps without names of their ids. It states which built-in tables have all of them."""
    ids: set[int] = set()
    for path in files_of(folder, LABEL_SUFFIXES, "labels")[:_MOST_READ]:
        with suppress(UnusablePicture):  # the audit names it
            ids.update(np.unique(read_ids(path)).tolist())
    fits = fitting_tables(ids)
    found = f" (ids {min(ids)} to {max(ids)}, which {', '.join(fits) or 'no built-in table'} can name)" if ids else ""
    must = f"must be {', '.join(LABEL_TABLES)}, or a YAML file of ids and names"
    return ConfigError(f"Invalid label_names: got none for the label maps in {printable(folder)}{found}; {must}")
