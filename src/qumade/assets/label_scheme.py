"""Map the classes that a recipe names to ids of the label maps."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from qumade.assets.label_names import LabelTable, label_table, resolve_ids
from qumade.recipe import Recipe, for_file

__all__ = ["LabelScheme", "label_scheme"]

_FLAT, _UNEVEN = ("road", "sidewalk"), "terrain"
_NOTHING = ("unlabelled", "unlabeled", "void", "none", "ignore")


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

    def place_of(self, place: Mapping[str, tuple[str, ...]], name: str) -> int:
        """Returns the number of the classes that a cut-out stands on."""
        names = for_file(name, place)
        return 0 if names is None else self.places.index(names)


def label_scheme(recipe: Recipe, classes: Collection[str] = ()) -> LabelScheme | None:
    """Looks up the ids of a recipe's classes; None without label maps. Raises QumadeError for unknown names.

    `classes` are those of the cut-outs: the label maps' classes of the same names are targets too, unless the recipe
    has no target.
    """
    if recipe.labels is None:
        return None
    table = label_table(recipe.label_names)
    places = tuple(dict.fromkeys([recipe.ground, *recipe.place.values()]))
    for names in places:
        resolve_ids(table, names)
    target = [*recipe.target, *(name for name in classes if name in table and recipe.target)]
    flat = [name for name in _FLAT if name in table] or list(recipe.ground)
    return LabelScheme(
        ground=resolve_ids(table, recipe.ground),
        road=resolve_ids(table, flat[:1]),
        flat=resolve_ids(table, flat),
        level=resolve_ids(table, [*flat, *({_UNEVEN} & table.keys())]),
        sky=resolve_ids(table, ["sky"]) if "sky" in table else frozenset(),
        target=resolve_ids(table, target),
        named=frozenset(i for name, ids in table.items() if name not in _NOTHING for i in ids),
        places=places,
        table=table,
    )
