"""Compile functions to machine code with numba, without fast-math, and cache them on disk where that is safe.

A cluster's nodes need not compile what the process that hands out the work has compiled: see `compiled_code`.
"""

import hashlib
import importlib
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
from numba.core.registry import cpu_target

__all__ = ["CompiledCode", "compiled", "compiled_code", "take_code"]

CompiledCode = dict[tuple[str, str], dict[Any, bytes]]
"""Machine code by module and name of the function, and by numba's key: signature, CPU and bytecode."""

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
_functions: dict[tuple[str, str], Any] = {}  # what is cached, by module and name


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a function so that numba compiles it on its first call; `options` are those of numba.njit."""

    def decorate(function: Callable[..., Any]) -> Any:
        if _FOLDER is None:
            return njit(**options)(function)
        before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
        # Numba reads the setting when it decorates a function. It is restored for other packages.
        numba.config.CACHE_DIR = _FOLDER  # type: ignore[attr-defined]
        try:
            made = njit(cache=True, **options)(function)
            _functions[function.__module__, function.__qualname__] = made
            return made
        finally:
            numba.config.CACHE_DIR = before  # type: ignore[attr-defined]

    return decorate


def compiled_code() -> CompiledCode:
    """Return what is cached for this CPU of the package's functions that are imported, for `take_code` elsewhere.

    It holds pickles: it must come from a process that may run any code here anyway.
    """
    code: CompiledCode = {}
    for name, file in _cache_files().items():
        for key, data in file._load_index().items():
            if key[1] != _cpu():  # a folder that several machines share
                continue
            try:
                code.setdefault(name, {})[key] = Path(file._data_path(data)).read_bytes()
            except FileNotFoundError:  # numba writes the index first
                continue
    return code


def take_code(code: CompiledCode) -> bool:
    """Put code that another machine compiled into this machine's cache, where it is missing. Return False if it is for
    another CPU.

    Both must have equal versions of the package, numba and Python. It holds wherever the package is installed and
    whenever: numba's own files would not, since their names and contents tell path and time of the source.
    """
    for module in sorted({module for module, _ in code}):
        importlib.import_module(module)
    files = _cache_files()
    for name, overloads in code.items():
        if any(key[1] != _cpu() for key in overloads):
            return False
        if name not in files:  # without a folder to trust
            continue
        index = files[name]._load_index()
        missing = {key: data for key, data in overloads.items() if key not in index}
        for key, data in missing.items():
            # Not numbered as numba does it: a process that compiles meanwhile could choose the same number.
            index[key] = files[name]._data_name(int(hashlib.sha256(data).hexdigest()[:15], 16))
            with files[name]._open_for_write(files[name]._data_path(index[key])) as file:
                file.write(data)
        if missing:
            files[name]._save_index(index)
    return True


def _cpu() -> Any:
    """Return what numba calls the CPU: kind of machine, name and features."""
    return cpu_target.target_context.codegen().magic_tuple()


def _cache_files() -> dict[tuple[str, str], Any]:
    """Return numba's files of the package's functions. It has no public way to them."""
    package = f"{__package__}."
    return {name: made._cache._cache_file for name, made in _functions.items() if name[0].startswith(package)}
