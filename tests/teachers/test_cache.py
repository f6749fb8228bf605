import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qumade.errors import QumadeError
from qumade.io.pictures import UnusablePicture
from qumade.teachers.cache import cached_maps, file_fingerprint


def made(folder: Path, count: int) -> list[Path]:
    files = [folder / f"{i:02d}.png" for i in range(count)]
    for i, file in enumerate(files):
        Image.new("RGB", (6, 4), (i, 0, 0)).save(file)
    return files


class Teacher:
    """Says how red a picture is, and remembers how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.asked += [int(picture[0, 0, 0]) for picture in pictures]
        return [picture[..., 0].astype(np.float32) for picture in pictures]


def test_maps_come_in_order_and_are_computed_once(tmp_path: Path) -> None:
    files, teacher = made(tmp_path, 11), Teacher()
    first = cached_maps(files, tmp_path / "new" / "cache", teacher, batch_size=2, what="x")
    assert [np.load(file)[0, 0] for file in first] == list(range(11)) == teacher.asked
    second = cached_maps(files[::-1], tmp_path / "new" / "cache", teacher, batch_size=3, what="x")
    assert second == first[::-1] and len(teacher.asked) == 11


def test_equal_pictures_are_one_whatever_their_names(tmp_path: Path) -> None:
    files, teacher = made(tmp_path, 2), Teacher()
    copy = tmp_path / "copy.png"
    copy.write_bytes(files[0].read_bytes())
    maps = cached_maps([*files, copy], tmp_path / "cache", teacher, batch_size=1, what="x")
    assert maps[2] == maps[0] and teacher.asked == [0, 1]


def test_a_failure_keeps_what_was_done_and_leaves_no_torn_file(tmp_path: Path) -> None:
    files, teacher = made(tmp_path, 9), Teacher()
    files[6].write_bytes(b"no picture")
    with pytest.raises(UnusablePicture, match=r"06\.png"):
        cached_maps(files, tmp_path / "cache", teacher, batch_size=1, what="x")
    kept = sorted((tmp_path / "cache").iterdir())
    assert len(kept) == 4 and all(np.load(file).shape == (4, 6) for file in kept)
    files[6] = files[0]
    cached_maps(files, tmp_path / "cache", teacher, batch_size=1, what="x")
    assert teacher.asked == [0, 1, 2, 3, 4, 5, 7, 8]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(QumadeError, match=r"cannot write .*\.npy: No space"):
        cached_maps(made(tmp_path, 1), tmp_path / "cache", Teacher(), batch_size=1, what="x")
    assert not list((tmp_path / "cache").iterdir())


def test_fingerprint_depends_on_names_and_contents_only(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"1")
    b.write_bytes(b"2")
    first = file_fingerprint([a, b])
    assert file_fingerprint([b, a]) == first
    os.utime(a, (0, 0))
    assert file_fingerprint([a, b]) == first
    b.write_bytes(b"3")
    assert file_fingerprint([a, b]) != first
    assert file_fingerprint([a]) != file_fingerprint([b])
