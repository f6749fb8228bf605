from pathlib import Path

import pytest

from qumade.assets.stems import match_stems
from qumade.errors import QumadeError


def test_files_with_the_same_stem_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "maps"
    folder.mkdir()
    for name in ("a.png", "b.NPY", "c.png", "c.txt", "other.png"):
        (folder / name).touch()
    pictures = [Path("photos") / name for name in ("a.jpg", "b.jpg", "c.webp", "d.jpg")]
    found = match_stems(pictures, folder, (".png", ".npy"), "maps")
    assert found == {pictures[0]: folder / "a.png", pictures[1]: folder / "b.NPY", pictures[2]: folder / "c.png"}


def test_stems_are_case_sensitive(tmp_path: Path) -> None:
    for name in ("A.png", "a.b.png", "1.png"):
        (tmp_path / name).touch()
    assert match_stems([Path("a.jpg"), Path("a.jpg.jpg"), Path("01.jpg")], tmp_path, (".png",), "maps") == {}
    assert match_stems([Path("a.b.jpg")], tmp_path, (".png",), "maps") == {Path("a.b.jpg"): tmp_path / "a.b.png"}


def test_two_files_with_the_same_stem_are_rejected_by_name(tmp_path: Path) -> None:
    for name in ("a.png", "a.npy", "b.png"):
        (tmp_path / name).touch()
    with pytest.raises(QumadeError, match=r"Invalid labels: got both .*a\.npy and a\.png; must be one file per stem"):
        match_stems([Path("b.jpg")], tmp_path, (".png", ".npy"), "labels")


@pytest.mark.parametrize("what", ["missing", "file"])
def test_a_missing_folder_is_rejected_by_name(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        QumadeError, match=rf"Invalid depths: got no folder at {tmp_path / what}; must be a folder of \.png or \.npy"
    ):
        match_stems([], tmp_path / what, (".png", ".npy"), "depths")


def test_one_map_for_two_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.png").touch()
    (tmp_path / "@eaDir").mkdir()
    assert match_stems([Path("a.jpg"), Path("a.jpeg")], tmp_path, (".png",), "labels") == {}  # neither has one
    wanted = r"got .*photo\.jpg and photo\.jpeg, whose stem photo\.png has too; must be one image for each"
    with pytest.raises(QumadeError, match=wanted):
        match_stems([Path("photo.jpg"), Path("photo.jpeg")], tmp_path, (".png",), "labels")


def test_stems_that_differ_in_their_unicode_form_are_equal(tmp_path: Path) -> None:
    (tmp_path / "stra\u00dfe_ko\u0308ln.png").touch()
    picture = Path("stra\u00dfe_k\u00f6ln.jpg")
    assert list(match_stems([picture], tmp_path, (".png",), "labels")) == [picture]
