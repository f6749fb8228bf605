"""Holds the files of a dataset against the samples that it should have: what is missing, empty, torn or too much."""

import os
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from qumade.data.manifest import MANIFEST
from qumade.data.metadata import METADATA
from qumade.data.statistics import STATISTICS
from qumade.errors import DatasetError
from qumade.io.decode import PNG_END
from qumade.io.files import ends_with
from qumade.io.listing import is_leftover
from qumade.io.pictures import printable
from qumade.io.progress import progress_bar

__all__ = ["ADDED", "Audit", "Problem", "damaged_stems", "file_problems", "root_problems"]

_JPEG_END = b"\xff\xd9"
ADDED = (STATISTICS, "placements.png", "layout.png")
"""What `qumade stats` adds to a dataset."""
_CHUNK = 256


@dataclass(frozen=True)
class Problem:
    """One problem of a dataset: the stem of the sample, the path of the file, and what is wrong with it."""

    stem: str
    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.stem}: {self.path}: {self.problem}"


@dataclass(frozen=True)
class Audit:
    """The result of an audit. `same_codecs`: bytes were compared, otherwise decoded pixels. `depth_compared`: depth/
    was compared too, which is skipped for depth that was predicted from the composites. `root` is a URL for shards in
    an object store."""

    root: Path | str
    samples: int
    files: int
    redrawn: int
    same_codecs: bool
    depth_compared: bool
    problems: tuple[Problem, ...]


def root_problems(root: Path, folders: Collection[str]) -> Iterator[Problem]:
    """Yield what lies in a dataset's folder and is no part of a dataset, and links in place of its parts."""
    known = {METADATA, MANIFEST, *ADDED, *folders}
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        path = printable(Path(entry.path))
        if entry.name not in known:
            if not _of_a_system(entry.name):
                yield Problem("-", path, "belongs to no dataset")
        elif entry.is_symlink():
            yield Problem("-", path, "is a link; must be in the dataset itself")


def _of_a_system(name: str) -> bool:
    """Whether a system leaves entries of this name; other hidden ones are strangers here."""
    return is_leftover(name) and (not name.startswith(".") or name.lower() == ".ds_store" or name.startswith("._"))


def file_problems(
    root: Path, suffixes: Mapping[str, str], stems: Collection[str], *, progress: bool = False
) -> Iterator[Problem]:
    """Yield missing, empty, torn and unexpected files. A torn file lacks the end marker of its format."""
    for folder, suffix in suffixes.items():
        names = {stem + suffix for stem in stems}
        try:
            there = _sizes(root / folder)
        except OSError as error:
            yield Problem("-", printable(root / folder), f"cannot be listed: {error.strerror}")
            continue
        for name in sorted(names - there.keys()):
            yield Problem(name.removesuffix(suffix), printable(root / folder / name), "is missing")
        for name in sorted(there.keys() - names):
            yield Problem(Path(name).stem, printable(root / folder / name), "belongs to no sample of the manifest")
        present = [root / folder / name for name in sorted(names & there.keys())]
        for path, problem in zip(present, _looked_into(present, there, folder, progress), strict=True):
            if problem is not None:
                yield Problem(path.stem, printable(path), problem)


def damaged_stems(
    root: Path, suffixes: Mapping[str, str], stems: Collection[str], *, inside: bool, progress: bool = False
) -> set[str]:
    """Return the samples of which a file is missing or empty, or, with `inside`, torn.

    Raises DatasetError for a file in whose place is something else, such as a folder.
    """
    damaged: set[str] = set()
    if not stems:
        return damaged
    for folder, suffix in suffixes.items():
        there = _sizes(root / folder) if (root / folder).is_dir() else {}
        present = []
        for stem in stems:
            size = there.get(stem + suffix, 0)
            if size is None:
                path = root / folder / (stem + suffix)
                if path.is_dir():  # anything else is replaced
                    raise DatasetError(f"Invalid dataset: got a folder {printable(path)}; must be a file")
                size = path.stat().st_size if path.is_file() else 0
            if size == 0:
                damaged.add(stem)
            elif inside:
                present.append(root / folder / (stem + suffix))
        if present:
            found = _looked_into(
                present, {path.name: there[path.name] or 1 for path in present}, folder, progress=False
            )
            damaged |= {path.name.removesuffix(suffix) for path, problem in zip(present, found, strict=True) if problem}
    return damaged


def _sizes(folder: Path) -> dict[str, int | None]:
    """Return the size of each file in a folder, None for anything else."""
    with os.scandir(folder) as entries:
        return {
            entry.name: entry.stat(follow_symlinks=False).st_size if entry.is_file(follow_symlinks=False) else None
            for entry in entries
        }


def _looked_into(paths: list[Path], sizes: Mapping[str, int | None], what: str, progress: bool) -> Iterator[str | None]:
    chunks = [paths[at : at + _CHUNK] for at in range(0, len(paths), _CHUNK)]
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        progress_bar(total=len(paths), desc=what, unit="file", disable=not progress, leave=False) as bar,
    ):
        for found in pool.map(lambda chunk: [_problem(path, sizes[path.name]) for path in chunk], chunks):
            yield from found
            bar.update(len(found))


def _problem(path: Path, size: int | None) -> str | None:
    if size is None:
        return "is a link or a folder; must be a file of the dataset"
    if size == 0:
        return "is empty"
    end = PNG_END if path.suffix == ".png" else _JPEG_END
    try:
        return None if ends_with(path, end) else "is truncated: it lacks the end marker of its format"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
