"""The assets of a recipe as local files: folders at URLs are fetched, and messages name the URL all the same."""

from dataclasses import replace
from pathlib import Path
from types import TracebackType

from qumade.assets.local_recipe import LocalRecipe
from qumade.assets.scan import Finding
from qumade.errors import QumadeError
from qumade.io.fetch import fetch_folder
from qumade.io.pictures import one_line, printable
from qumade.recipe import Recipe

__all__ = ["Names", "fetch_assets", "local_folder"]

_FOLDERS = ("backgrounds", "foregrounds", "masks", "depths", "labels", "reliefs", "distractor_foregrounds")
_FLAT = ("backgrounds", "depths", "labels")  # without sub-folders


class Names:
    """Puts the URLs of fetched folders into texts that name the local copies. Around a block, it does so with the
    message of a QumadeError."""

    def __init__(self, urls: dict[str, str]) -> None:
        self._urls = urls

    def text(self, text: str) -> str:
        for local, url in self._urls.items():
            text = text.replace(local, url)
        return text

    def finding(self, finding: Finding) -> Finding:
        return (
            replace(finding, path=self.text(finding.path), detail=self.text(finding.detail)) if self._urls else finding
        )

    def __enter__(self) -> "Names":
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._urls and isinstance(error, QumadeError):
            error.args = (self.text(str(error)),)


def fetch_assets(recipe: Recipe, *, progress: bool = False) -> tuple[LocalRecipe, Names]:
    """Return the recipe with local folders in the place of URLs, fetched as `fetch_folder` does, and their names.

    Raises QumadeError naming the URL that cannot be read."""
    found: dict[str, Path] = {}
    urls: dict[str, str] = {}
    for name in _FOLDERS:
        folder = getattr(recipe, name)
        if isinstance(folder, str):
            found[name] = fetch_folder(folder, sub_folders=name not in _FLAT, progress=progress)
            urls[printable(found[name])] = one_line(folder.rstrip("/"))
    values = {name: getattr(recipe, name) for name in type(recipe).model_fields} | found
    return LocalRecipe.model_construct(_fields_set=set(recipe.model_fields_set), **values), Names(urls)


def local_folder(folder: Path | str, *, sub_folders: bool = False, progress: bool = False) -> tuple[Path, Names]:
    """Return a folder of pictures, fetched as `fetch_folder` does if it is at a URL, and its name. Raises QumadeError
    naming a URL that cannot be read."""
    if isinstance(folder, Path):
        return folder, Names({})
    fetched = fetch_folder(folder, sub_folders=sub_folders, progress=progress)
    return fetched, Names({printable(fetched): one_line(folder.rstrip("/"))})
