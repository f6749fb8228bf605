"""Which ids of the label maps play which part in a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass

from qumade.assets.label_names import LabelTable, label_table, resolve_ids
from qumade.recipe import Recipe, for_file

__all__ = ["LabelScheme", "label_scheme"]

_FLAT, _UNEVEN = ("road", "sidewalk"), "terrain"
_NOTHING = ("unlabelled", "unlabeled", "void", "none", "ignore")


@dataclass(frozen=True)
class LabelScheme:
    """The ids that play a part in a recipe. `places` has the classes to stand on by number, the first the ground;
    `flat` is the ground that tells the horizon, `road` what of it has edges that meet there, `level` the flat and the
    uneven ground, `named` whatever is something: ids outside it say that nobody knows."""

    ground: frozenset[int]
    road: frozenset[int]
    flat: frozenset[int]
    level: frozenset[int]
    sky: frozenset[int]
    target: frozenset[int]
    named: frozenset[int]
    places: tuple[tuple[str, ...], ...]
    table: LabelTable

    def place_of(self, place: Mapping[str, tuple[str, ...]], name: str) -> int:
        """The number of the classes that a cut-out stands on."""
        names = for_file(name, place)
        return 0 if names is None else self.places.index(names)


def label_scheme(recipe: Recipe) -> LabelScheme | None:
    """The ids of the classes that a recipe names, None without label maps. Raises QumadeError for unknown names."""
    if recipe.labels is None:
        return None
    table = label_table(recipe.label_names)
    places = tuple(dict.fromkeys([recipe.ground, *recipe.place.values()]))
    for names in places:
        resolve_ids(table, names)
    flat = [name for name in _FLAT if name in table] or list(recipe.ground)
    return LabelScheme(
        ground=resolve_ids(table, recipe.ground),
        road=resolve_ids(table, flat[:1]),
        flat=resolve_ids(table, flat),
        level=resolve_ids(table, [*flat, *({_UNEVEN} & table.keys())]),
        sky=resolve_ids(table, ["sky"]) if "sky" in table else frozenset(),
        target=resolve_ids(table, recipe.target),
        named=frozenset(i for name, ids in table.items() if name not in _NOTHING for i in ids),
        places=places,
        table=table,
    )
