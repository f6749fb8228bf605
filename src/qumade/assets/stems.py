"""Files that belong to a picture by their equal stem."""

from collections.abc import Sequence
from pathlib import Path

from qumade.errors import QumadeError

__all__ = ["match_stems"]


def match_stems(pictures: Sequence[Path], folder: Path, suffixes: Sequence[str], what: str) -> dict[Path, Path]:
    """The file of equal stem in `folder` of each picture that has one; `what` names the files in messages.

    Raises QumadeError where the folder is none, or holds two files of one stem.
    """
    if not folder.is_dir():
        raise QumadeError(f"Invalid {what}: {folder.absolute()} is no folder; must hold {' or '.join(suffixes)} files")
    by_stem: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes:
            continue
        other = by_stem.setdefault(path.stem, path)
        if other != path:
            raise QumadeError(f"Invalid {what}: got both {other.absolute()} and {path.name}; must be one file a stem")
    return {path: by_stem[path.stem] for path in pictures if path.stem in by_stem}
