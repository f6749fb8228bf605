import hashlib
import os
from pathlib import Path

import pytest

from qumade.errors import QumadeError
from qumade.io.pictures import (
    UnusablePicture,
    content_hash,
    list_pictures,
    one_line,
    printable,
    read_picture,
    require_text,
)


def test_list_is_sorted_and_holds_only_pictures(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "a.png", "c.JpEg", "d.webp", "e.txt", ".f.png", "g.gif"):
        (tmp_path / name).touch()
    (tmp_path / "h.png").mkdir()
    (tmp_path / "i.png").symlink_to(tmp_path / "nowhere")
    assert [path.name for path in list_pictures(tmp_path)] == ["a.jpg", "a.png", "b.PNG", "c.JpEg", "d.webp", "i.png"]


def test_listing_a_missing_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(QumadeError, match=r"got nothing at .*missing"):
        list_pictures(tmp_path / "missing")
    with pytest.raises(QumadeError, match=r"got a file at .*file"):
        list_pictures(tmp_path / "file")


def test_content_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"abc" * 100_000)
    assert content_hash(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()
    with pytest.raises(UnusablePicture) as caught:
        content_hash(tmp_path / "missing.jpg")
    assert caught.value.reason == "missing"


def test_printable_names() -> None:
    assert printable(Path("/a/b ü.png")) == "/a/b ü.png"
    printable(Path("/a/\udcff\n.png")).encode("ascii")


def test_the_bytes_of_a_picture_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"abc")
    assert read_picture(tmp_path / "a.jpg") == b"abc"
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate((1 << 29) + 1)  # a hole: takes no room on the disk
    with pytest.raises(UnusablePicture, match="got 536870913 bytes in") as caught:
        read_picture(tmp_path / "a.jpg")
    assert caught.value.reason == "bomb"


def test_names_that_are_not_utf_8_are_refused_on_one_line() -> None:
    require_text(Path("straße.png"))
    with pytest.raises(UnusablePicture) as caught:
        require_text(Path(os.fsdecode(b"/a/car\xff.png")))
    assert caught.value.reason == "name" and caught.value.message.isprintable() and r"car\udcff" in str(caught.value)
    assert one_line("a\nb\x1b") == r"a\nb\x1b" and one_line("straße") == "straße"
