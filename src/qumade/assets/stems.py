"""Match files to images by file stem."""

from collections.abc import Sequence
from pathlib import Path

from qumade.errors import AssetError
from qumade.io.listing import entries, name_key
from qumade.io.pictures import printable

__all__ = ["files_of", "match_stems"]


def match_stems(pictures: Sequence[Path], folder: Path, suffixes: Sequence[str], what: str) -> dict[Path, Path]:
    """Finds the file in `folder` with the same stem as each image; `what` names the files in messages.

    Stems that differ only in their Unicode form are the same. Raises QumadeError if `folder` is not a folder, or if a
    stem of a match belongs to two files or to two images.
    """
    by_stem: dict[str, Path] = {}
    for path in files_of(folder, suffixes, what):
        other = by_stem.setdefault(name_key(path.stem), path)
        if other != path:
            raise AssetError(f"Invalid {what}: got both {printable(other)} and {path.name}; must be one file per stem")
    found: dict[str, Path] = {}
    for picture in pictures:
        key = name_key(picture.stem)
        other = found.setdefault(key, picture)
        if other != picture and key in by_stem:
            both = f"{printable(other)} and {picture.name}, whose stem {by_stem[key].name} has too"
            raise AssetError(f"Invalid {what}: got {both}; must be one image for each of the {what}")
    return {picture: by_stem[key] for key, picture in found.items() if key in by_stem}


def files_of(folder: Path, suffixes: Sequence[str], what: str) -> list[Path]:
    """Returns the files of a folder with these suffixes, by name. Raises QumadeError if `folder` is not a folder."""
    if not folder.is_dir():
        allowed = f"must be a folder of {' or '.join(suffixes)} files"
        raise AssetError(f"Invalid {what}: got no folder at {printable(folder)}; {allowed}")
    return [path for path in entries(folder) if path.suffix.lower() in suffixes]
