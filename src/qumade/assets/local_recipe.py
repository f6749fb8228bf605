"""A recipe whose folders are all on this machine, and the files of one whose folders may be at URLs."""

from pathlib import Path

from qumade.errors import AssetError
from qumade.io.config import RelativePath
from qumade.io.fetch import fetch_file
from qumade.io.pictures import content_hash, one_line, printable
from qumade.recipe import Recipe

__all__ = ["LocalRecipe", "asset_file", "shown_asset"]


class LocalRecipe(Recipe):
    """A recipe all of whose folders are on this machine. Only code that reads every file of them needs one; it is
    never saved."""

    backgrounds: RelativePath
    foregrounds: RelativePath
    masks: RelativePath | None = None
    depths: RelativePath | None = None
    labels: RelativePath | None = None
    reliefs: RelativePath | None = None
    distractor_foregrounds: RelativePath | None = None


def asset_file(folder: Path | str, name: str, sha256: str | None) -> Path:
    """Return the local path of an asset with this content, fetched if need be. Raises QumadeError if it has changed."""
    if isinstance(folder, str):
        return fetch_file(folder, name, sha256 or "")
    path = folder / name
    if content_hash(path) != sha256:
        raise AssetError(f"Invalid asset: {path} has changed since the catalog was built; must stay unchanged")
    return path


def shown_asset(folder: Path | str, name: str = "") -> str:
    """Return the absolute path or the URL of a folder of assets, or of a file in it, on one line for messages."""
    if isinstance(folder, str):
        return one_line(f"{folder.rstrip('/')}/{name}" if name else folder)
    return printable(folder / name)
