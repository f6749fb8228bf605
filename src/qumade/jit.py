"""Compile functions to machine code with numba, without fast-math, and cache them on disk where that is safe."""

import hashlib
import logging
import multiprocessing
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
from numba import njit

__all__ = ["compiled"]

_log = logging.getLogger(__name__)

_PACKAGE = Path(__file__).parent
# The modules that define compiled functions and the constants they use; tests/test_jit.py reports missing ones.
_SOURCES = (
    "plan/*.py",
    "compose/*.py",
    "compose/effects/*.py",
    "depth/codec.py",
    "assets/catalog.py",
    "assets/cut_sides.py",
    "assets/scene_layout.py",
    "convert/exporters/outlines.py",
    "geometry.py",
    "jit.py",
)


def _cache_folder() -> str | None:
    """Return the cache folder, named by the content of all sources of compiled code; None where there is none to trust.

    Numba itself checks only the file of the function. A change to a function or a constant from another file would go
    unnoticed, and outdated code would keep planning and drawing samples.

    A cache holds pickles and machine code, which run unchecked: a folder that others may write to would run theirs.
    """
    digest = hashlib.sha256()
    for pattern in _SOURCES:
        paths = sorted(_PACKAGE.glob(pattern))
        if not paths:
            raise RuntimeError(f"Invalid _SOURCES: got no file at {_PACKAGE / pattern}; must match compiled sources")
        for path in paths:
            digest.update(path.read_bytes())
    name = f"compiled-{digest.hexdigest()[:16]}"
    for folder in _candidates():
        made = _private(folder / name)
        if made is not None:
            return str(made)
    if multiprocessing.parent_process() is None:  # workers need not repeat it
        _log.warning(
            "no folder for compiled code that only this user can write to: it is compiled at every start, which takes "
            "a minute (set NUMBA_CACHE_DIR to a folder of your own)"
        )
    return None


def _candidates() -> Iterator[Path]:
    """Yield the folders that may hold the cache, the best first. Relative ones depend on where one stands: not used."""
    given = os.environ.get("NUMBA_CACHE_DIR", "")
    if Path(given).is_absolute():
        yield Path(given)
    yield _PACKAGE / "__pycache__"
    cache = os.environ.get("XDG_CACHE_HOME", "")
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises for a user without a home
    if Path(cache).is_absolute():
        yield Path(cache) / "qumade"
    elif Path(home).is_absolute():
        yield Path(home) / ".cache" / "qumade"


def _private(folder: Path) -> Path | None:
    """Make a folder and return it without links, None if it cannot be made, is not this user's, or if others may write
    to it or replace one of its parents."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        real = folder.resolve(strict=True)
        if real.stat().st_uid != os.getuid() or _may_be_written_by_others(real):
            return None
        if not all(_is_safe(path) for path in real.parents):
            return None
        tempfile.TemporaryFile(dir=real).close()
        for path in real.rglob("*.nb[ci]"):  # a power cut may leave files without content, which numba cannot load
            if path.stat().st_size == 0:
                path.unlink()
    except OSError:
        return None
    return real


def _may_be_written_by_others(path: Path) -> bool:
    found = path.stat()
    # A group that is this user's own counts as the user.
    of_group = bool(found.st_mode & stat.S_IWGRP) and found.st_gid not in (0, os.getuid())
    return of_group or bool(found.st_mode & stat.S_IWOTH)


def _is_safe(path: Path) -> bool:
    """Return whether nobody but this user and root can replace a folder in this one. In a folder with the sticky bit,
    such as /tmp, others can only add."""
    found = path.stat()
    return found.st_uid in (0, os.getuid()) and (
        not _may_be_written_by_others(path) or bool(found.st_mode & stat.S_ISVTX)
    )


_FOLDER = _cache_folder()


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a function so that numba compiles it on its first call; `options` are those of numba.njit."""

    def decorate(function: Callable[..., Any]) -> Any:
        if _FOLDER is None:
            return njit(**options)(function)
        before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
        # Numba reads the setting when it decorates a function. It is restored for other packages.
        numba.config.CACHE_DIR = _FOLDER  # type: ignore[attr-defined]
        try:
            return njit(cache=True, **options)(function)
        finally:
            numba.config.CACHE_DIR = before  # type: ignore[attr-defined]

    return decorate
