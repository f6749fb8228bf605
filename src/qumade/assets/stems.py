"""Match files to images by file stem."""

from collections.abc import Sequence
from pathlib import Path

from qumade.errors import AssetError

__all__ = ["files_of", "match_stems"]


def match_stems(pictures: Sequence[Path], folder: Path, suffixes: Sequence[str], what: str) -> dict[Path, Path]:
    """Finds the file in `folder` with the same stem as each image; `what` names the files in messages.

    Raises QumadeError if `folder` is not a folder or contains two files with the same stem.
    """
    by_stem: dict[str, Path] = {}
    for path in files_of(folder, suffixes, what):
        other = by_stem.setdefault(path.stem, path)
        if other != path:
            raise AssetError(f"Invalid {what}: got both {other.absolute()} and {path.name}; must be one file per stem")
    return {path: by_stem[path.stem] for path in pictures if path.stem in by_stem}


def files_of(folder: Path, suffixes: Sequence[str], what: str) -> list[Path]:
    """Returns the files of a folder with these suffixes, by name. Raises QumadeError if `folder` is not a folder."""
    if not folder.is_dir():
        allowed = f"must be a folder of {' or '.join(suffixes)} files"
        raise AssetError(f"Invalid {what}: got no folder at {folder.absolute()}; {allowed}")
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
