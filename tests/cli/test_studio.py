import sys

import pytest


def test_without_the_extra_it_says_how_to_install_it(run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "nicegui", None)
    result = run("studio")
    assert result.code == 1
    assert "pip install 'qumade[studio]'" in result.err
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_opened_is_named(run, monkeypatch, tmp_path):
    pytest.importorskip("nicegui", reason="the extra `studio` is not installed")
    monkeypatch.chdir(tmp_path)
    result = run("studio", "nothing.yaml")
    assert result.code == 1
    assert f"Invalid path: got nothing at {tmp_path / 'nothing.yaml'}; must be a recipe" in result.err
    (tmp_path / "torn.yaml").write_text("seed: [")
    for wrong in (["torn.yaml"], ["--host", "192.0.2.1"], ["--port", "0"], ["--open", "none"], ["--out", "torn.yaml"]):
        result = run("studio", *wrong)
        assert result.code == 1 and "Error: Invalid" in result.err and len(result.err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["torn.yaml"], "nothing is left behind"
