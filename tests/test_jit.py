import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numba import cloudpickle

from qumade import jit as module
from qumade.depth import codec
from qumade.jit import compiled, compiled_code, take_code


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


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A read-only package, a home and an empty environment; the test may add variables."""
    package = tmp_path / "package"
    for pattern in module._SOURCES:
        path = package / pattern.replace("*", "x")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (package / "__pycache__").touch()  # no folder can be made there, not even by root
    monkeypatch.setattr(module, "_PACKAGE", package)
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_read_only_package_is_cached_in_the_home_folder(places, monkeypatch):
    assert Path(module._cache_folder()).parent == places / "home" / ".cache" / "qumade"
    monkeypatch.setenv("XDG_CACHE_HOME", str(places / "cache"))
    folder = Path(module._cache_folder())
    assert folder.parent == places / "cache" / "qumade" and folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(places / "given"))
    assert Path(module._cache_folder()).parent == places / "given"


@pytest.mark.parametrize("name", ["NUMBA_CACHE_DIR", "XDG_CACHE_HOME"])
def test_a_relative_folder_is_not_used(places, monkeypatch, name):
    monkeypatch.setenv(name, "here")
    assert Path(module._cache_folder()).parent == places / "home" / ".cache" / "qumade"
    assert not (places / "here").exists()


@pytest.mark.parametrize("level", ["shared", "shared/cache", "shared/cache/qumade"])
@pytest.mark.parametrize("mode", [0o777, 0o757])
def test_a_folder_that_others_may_write_to_is_not_used(places, monkeypatch, caplog, level, mode):
    monkeypatch.setenv("XDG_CACHE_HOME", str(places / "shared" / "cache"))
    assert module._cache_folder() is not None
    (places / level).chmod(mode)
    assert module._cache_folder() is None
    assert [record.levelname for record in caplog.records] == ["WARNING"] and "every start" in caplog.text
    (places / level).chmod(mode | 0o1000)  # sticky: others cannot replace what is in it, but may add to it
    assert module._cache_folder() is not None


def test_a_folder_to_which_others_may_add_is_not_used(places):
    Path(module._cache_folder()).chmod(0o1777)
    assert module._cache_folder() is None


def test_a_folder_of_another_user_is_not_used(places, monkeypatch):
    assert module._cache_folder() is not None
    real = os.getuid()
    monkeypatch.setattr(module.os, "getuid", lambda: real + 1)
    assert module._cache_folder() is None


def test_a_link_is_followed_once(places, monkeypatch):
    (places / "elsewhere").mkdir()
    (places / "link").symlink_to("elsewhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(places / "link"))
    assert Path(module._cache_folder()).parent == places / "elsewhere" / "qumade"
    (places / "elsewhere").chmod(0o777)
    assert module._cache_folder() is None


def test_without_a_folder_functions_are_compiled_all_the_same(places, monkeypatch):
    monkeypatch.setenv("HOME", "/dev/null")
    assert module._cache_folder() is None
    monkeypatch.setattr(module, "_FOLDER", None)

    @compiled()
    def twice(x):
        return x + x

    assert twice(21) == 42 and not twice.stats.cache_path


def test_empty_files_of_a_power_cut_are_removed(places):
    folder = Path(module._cache_folder())
    (folder / "a").mkdir()
    for name, content in (("one.nbi", b""), ("two.nbc", b""), ("three.nbi", b"x")):
        (folder / "a" / name).write_bytes(content)
    module._cache_folder()
    assert [path.name for path in (folder / "a").iterdir()] == ["three.nbi"]


_NAME = ("qumade.depth.codec", "_look_up")
_TAKE = """
import pickle, sys
from pathlib import Path
import numpy as np
from qumade.jit import take_code
code = pickle.loads(Path(sys.argv[1]).read_bytes())
assert take_code(code) and take_code(code)  # a second time, as the node's next worker does
from qumade.depth import codec
values = np.zeros(3, np.float32)
codec._look_up(np.array([2, 0, 1], np.uint8), np.array([5, 6, 7], np.float32), values)
stats = codec._look_up.stats
print(values.tolist(), sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


@pytest.mark.slow
def test_code_is_taken_on_a_machine_with_another_path_and_time_of_the_sources(tmp_path):
    codec._look_up(np.zeros(1, np.uint8), np.zeros(1, np.float32), np.zeros(1, np.float32))
    code = {_NAME: compiled_code()[_NAME]}
    (tmp_path / "code").write_bytes(cloudpickle.dumps(code))
    package = tmp_path / "elsewhere" / "qumade"
    shutil.copytree(module._PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"), copy_function=shutil.copy)
    cache = tmp_path / "cache"
    done = subprocess.run(
        [sys.executable, "-c", _TAKE, str(tmp_path / "code")],
        env={**os.environ, "PYTHONPATH": str(package.parent), "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[7.0, 5.0, 6.0] 1 0", done.stderr
    assert len(list(cache.rglob("*.nbi"))) == 1
    assert all(folder.stat().st_mode & 0o077 == 0 for folder in cache.glob("compiled-*"))


def test_code_for_another_cpu_is_not_taken():
    codec._look_up(np.zeros(1, np.uint8), np.zeros(1, np.float32), np.zeros(1, np.float32))
    (signature, cpu, code), data = next(iter(compiled_code()[_NAME].items()))
    other = {_NAME: {(signature, ("another", *cpu[1:]), code): data}}
    folder = Path(codec._look_up.stats.cache_path)
    before = sorted(folder.iterdir())
    assert not take_code(other) and sorted(folder.iterdir()) == before


def test_code_of_another_cpu_in_a_shared_folder_is_not_given_away(monkeypatch):
    codec._look_up(np.zeros(1, np.uint8), np.zeros(1, np.float32), np.zeros(1, np.float32))
    assert _NAME in compiled_code()
    monkeypatch.setattr(module, "_cpu", lambda: ("another", "cpu", ""))
    assert compiled_code() == {}


def test_code_is_of_the_package_alone():
    """What a test or another program compiles with `compiled` isn't found on another machine."""

    @compiled()
    def twice(x):
        return x + x

    assert twice(21) == 42
    assert {name.partition(".")[0] for name, _ in compiled_code()} <= {"qumade"}
