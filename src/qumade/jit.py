"""Compile functions to machine code with numba, without fast-math, and cache them on disk."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import njit

__all__ = ["compiled"]

_PACKAGE = Path(__file__).parent
# The modules that define compiled functions and the constants they use; tests/test_jit.py reports missing ones.
_SOURCES = (
    "plan/*.py",
    "compose/*.py",
    "compose/effects/*.py",
    "depth/codec.py",
    "assets/catalog.py",
    "assets/scene_layout.py",
    "convert/exporters/outlines.py",
    "geometry.py",
    "jit.py",
)


def _cache_folder() -> str:
    """Return the cache folder, named by the content of all sources of compiled code.

    Numba itself checks only the file of the function. A change to a function or a constant from another file would go
    unnoticed, and outdated code would keep planning and drawing samples.
    """
    digest = hashlib.sha256()
    for pattern in _SOURCES:
        paths = sorted(_PACKAGE.glob(pattern))
        if not paths:
            raise RuntimeError(f"Invalid _SOURCES: got no file at {_PACKAGE / pattern}; must match compiled sources")
        for path in paths:
            digest.update(path.read_bytes())
    name = f"compiled-{digest.hexdigest()[:16]}"
    beside = _PACKAGE / "__pycache__"
    if os.access(beside if beside.exists() else _PACKAGE, os.W_OK):
        return str(beside / name)
    return str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qumade" / name)


_FOLDER = _cache_folder()


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a function so that numba compiles it on its first call; `options` are those of numba.njit."""

    def decorate(function: Callable[..., Any]) -> Any:
        before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
        # Numba reads the setting when it decorates a function. It is restored for other packages.
        numba.config.CACHE_DIR = _FOLDER  # type: ignore[attr-defined]
        try:
            return njit(cache=True, **options)(function)
        finally:
            numba.config.CACHE_DIR = before  # type: ignore[attr-defined]

    return decorate
