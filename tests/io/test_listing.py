from pathlib import Path

import pytest

from qumade.io.listing import counted, entries, is_leftover, name_key, named, others


@pytest.mark.parametrize(
    "name",
    [
        ".DS_Store",
        "._photo.jpg",
        "@eaDir",
        "Thumbs.db",
        "THUMBS.DB",
        "desktop.ini",
        "a.jpg:Zone.Identifier",
        "$RECYCLE.BIN",
    ],
)
def test_what_systems_leave_is_known(name: str) -> None:
    assert is_leftover(name)


@pytest.mark.parametrize("name", ["photo.jpg", "thumbs.jpg", "eaDir", "zone.identifier.png", "notes.txt"])
def test_what_users_name_is_not(name: str) -> None:
    assert not is_leftover(name)


def test_entries_and_others(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.txt", "Thumbs.db", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "night").mkdir()
    assert [path.name for path in entries(tmp_path)] == ["a.txt", "b.jpg", "night"]
    assert others(tmp_path, [tmp_path / "b.jpg"]) == ["a.txt", "night/"]


def test_words_agree_with_their_number() -> None:
    assert [counted(count, "entry", "entries") for count in (0, 1, 2_000)] == ["0 entries", "1 entry", "2,000 entries"]


def test_names_in_a_message_are_few_and_on_one_line() -> None:
    assert named(["a", "b"]) == "a, b"
    assert named(["a", "b\nc", "d", "e", "f"]) == "a, b\\nc, d and 2 more"


def test_a_name_is_equal_in_both_unicode_forms() -> None:
    assert name_key("ko\u0308ln") == name_key("k\u00f6ln") == "k\u00f6ln"
    assert name_key("koln") == "koln" != name_key("k\u00f6ln")
