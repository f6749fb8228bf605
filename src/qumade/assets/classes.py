"""Classes of cut-outs: the sub-folders that they lie in, or the recipe's table of file names and patterns."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from qumade.assets.local_recipe import LocalRecipe
from qumade.errors import ConfigError
from qumade.io.pictures import list_pictures, printable
from qumade.recipe import CLASS_NAME, MOST_CLASSES, Recipe, for_file

__all__ = ["class_folders", "class_names", "class_of", "cutout_names", "sub_folders"]


def sub_folders(folder: Path) -> Iterator[Path]:
    """Yields the sub-folders of a folder that hold pictures, by name; hidden ones are left out."""
    for path in sorted(Path(folder).iterdir()):
        if path.is_dir() and not path.name.startswith(".") and list_pictures(path):
            yield path


def class_folders(folder: Path) -> tuple[str, ...]:
    """Returns the names of the sub-folders with pictures, sorted. There are none if the folder holds a picture itself.

    Raises QumadeError where the folder cannot be listed, and for a name that cannot be the name of a class.
    """
    if list_pictures(folder):
        return ()
    names = tuple(path.name for path in sub_folders(folder))
    for name in names:
        if not re.fullmatch(CLASS_NAME, name):
            raise ConfigError(
                f"Invalid class: got the sub-folder {printable(Path(folder) / name)}; must be named by letters, "
                "digits, spaces and _ . - only"
            )
    return names


def cutout_names(folder: Path) -> list[str]:
    """Returns the names of all picture files of a folder of cut-outs, with their sub-folder where it has classes."""
    parts = class_folders(folder)
    if not parts:
        return [path.name for path in list_pictures(folder)]
    return [f"{part}/{path.name}" for part in parts for path in list_pictures(Path(folder) / part)]


def class_of(recipe: Recipe, name: str) -> str | None:
    """Returns the class of the cut-out `name`, as listed by `cutout_names`; None if the recipe gives it none."""
    return for_file(name, recipe.classes) or name.rpartition("/")[0] or None


def class_names(recipe: LocalRecipe) -> tuple[str, ...]:
    """Returns the classes of a recipe's cut-outs, sorted; none if it gives no classes.

    Raises QumadeError for a cut-out without a class beside others that have one, and for too many classes.
    """
    names = cutout_names(recipe.foregrounds)
    classes = {name: class_of(recipe, name) for name in names}
    found = sorted({each for each in classes.values() if each is not None})
    bare: Sequence[str] = [name for name, each in classes.items() if each is None]
    if found and bare:
        raise ConfigError(
            f"Invalid classes: got none for {printable(recipe.foregrounds / bare[0])}; must match every cut-out "
            "(`default` for the rest)"
        )
    if len(found) > MOST_CLASSES:
        raise ConfigError(f"Invalid classes: got {len(found)}; must be at most {MOST_CLASSES}")
    return tuple(found)
