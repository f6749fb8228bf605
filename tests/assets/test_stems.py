from pathlib import Path

import pytest

from qumade.assets.stems import match_stems
from qumade.errors import QumadeError


def test_files_of_equal_stem_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "maps"
    folder.mkdir()
    for name in ("a.png", "b.NPY", "c.png", "c.txt", "other.png"):
        (folder / name).touch()
    pictures = [Path("photos") / name for name in ("a.jpg", "b.jpg", "c.webp", "d.jpg")]
    found = match_stems(pictures, folder, (".png", ".npy"), "maps")
    assert found == {pictures[0]: folder / "a.png", pictures[1]: folder / "b.NPY", pictures[2]: folder / "c.png"}


def test_stems_are_equal_to_the_letter(tmp_path: Path) -> None:
    for name in ("A.png", "a.b.png", "1.png"):
        (tmp_path / name).touch()
    assert match_stems([Path("a.jpg"), Path("a.jpg.jpg"), Path("01.jpg")], tmp_path, (".png",), "maps") == {}
    assert match_stems([Path("a.b.jpg")], tmp_path, (".png",), "maps") == {Path("a.b.jpg"): tmp_path / "a.b.png"}


def test_two_files_of_one_stem_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("a.png", "a.npy", "b.png"):
        (tmp_path / name).touch()
    with pytest.raises(QumadeError, match=r"Invalid labels: got both .*a\.npy and a\.png; must be one file a stem"):
        match_stems([Path("b.jpg")], tmp_path, (".png", ".npy"), "labels")


@pytest.mark.parametrize("what", ["missing", "file"])
def test_what_is_no_folder_is_refused_by_name(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(QumadeError, match=rf"Invalid depths: {tmp_path / what} is no folder; must hold \.png or \.npy"):
        match_stems([], tmp_path / what, (".png", ".npy"), "depths")
