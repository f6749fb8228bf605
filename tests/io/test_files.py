from pathlib import Path

import pytest

from qumade.errors import QumadeError
from qumade.io.files import only_one, read_bytes, write_bytes


def test_a_file_comes_back_as_written_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a.json", b"old")
    write_bytes(tmp_path / "a.json", b"new")
    assert read_bytes(tmp_path / "a.json", 3) == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_too_large_missing_and_folder_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(11))
    with pytest.raises(QumadeError, match=r"got 11 bytes in .*large; must be at most 10"):
        read_bytes(tmp_path / "large", 10)
    with pytest.raises(QumadeError, match=r"cannot read .*missing: No such file"):
        read_bytes(tmp_path / "missing", 10)
    with pytest.raises(QumadeError, match=str(tmp_path)):
        read_bytes(tmp_path, 10)


def test_a_failed_write_is_named_and_cleaned_up(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(QumadeError, match=r"cannot write .*folder: "):
        write_bytes(tmp_path / "folder", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    with pytest.raises(QumadeError, match=r"cannot write .*none/file: No such file"):
        write_bytes(tmp_path / "none" / "file", b"x")


def test_one_process_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    refused = pytest.raises(QumadeError, match=f"another process is training into {tmp_path}")
    with only_one(tmp_path, "training"), refused, only_one(tmp_path, "training"):
        pass
    with only_one(tmp_path, "training"):
        pass
