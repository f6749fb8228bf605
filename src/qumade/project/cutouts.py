"""The cut-outs of a project. A file is replaced or removed only if it is still as it was written, by its hash: what a
person changed or added stays, and is named."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qumade.assets.classes import class_folders, cutout_names
from qumade.convert.plain_background import NotPlain, plain_background_alpha
from qumade.errors import AssetError, ConfigError, DatasetError, MissingPackage, RunError
from qumade.io.decode import read_rgba
from qumade.io.encode import png_bytes
from qumade.io.files import is_temporary, read_bytes, remove_temporary_files, write_bytes
from qumade.io.listing import named
from qumade.io.pictures import UnusablePicture, content_hash, list_pictures, printable
from qumade.io.progress import progress_bar

if TYPE_CHECKING:
    from qumade.teachers.cutout import CutoutTeacher

__all__ = ["begin_cutouts", "cut_out", "file_hash"]

_SOURCES = ".sources.json"  # of each cut-out the hash of its picture, how it was made, and its own hash
_ALPHA, _PLAIN = "alpha", "plain background"
_MOST_RECORD_BYTES = 1 << 26
_MOST_BYTES = 1 << 29
_OBJECT = 0.005, 0.95  # share of a picture that the object covers; a network that says other is not believed


def begin_cutouts(root: Path, folder: Path) -> None:
    """Begin the `folder` of cut-outs of a project in an empty folder `root`.

    Raises DatasetError for a folder that holds something else.
    """
    sources = folder / _SOURCES
    if not sources.is_file():
        # A start that a full disk ended at once has left a folder without files.
        if any(not path.is_dir() and not is_temporary(path.name) for path in root.rglob("*")):
            raise DatasetError(
                f"Invalid --out: got {printable(root)}, which holds something else; must be a new or empty folder, or "
                "a project that `qumade start` has begun"
            )
        folder.mkdir(exist_ok=True)
        write_bytes(sources, b"{}\n")


class _Cutter:
    """Cuts objects out of pictures: by a network, which is loaded when the first picture needs it, or else by colour.
    `missing` says why there is no network, "" as long as none was missed."""

    def __init__(self, model: str | Path | None, download: bool) -> None:
        self.missing = ""
        self._model, self._download, self._loaded = model, download, False
        self._teacher: CutoutTeacher | None = None

    @property
    def teacher(self) -> "CutoutTeacher | None":
        if not self._loaded and self._model is not None:
            from qumade.teachers.cutout import cutout_teacher

            try:
                self._teacher = cutout_teacher(self._model, download=self._download)
            except (ConfigError, MissingPackage, RunError) as error:
                self.missing = str(error)
        self._loaded = True
        return self._teacher

    def alpha(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], str]:
        """Return the alpha of the object in a picture, and how it was found. Raises NotPlain where it was not."""
        if self.teacher is not None:
            alpha = self.teacher.predict(rgb)
            if _OBJECT[0] <= (alpha >= 128).mean() <= _OBJECT[1]:
                return alpha, self.teacher.name
        return plain_background_alpha(rgb), _PLAIN


class _Source(NamedTuple):
    """What is recorded of a cut-out: the hash of its picture, how it was made, and its own hash as it was written."""

    picture: str
    how: str
    cutout: str


def cut_out(
    objects: Path, folder: Path, teacher: str | Path | None, *, download: bool = False, progress: bool = False
) -> list[str]:
    """Write a cut-out of each picture into a folder that `begin_cutouts` has begun. Return what a person should know.

    Pictures without alpha are cut out by the network `teacher` if it can be loaded, and else by colour if their
    background is plain. Raises QumadeError if there is no cut-out in the end.
    """
    cutter = _Cutter(teacher, download)
    known = _read_sources(folder)
    pictures = _pictures(objects)
    for part in {Path(name).parent for name in pictures}:
        (folder / part).mkdir(exist_ok=True)
        remove_temporary_files(folder / part)
    sources: dict[str, _Source] = {}
    failed = []
    try:
        for name, path in progress_bar(
            pictures.items(), "cut-outs", len(pictures), unit="picture", disable=not progress, leave=False
        ):
            out = folder / name
            try:
                source = _keep_or_cut(path, out, known.get(name), cutter)
                if source is not None:
                    sources[name] = source
            except (UnusablePicture, NotPlain) as error:
                if _is_as_written(out, known.get(name)):
                    out.unlink()
                if not out.exists():
                    failed.append(f"{path.relative_to(objects)}: {getattr(error, 'detail', error)}")
        for name in known.keys() - sources.keys():
            if _is_as_written(folder / name, known[name]):
                (folder / name).unlink()  # its picture is gone
        known = {}
    finally:  # also what an interruption leaves is known to be from here
        write_bytes(folder / _SOURCES, (json.dumps(known | sources, indent=2) + "\n").encode())
    by_hand = [name for name in cutout_names(folder) if not _is_as_written(folder / name, sources.get(name))]
    notes = []
    made = Counter(source.how for source in sources.values() if source.how != _ALPHA)
    for how, count in made.items():
        by = f"by the network {how}"
        if how == _PLAIN:
            by = "by its colour, from a plain background, without a network"
        notes.append(
            f"{count:,} of {len(pictures):,} pictures had no alpha: the object of each was cut out {by}. Look at "
            f"{folder}: cut-outs that you improve there are kept"
        )
    if cutter.missing:
        notes.append(f"No network cuts out objects. {cutter.missing}")
    if by_hand:
        notes.append(
            f"Cut-outs that were changed or added by hand in {folder} stay as they are: {named(by_hand)}. One that you "
            "remove is made again from its picture"
        )
    if failed:
        shown = "; ".join(failed[:3]) + (f"; and {len(failed) - 3:,} more" if len(failed) > 3 else "")
        notes.append(
            f"{len(failed):,} of {len(pictures):,} pictures were not cut out ({shown}). Save them as PNG with a "
            f"transparent background into {objects}, and run the same command again"
        )
    if not sources and not by_hand:
        raise AssetError(f"Invalid OBJECTS: got no cut-out from {printable(objects)}. {notes[-1] if notes else ''}")
    return notes


def _pictures(objects: Path) -> dict[str, Path]:
    """Return the pictures of a folder by the name of their cut-out, with the sub-folder of its class if there are some.

    Raises AssetError for two pictures of the same stem.
    """
    found: dict[str, Path] = {}
    for part in class_folders(objects) or ("",):
        for path in list_pictures(objects / part):
            name = f"{part}/{path.stem}.png" if part else f"{path.stem}.png"
            if name in found:
                where = printable(path.parent)
                raise AssetError(f"Invalid OBJECTS: got two pictures of the stem {path.stem} in {where}")
            found[name] = path
    return found


def _keep_or_cut(path: Path, out: Path, before: _Source | None, cutter: _Cutter) -> _Source | None:
    """Write the cut-out of a picture unless it is there, or a person has put another there. Return what is recorded of
    it; None for one that a person made. Raises UnusablePicture or NotPlain where it cannot be cut out."""
    picture = content_hash(path)
    ours = _is_as_written(out, before)
    if before is not None and before.picture == picture and out.is_file():
        improvable = ours and before.how == _PLAIN  # a network may do better than colour, but not than a person
        if not improvable or cutter.teacher is None:
            return before
    (rgb, alpha), how = read_rgba(path), _ALPHA
    if alpha is None or alpha.min() == 255:
        alpha, how = cutter.alpha(rgb)
    data = png_bytes(Image.fromarray(np.dstack([rgb, alpha])))
    made = _Source(picture, how, hashlib.sha256(data).hexdigest())
    if out.exists() and not ours:  # a person's, or written by a process that was killed before it was recorded
        return made if file_hash(out) == made.cutout else None
    write_bytes(out, data)
    return made


def _is_as_written(out: Path, source: _Source | None) -> bool:
    return source is not None and file_hash(out) == source.cutout


def _read_sources(folder: Path) -> dict[str, _Source]:
    """Return what is recorded of each cut-out; of a damaged file nothing, so that every cut-out is a person's."""
    try:
        content = json.loads(read_bytes(folder / _SOURCES, _MOST_RECORD_BYTES))
        return {name: _Source(*map(str, values)) for name, values in content.items() if _is_below(name)}
    except (ValueError, TypeError, AttributeError):
        return {}


def _is_below(name: str) -> bool:
    """Return whether this can be the name of a cut-out: the file may come from a stranger."""
    parts = name.split("/")
    return len(parts) <= 2 and name.endswith(".png") and not any(part in ("", ".", "..") for part in parts)


def file_hash(path: Path) -> str | None:
    """Return the SHA-256 of a file as hexadecimal digits; None where there is none."""
    return hashlib.sha256(read_bytes(path, _MOST_BYTES)).hexdigest() if path.is_file() else None
