import importlib
import re
from pathlib import Path

import numba
import numpy as np
import pytest

from qumade import jit as module
from qumade.jit import compiled


def test_compiling_leaves_the_numba_settings_unchanged():
    before = numba.config.CACHE_DIR

    @compiled()
    def twice(x):
        return x + x

    assert twice(21) == 42
    assert before == numba.config.CACHE_DIR
    assert twice.stats.cache_path.startswith(module._FOLDER)


@pytest.mark.parametrize("source", ["plan/tables.py", "compose/kernel.py", "geometry.py"])
def test_a_change_in_any_source_gives_a_new_cache(source, tmp_path, monkeypatch):
    for pattern in module._SOURCES:
        for path in module._PACKAGE.glob(pattern):
            copy = tmp_path / path.relative_to(module._PACKAGE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(module, "_PACKAGE", tmp_path)
    before = Path(module._cache_folder()).name
    assert before == Path(module._FOLDER).name
    with (tmp_path / source).open("a") as file:
        file.write("# another constant\n")
    assert Path(module._cache_folder()).name != before


def test_every_compiled_module_and_its_imports_are_sources():
    """Constants of the modules that a compiled function takes names from are part of its machine code."""
    covered = {path for pattern in module._SOURCES for path in module._PACKAGE.glob(pattern)}
    compiling = [path for path in module._PACKAGE.rglob("*.py") if "\n@compiled(" in path.read_text()]
    assert len(compiling) > 5
    for path in compiling:
        names = [name for name, value in vars(importlib.import_module(_dotted(path))).items() if _is_constant(value)]
        imported = re.findall(r"^from (qumade[.\w]*) import (.+)$", path.read_text(), re.M)
        sources = {_path(dotted) for dotted, taken in imported if set(re.findall(r"\w+", taken)) & set(names)}
        assert {path, *sources} <= covered


def _is_constant(value):
    return isinstance(value, int | float | tuple | np.ndarray | np.dtype) or hasattr(value, "py_func")


def _dotted(path):
    return ".".join(path.relative_to(module._PACKAGE.parent).with_suffix("").parts)


def _path(dotted):
    return Path(importlib.import_module(dotted).__file__)


def test_a_source_that_moved_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PACKAGE", tmp_path)
    with pytest.raises(RuntimeError, match="Invalid _SOURCES"):
        module._cache_folder()


def test_a_read_only_package_is_cached_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(module.os, "access", lambda *_: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert module._cache_folder().startswith(str(tmp_path / "qumade" / "compiled-"))
