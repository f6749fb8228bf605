"""The folders of a dataset on disk: images/, with masks/, depth/, ignore/ and instances/ of equal file stems.

Files are listed, not opened.
"""

import os
from pathlib import Path
from shlex import quote

import numpy as np
from numpy.typing import NDArray

from qumade.data.metadata import METADATA, Metadata
from qumade.errors import DatasetError, QumadeError
from qumade.io.listing import is_leftover, name_key
from qumade.io.pictures import require_text

__all__ = ["FOLDERS", "list_dataset"]

FOLDERS = ("images", "masks", "depth", "ignore", "instances")
SUFFIXES = (".jpg", ".jpeg", ".png")

Names = NDArray[np.str_]


def list_dataset(root: Path, metadata: Metadata | None) -> tuple[Names, dict[str, Names]]:
    """Return the sorted stems of a dataset's samples, and for each folder the file suffix of each stem.

    Raises QumadeError naming what is missing, extra or wrong.
    """
    if not (root / "images").is_dir():
        photos = (
            ""
            if not any(path.name.lower().endswith(SUFFIXES) for path in root.glob("*.*"))
            else f". {root} holds unlabelled photos: `qumade predict RUN {quote(str(root))} --out DIR` predicts them"
        )
        raise DatasetError(
            f"Invalid dataset: got no folder {root / 'images'}; must hold the images of the dataset{photos}"
        )
    listings = {folder: _list(root / folder) for folder in _folders(root, metadata)}
    stems = listings["images"][0]
    for folder, (found, _) in listings.items():
        if not np.array_equal(found, stems):
            raise _unequal_stems(root, folder, stems, found)
    if len(stems) == 0:
        raise DatasetError(f"Invalid dataset: got no image in {root / 'images'}; must hold at least one")
    if metadata is not None and metadata.samples is not None and metadata.samples != len(stems):
        wanted = f"{metadata.samples} as {root / METADATA} says"
        raise DatasetError(f"Invalid dataset: got {len(stems)} images in {root / 'images'}; must be {wanted}")
    return stems, {folder: suffixes for folder, (_, suffixes) in listings.items()}


def _folders(root: Path, metadata: Metadata | None) -> list[str]:
    present = [folder for folder in FOLDERS if (root / folder).is_dir()]
    if metadata is None or not (metadata.classes or metadata.folders):
        present = [folder for folder in present if folder != "instances"]  # the metadata says what they mean
    if metadata is not None and metadata.folders is not None:
        for folder in FOLDERS:
            listed = folder in metadata.folders
            if listed != (folder in present):
                got, must = ("a folder", "not exist") if not listed else ("no folder", "exist")
                wanted = f"must {must} as {root / METADATA} says (folders)"
                raise DatasetError(f"Invalid dataset: got {got} {root / folder}; {wanted}")
    if "masks" not in present and "depth" not in present:
        raise DatasetError(f"Invalid dataset: got neither masks/ nor depth/ in {root}; must have one of them or both")
    return present


def _list(folder: Path) -> tuple[Names, Names]:
    """Return the sorted stems of the image files in a folder and the suffix of each."""
    try:
        with os.scandir(folder) as entries:
            files = {entry.name: entry.is_file() for entry in entries}
    except OSError as error:
        raise DatasetError(f"Invalid dataset: cannot list {folder}: {error.strerror}") from error
    names = [name for name, is_file in files.items() if is_file and name.lower().endswith(SUFFIXES) and name[0] != "."]
    if len(names) < len(files):
        for name in sorted(files.keys() - set(names)):
            if not is_leftover(name):
                wanted = f"a file ending in {', '.join(SUFFIXES)}"
                raise DatasetError(f"Invalid dataset: got {folder / name}; must be {wanted}")
    for name in names:
        if not name.isascii():
            require_text(folder / name)
    if not names:
        return np.array([], np.str_), np.array([], np.str_)
    # array operations: there may be half a million names
    stems, dots, endings = np.strings.rpartition(np.array(names, dtype=np.str_), ".")
    order = np.argsort(stems)
    stems, suffixes = stems[order], np.strings.add(dots, endings)[order]
    twice = np.flatnonzero(stems[1:] == stems[:-1])
    if len(twice):
        first = int(twice[0])
        both = " and ".join(sorted(str(suffix) for suffix in suffixes[first : first + 2]))
        raise DatasetError(f"Invalid dataset: got {folder / str(stems[first])} as {both}; must be one file per stem")
    return stems, suffixes


def _unequal_stems(root: Path, folder: str, stems: NDArray[np.str_], found: NDArray[np.str_]) -> QumadeError:
    missing, extra = np.setdiff1d(stems, found), np.setdiff1d(found, stems)
    if len(missing):
        got = f"no image {root / folder / str(missing[0])}.*"
        must_be = f"as in {root / 'images'} ({len(missing)} missing)"
        if {name_key(name) for name in missing.tolist()} & {name_key(name) for name in extra.tolist()}:
            must_be += (
                "; names that look equal differ in their Unicode form (NFC and NFD): rename the files of one folder"
            )
    else:
        got = f"{root / folder / str(extra[0])}.*, for which {root / 'images'} has none"
        must_be = f"of equal stems ({len(extra)} too many)"
    return DatasetError(f"Invalid dataset: got {got}; must be {must_be}")
