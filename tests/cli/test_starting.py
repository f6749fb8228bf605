import json
import sys
from pathlib import Path

import pytest

from qumade import cli


@pytest.mark.parametrize("as_json", [False, True])
def test_two_folders_become_a_project(
    asset_folders: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    as_json: bool,
) -> None:
    folders = (str(asset_folders / "backgrounds"), str(asset_folders / "foregrounds"))
    flags = ("--out", str(tmp_path / "project"), "--depth-teacher", "none", *(["--json"] if as_json else []))
    monkeypatch.setattr(sys, "argv", ["qumade", "start", *folders, *flags])
    with pytest.raises(SystemExit) as raised:
        cli.main()
    printed = capsys.readouterr()
    assert raised.value.code == 0 and (tmp_path / "project" / "recipe.yaml").is_file()
    if as_json:
        assert json.loads(printed.out)["root"] == str(tmp_path / "project")
    else:
        assert "3 photos" in printed.out and "qumade generate --recipe" in printed.out and "Note: " in printed.out


def test_without_the_second_folder_the_example_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["qumade", "start", str(tmp_path), "--out", str(tmp_path / "project")])
    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert raised.value.code == 2 and "qumade start PHOTOS OBJECTS --out PROJECT" in capsys.readouterr().err
