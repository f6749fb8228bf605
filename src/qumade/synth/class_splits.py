"""Splits of cut-outs of several classes, and what several classes need."""

from collections.abc import Sequence
from dataclasses import replace

from qumade.assets.catalog import Foreground
from qumade.assets.local_recipe import shown_asset
from qumade.errors import ConfigError
from qumade.plan.random_numbers import Stream
from qumade.plan.splits import SPLITS, assign_splits
from qumade.recipe import Recipe

__all__ = ["refuse_classes", "split_by_class"]


def refuse_classes(recipe: Recipe, classes: Sequence[str], foregrounds: Sequence[Foreground]) -> None:
    """Raises QumadeError for a class without a usable cut-out, for one object in two classes, and for masks that would
    show objects of unknown class."""
    if len(classes) > 1 and recipe.labels is not None and recipe.present == "mask":
        raise ConfigError(
            f"Invalid present: got 'mask' with {len(classes)} classes; must be 'ignore' or 'skip': the class and "
            "number of the objects that a photo already shows are unknown"
        )
    used = {foreground.class_number for foreground in foregrounds}
    for number, name in enumerate(classes):
        if foregrounds and number not in used:
            raise ConfigError(
                f"Invalid class: got no usable cut-out of {name!r} in {shown_asset(recipe.foregrounds)}; must have one"
            )
    first: dict[int, Foreground] = {}
    for foreground in foregrounds:
        other = first.setdefault(foreground.identity, foreground)
        if other.class_number != foreground.class_number:
            both = " and ".join(shown_asset(recipe.foregrounds, each.name) for each in (other, foreground))
            pair = " and ".join(repr(classes[each.class_number]) for each in (other, foreground))
            raise ConfigError(f"Invalid class: got {both}, which show one object, as {pair}; must be of one class")


def split_by_class(recipe: Recipe, classes: Sequence[str], foregrounds: Sequence[Foreground]) -> list[Foreground]:
    """Returns the cut-outs with their splits, assigned within each class, so every split has objects of every class.

    Raises QumadeError naming a class with too few identities.
    """
    splits: dict[int, str] = {}
    for number, name in enumerate(classes):
        members = [place for place, each in enumerate(foregrounds) if each.class_number == number]
        identities = [foregrounds[place].identity for place in members]
        assigned = assign_splits(identities, recipe.split, recipe.seed, Stream.SPLIT_FOREGROUND)
        wanted = [split for split, share in zip(SPLITS, recipe.split, strict=True) if share > 0]
        if missing := [split for split in wanted if split not in assigned]:
            raise ConfigError(
                f"Invalid class: got {len(set(identities))} different cut-outs of {name!r} in "
                f"{shown_asset(recipe.foregrounds)}, none for {' and '.join(missing)}; must be at least {len(wanted)}, "
                "one for each split"
            )
        splits |= dict(zip(members, assigned, strict=True))
    return [replace(each, split=splits[place]) for place, each in enumerate(foregrounds)]
