from pathlib import Path

import numba
import pytest

from qumade import compiled as module
from qumade.compiled import compiled


def test_compiles_and_leaves_the_settings_of_others_alone():
    before = numba.config.CACHE_DIR

    @compiled()
    def twice(x):
        return x + x

    assert twice(21) == 42
    assert before == numba.config.CACHE_DIR
    assert twice.stats.cache_path.startswith(module._FOLDER)


@pytest.mark.parametrize("source", ["plan/tables.py", "compose/kernel.py", "geometry.py"])
def test_a_change_in_any_source_of_compiled_code_is_a_new_cache(source, tmp_path, monkeypatch):
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


def test_a_package_that_cannot_be_written_is_cached_in_the_home(tmp_path, monkeypatch):
    monkeypatch.setattr(module.os, "access", lambda *_: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert module._cache_folder().startswith(str(tmp_path / "qumade" / "compiled-"))
