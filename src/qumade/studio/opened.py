"""What the studio may touch: the folders that were opened at its start, and its own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qumade.errors import ConfigError
from qumade.io.pictures import printable
from qumade.io.storage import is_url
from qumade.recipe import Recipe, load_recipe

__all__ = ["Kind", "Opened", "is_reserved", "kind_of", "open_path", "shown_name", "start_of"]

Kind = Literal["recipe", "dataset", "run", "evaluation", "folder"]
_OF_DATASETS = ("images", "masks", "depth", "dataset.yaml")
_OF_RUNS = ("weights", "checkpoint")
_OF_RECIPES = (
    "backgrounds", "foregrounds", "masks", "depths", "labels", "reliefs", "distractor_foregrounds", "layout",
    "label_names", "depth_teacher",
)  # fmt: skip
_SUFFIXES = (".yaml", ".yml")
_RESERVED = ("dataset.yaml", "config.yaml")


@dataclass(frozen=True)
class Opened:
    """The folders that the studio may read and write below, absolute and with all links resolved; `own` is the first.

    `own` is the folder in which the studio keeps recipes, jobs and what they write.
    """

    own: Path
    others: tuple[Path, ...] = ()

    def inside(self, path: Path | str) -> Path:
        """Return the absolute path. Raises ConfigError if it lies, after resolving links, below no opened folder."""
        absolute = Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH111
        real = Path(os.path.realpath(absolute))
        if not any(real.is_relative_to(folder) for folder in (self.own, *self.others)):
            allowed = ", ".join(printable(folder) for folder in (self.own, *self.others))
            raise ConfigError(
                f"Invalid path: got {printable(absolute)}; must be below a folder that was opened when the studio "
                f"started: {allowed}"
            )
        return absolute

    def check(self, recipe: Recipe) -> Recipe:
        """Return the recipe. Raises ConfigError if a folder or file that it names is at a URL or not below an
        opened folder."""
        for name in _OF_RECIPES:
            value = getattr(recipe, name)
            if isinstance(value, str) and is_url(value):
                raise ConfigError(f"Invalid {name}: got {value}; must be a folder on this machine in the studio")
            if isinstance(value, Path):
                try:
                    self.inside(value)
                except ConfigError as error:
                    raise ConfigError(str(error).replace("Invalid path", f"Invalid {name}", 1)) from None
        return recipe

    def writable(self, path: Path | str) -> Path:
        """Return the absolute path, at which a recipe may be written. Raises ConfigError for the files of datasets and
        runs, as well as `inside`."""
        inside = self.inside(path)
        if inside.suffix.lower() not in _SUFFIXES:
            raise ConfigError(f"Invalid file: got {printable(inside)}; must end in .yaml")
        if is_reserved(inside):
            raise ConfigError(
                f"Invalid file: got {printable(inside)}; must not be named {' or '.join(_RESERVED)}: datasets and runs "
                "have files of this name"
            )
        if inside.is_dir():
            raise ConfigError(f"Invalid file: got the folder {printable(inside)}; must be a file")
        return inside

    def found(self, kind: Kind, *, most: int = 200, depth: int = 3) -> list[Path]:
        """Return the recipes, datasets, runs or evaluations below the opened folders, sorted, the first `most`."""
        found: dict[Path, None] = {}
        for root in (self.own, *self.others):
            _search(root, kind, depth, found, most)
        return sorted(found)


def is_reserved(path: Path) -> bool:
    """Return whether a file of this name belongs to a dataset or a run."""
    return path.name.lower() in _RESERVED


def shown_name(name: str) -> str:
    """Return a file name that can be shown: it may hold line breaks, control characters and undecodable bytes."""
    return name if name.isprintable() else ascii(name)[1:-1]


def kind_of(path: Path) -> Kind | None:
    """Return what lies at a path; None where nothing that the studio opens does."""
    if path.is_file():
        return "recipe" if path.suffix.lower() in _SUFFIXES else None
    if not path.is_dir():
        return None
    if any((path / name).exists() for name in _OF_RUNS) and (path / "config.yaml").is_file():
        return "run"
    if (path / "scores.parquet").is_file():
        return "evaluation"
    return "dataset" if any((path / name).exists() for name in _OF_DATASETS) else "folder"


def start_of(folder: Path) -> Path:
    """Return the recipe.yaml of a folder that holds a valid one, such as a project of `qumade start`, and else the path
    as it is. The photos of a project lie elsewhere: only its recipe says which folders are to be opened."""
    recipe = folder / "recipe.yaml"
    if kind_of(folder) != "folder" or not recipe.is_file():
        return folder
    try:
        load_recipe(recipe)
    except ConfigError:
        return folder
    return recipe


def open_path(path: Path | None, own: Path, more: Sequence[Path] = ()) -> tuple[Opened, Kind | None]:
    """Return the opened folders for the argument of `qumade studio`, and what it is.

    A recipe opens its own folder and the folders of its assets; anything else opens its folder. `more` are opened too.
    Raises ConfigError where nothing that can be opened lies at the path.
    """
    if own.exists() and not own.is_dir():
        raise ConfigError(f"Invalid --out: got the file {printable(own)}; must be a folder")
    others = [Path(os.path.realpath(folder)) for folder in more]
    kind = None
    if path is not None:
        absolute = path.absolute()
        kind = kind_of(absolute)
        if kind is None:
            found = "another file" if absolute.exists() else "nothing"
            raise ConfigError(
                f"Invalid path: got {found} at {printable(absolute)}; must be a recipe (.yaml), a dataset, a run or a "
                "folder of them"
            )
        others.append(Path(os.path.realpath(absolute.parent if kind == "recipe" else absolute)))
        if kind == "recipe":
            recipe = load_recipe(absolute)
            assets = [getattr(recipe, name) for name in _OF_RECIPES]
            others += [Path(os.path.realpath(asset)) for asset in assets if isinstance(asset, Path)]
    for folder in more:
        if not folder.is_dir():
            raise ConfigError(f"Invalid --open: got no folder at {printable(folder)}; must be a folder")
    return Opened(Path(os.path.realpath(own)), tuple(dict.fromkeys(others))), kind


def _search(folder: Path, kind: Kind, depth: int, found: dict[Path, None], most: int) -> None:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    own_kind = kind_of(folder)
    if own_kind == kind and kind != "folder":
        found[folder] = None
    for entry in entries:
        if len(found) >= most or entry.name.startswith("."):
            continue
        path = Path(entry.path)
        if kind == "recipe" and entry.is_file() and path.suffix.lower() in _SUFFIXES and _is_recipe(path):
            found[path] = None
        elif depth > 0 and own_kind == "folder" and entry.is_dir(follow_symlinks=False):
            _search(path, kind, depth - 1, found, most)


def _is_recipe(path: Path) -> bool:
    """Return whether a file looks like a recipe, by its first kilobytes: runs have YAML files too."""
    try:
        with path.open("rb") as file:
            start = file.read(1 << 14)
    except OSError:
        return False
    return b"backgrounds:" in start and b"foregrounds:" in start
