import os
from pathlib import Path
from typing import Any

import pytest

from qumade.errors import ConfigError, QumadeError
from qumade.io.files import (
    cache_folder,
    ends_with,
    is_temporary,
    new_file,
    new_folder,
    only_one,
    open_regular,
    read_bytes,
    remove_temporary_files,
    write_bytes,
    write_in_folder,
)


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


def test_a_pipe_is_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(QumadeError, match=r"cannot read .*pipe: not a regular file"):
        read_bytes(tmp_path / "pipe", 10)
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        with pytest.raises(OSError, match="not a regular file"):
            open_regular(path)


def test_the_longest_name_that_a_file_may_have_can_be_written(tmp_path: Path) -> None:
    name = "é" * 127 + "a"
    write_bytes(tmp_path / name, b"1")
    folder = os.open(tmp_path, os.O_RDONLY)
    write_in_folder(folder, name, b"2")
    os.close(folder)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, b"2")]


@pytest.mark.parametrize("durable", [False, True])
def test_a_streamed_file_gets_its_name_at_the_end(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "table"
    path.write_bytes(b"old")
    with new_file(path, durable=durable) as file:
        file.write(b"half")
        (other,) = [entry for entry in tmp_path.iterdir() if entry != path]
        assert is_temporary(other.name) and path.read_bytes() == b"old"
        file.write(b" and half")
    assert path.read_bytes() == b"half and half" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyError("mine"), KeyboardInterrupt(), OSError(5, "gone", "/another/file")])
def test_an_error_in_the_block_passes_through_and_keeps_the_older_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "table"
    path.write_bytes(b"old")
    with pytest.raises(type(error)) as caught, new_file(path) as file:
        file.write(b"half")
        raise error
    assert caught.value is error
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_disk_that_fails_keeps_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    write_bytes(tmp_path / "file", b"old", durable=True)
    monkeypatch.setattr(os if broken == "fsync" else Path, broken, fail)
    with pytest.raises(QumadeError, match=r"cannot write .*file: No space left on device"):
        write_bytes(tmp_path / "file", b"new", durable=True)
    assert (tmp_path / "file").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_two_threads_may_write_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    with new_file(path) as one:
        one.write(b"the sa")
        with new_file(path) as other:
            other.write(b"the same")
        assert path.read_bytes() == b"the same"
        one.write(b"me")
    assert path.read_bytes() == b"the same" and list(tmp_path.iterdir()) == [path]


def test_only_temporary_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left by whichever way of writing: the names are taken from the system, not from this test."""

    def kill(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    folder = os.open(tmp_path, os.O_RDONLY)
    with monkeypatch.context() as patch:
        for call in ("rename", "replace", "unlink"):
            patch.setattr(os, call, kill)
            patch.setattr(Path, call, kill)
        with pytest.raises(KeyboardInterrupt):
            write_bytes(tmp_path / "a\nb.json", b"1")
        with pytest.raises(KeyboardInterrupt):
            write_in_folder(folder, "c.jpg", b"2")
    os.close(folder)
    assert sorted(path.name.partition("-")[0] for path in tmp_path.iterdir()) == [".tmp", ".tmp"]
    kept = [".tmp", ".tmp-", ".tmp-x-mine", "tmp-1-a", ".hidden", "a.json"]
    for name in kept:
        assert not is_temporary(name)
        (tmp_path / name).touch()
    remove_temporary_files(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
    remove_temporary_files(tmp_path / "missing")


def test_one_process_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    refused = pytest.raises(QumadeError, match=f"another process is training into {tmp_path}")
    with only_one(tmp_path, "training"), refused, only_one(tmp_path, "training"):
        pass
    with only_one(tmp_path, "training"):
        pass


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    for name in (".tmp-4711-dataset.yaml", "dataset.yaml"):
        (tmp_path / name).touch()
    with only_one(tmp_path, "training"):
        assert [path.name for path in tmp_path.iterdir()] == ["dataset.yaml"]
    (tmp_path / "file").touch()
    refused = pytest.raises(QumadeError, match=f"got the file {tmp_path / 'file'}; must be a folder")
    with refused, only_one(tmp_path / "file", "training"):
        pass


def test_a_folder_made_in_vain_is_removed(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for name, written in (("old", False), ("new", False), ("used", True)):
        with pytest.raises(KeyboardInterrupt), only_one(tmp_path / name, "training"):
            if written:
                (tmp_path / name / "file").touch()
            raise KeyboardInterrupt
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "used"]


def test_what_fails_inside_keeps_its_own_message(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError, match="a pipe is full"), only_one(tmp_path, "training"):
        raise BlockingIOError("a pipe is full")


def test_a_folder_is_filled_only_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "sub" / "out"
    (out / ".partial").mkdir(parents=True)
    (out / ".partial" / "half").write_bytes(b"of a killed process")
    with new_folder(out) as part:
        assert part.is_relative_to(out) and not any(part.iterdir())
        (part / "a").write_bytes(b"1")
        (part / "b").mkdir()
        (part / "b" / "c").write_bytes(b"2")
        assert list(out.iterdir()) == [part]
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")} == {
        "sub", "sub/out", "sub/out/a", "sub/out/b", "sub/out/b/c"
    }  # fmt: skip


def test_a_folder_whose_process_was_killed_while_it_was_filled_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out" / ".whole").mkdir(parents=True)
    for name in ("a", ".whole/b"):
        (tmp_path / "out" / name).write_bytes(b"1")
    refused = pytest.raises(QumadeError, match="which is not empty")  # as after a process that finished
    with refused, new_folder(tmp_path / "out"):
        pass
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "b"]


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_that_failed_leaves_nothing_and_an_empty_one_stays(tmp_path: Path, there: bool) -> None:
    out = tmp_path / "out"
    if there:
        out.mkdir()
    with pytest.raises(KeyboardInterrupt), new_folder(out) as part:
        (part / "a").write_bytes(b"1")
        raise KeyboardInterrupt
    assert out.is_dir() is there and not list(tmp_path.rglob("out/*"))


@pytest.mark.parametrize("name", ["file", "full"])
def test_a_folder_replaces_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").write_bytes(b"kept")
    refused = pytest.raises(ConfigError, match=f"got {tmp_path / name}, which is not empty")
    with refused, new_folder(tmp_path / name, ConfigError):
        pass
    assert {path.name for path in tmp_path.rglob("*")} == {"file", "full", "kept"}


@pytest.mark.parametrize(("given", "wanted"), [("/somewhere", "/somewhere/qumade"), ("", None), ("relative", None)])
def test_the_cache_is_where_the_system_keeps_caches(monkeypatch: pytest.MonkeyPatch, given: str, wanted: Any) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert cache_folder() == (Path(wanted) if wanted else Path.home() / ".cache" / "qumade")


@pytest.mark.parametrize("given", ["", "relative"])
def test_a_user_without_a_home_is_told_to_name_a_cache(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    monkeypatch.setattr(os, "getuid", lambda: 987_654)  # whom the system does not know
    with pytest.raises(ConfigError, match="Invalid XDG_CACHE_HOME: got none, nor a home folder"):
        cache_folder()


def test_the_end_of_a_file_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for content, whole in ((b"", False), (b"N", False), (b"END", True), (b"xEND", True), (b"ENDx", False)):
        path.write_bytes(content)
        assert ends_with(path, b"END") is whole
    with pytest.raises(OSError, match="not a regular file"):
        ends_with(tmp_path, b"END")
