"""Functions compiled to machine code by numba, without fast-math, cached on disk."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import njit

__all__ = ["compiled"]

_PACKAGE = Path(__file__).parent
# Where compiled functions and the constants that they hold are defined; tests/test_jit.py finds any that is missing.
_SOURCES = ("plan/*.py", "compose/*.py", "depth/codec.py", "assets/catalog.py", "geometry.py", "jit.py")


def _cache_folder() -> str:
    """A folder named by the content of all sources of compiled code.

    Numba itself looks at the file of the function alone: a change in a function or a constant that it takes from
    another file would go unnoticed, and old code would go on planning and drawing.
    """
    digest = hashlib.sha256()
    for pattern in _SOURCES:
        paths = sorted(_PACKAGE.glob(pattern))
        if not paths:
            raise RuntimeError(f"no source of compiled code at {_PACKAGE / pattern}: it has moved, correct _SOURCES")
        for path in paths:
            digest.update(path.read_bytes())
    name = f"compiled-{digest.hexdigest()[:16]}"
    beside = _PACKAGE / "__pycache__"
    if os.access(beside if beside.exists() else _PACKAGE, os.W_OK):
        return str(beside / name)
    return str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qumade" / name)


_FOLDER = _cache_folder()


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorates a function to be compiled at its first call; `options` as of numba.njit."""

    def decorate(function: Callable[..., Any]) -> Any:
        before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
        # Read when the function is decorated, and put back for other packages.
        numba.config.CACHE_DIR = _FOLDER  # type: ignore[attr-defined]
        try:
            return njit(cache=True, **options)(function)
        finally:
            numba.config.CACHE_DIR = before  # type: ignore[attr-defined]

    return decorate
