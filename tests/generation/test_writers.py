import errno
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from qumade.data.encode import Encoded
from qumade.generation.writers import FolderWriter

SUFFIXES = {"images": ".jpg", "masks": ".jpg", "depth": ".png"}
SAMPLE = Encoded({"images": b"colour" * 500, "masks": b"grey", "depth": b"near" * 40}, 0)


@contextmanager
def opened(root: Path) -> Iterator[FolderWriter]:
    writer = FolderWriter(root, SUFFIXES)
    writer.open()
    yield writer
    writer.close()


def test_a_closed_writer_can_be_pickled(tmp_path: Path) -> None:
    with opened(tmp_path) as writer:
        pass
    arrived = pickle.loads(pickle.dumps(writer))
    arrived.open()
    arrived.write("img000001", SAMPLE)
    arrived.close()
    assert (tmp_path / "masks" / "img000001.jpg").read_bytes() == b"grey"


def test_a_sample_has_one_file_per_folder(tmp_path: Path, read_tree: Callable[[Path], dict[str, bytes]]) -> None:
    with opened(tmp_path) as writer:
        writer.write("img000001", SAMPLE)
        writer.write("img000002", Encoded(dict.fromkeys(SUFFIXES, b"x"), 0))
    assert read_tree(tmp_path) == {
        "images/": b"",
        "masks/": b"",
        "depth/": b"",
        "images/img000001.jpg": b"colour" * 500,
        "masks/img000001.jpg": b"grey",
        "depth/img000001.png": b"near" * 40,
        "images/img000002.jpg": b"x",
        "masks/img000002.jpg": b"x",
        "depth/img000002.png": b"x",
    }


def test_an_older_file_is_replaced(tmp_path: Path, read_tree: Callable[[Path], dict[str, bytes]]) -> None:
    with opened(tmp_path) as writer:
        writer.write("img000001", Encoded(dict.fromkeys(SUFFIXES, b"much longer than what follows"), 0))
        writer.write("img000001", SAMPLE)
    assert read_tree(tmp_path)["masks/img000001.jpg"] == b"grey"


def test_a_file_gets_its_name_only_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really_rename, seen = os.rename, []

    def rename(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        folder = Path(f"/proc/self/fd/{dst_dir_fd}").readlink()
        assert not (folder / target).exists()
        seen.append((f"{folder.name}/{target}", (folder / source).read_bytes()))
        really_rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", rename)
    with opened(tmp_path) as writer:
        writer.write("img000001", SAMPLE)
    assert seen == [(f"{folder}/img000001{SUFFIXES[folder]}", content) for folder, content in SAMPLE.files.items()]


def test_partial_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really_write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: really_write(file, data[:7]))
    with opened(tmp_path) as writer:
        writer.write("img000001", SAMPLE)
    for folder, content in SAMPLE.files.items():
        assert (tmp_path / folder / f"img000001{SUFFIXES[folder]}").read_bytes() == content


def test_a_full_disk_names_the_file_and_leaves_nothing_of_it(
    tmp_path: Path, full_disk: Callable[[int], None], read_tree: Callable[[Path], dict[str, bytes]]
) -> None:
    full_disk(4)
    with opened(tmp_path) as writer:
        writer.write("img000001", SAMPLE)
        with pytest.raises(OSError) as caught:
            writer.write("img000002", SAMPLE)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "masks" / "img000002.jpg")
    files = sorted(name for name in read_tree(tmp_path) if not name.endswith("/"))
    assert files == ["depth/img000001.png", "images/img000001.jpg", "images/img000002.jpg", "masks/img000001.jpg"]


LIMITED = """
import resource, sys
from pathlib import Path
from qumade.data.encode import Encoded
from qumade.generation.writers import FolderWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
writer = FolderWriter(Path(sys.argv[1]), {"images": ".jpg"})
writer.open()
writer.write("img000001", Encoded({"images": bytes(1000)}, 0))
writer.write("img000002", Encoded({"images": bytes(1001)}, 0))
"""


def test_a_truncated_file_never_gets_its_name(tmp_path: Path) -> None:
    done: Any = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True)
    assert os.strerror(errno.EFBIG) in done.stderr
    assert str(tmp_path / "images" / "img000002.jpg") in done.stderr
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["img000001.jpg"]
