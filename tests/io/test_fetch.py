import hashlib
import shutil
import uuid

import fsspec
import pytest

from qumade.errors import QumadeError
from qumade.io import fetch as module
from qumade.io import storage as storage_module
from qumade.io.fetch import fetch_file, fetch_folder
from qumade.io.pictures import content_hash
from qumade.io.storage import RemoteFiles


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(storage_module, "_FIRST_WAIT_S", 0.001)
    return tmp_path / "cache" / "qumade" / "assets"


@pytest.fixture
def url():
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def put(url):
    """Writes a file below the URL."""
    files = fsspec.filesystem("memory")
    return lambda name, data: files.pipe_file(f"{url}/{name}", data)


@pytest.fixture
def read(monkeypatch):
    """The names that are read from the storage."""
    names = []
    really = RemoteFiles.read

    def counted(self, name, *args):
        names.append(name)
        return really(self, name, *args)

    monkeypatch.setattr(RemoteFiles, "read", counted)
    return names


def tree(folder):
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def test_a_folder_is_there_as_it_is_in_the_store(url, put):
    for name, data in {"b.png": b"2", "a.JPG": b"1", "map.npy": b"3", "empty.png": b"", "notes.txt": b"a note"}.items():
        put(name, data)
    put("car/c.png", b"4")
    put(".hidden.png", b"5")
    put("car/deeper/d.png", b"6")
    top = {"a.JPG": b"1", "b.png": b"2", "car": None, "empty.png": b"", "map.npy": b"3", "notes.txt": b""}
    assert tree(fetch_folder(url)) == top  # files that are not read are there by name
    assert tree(fetch_folder(url, sub_folders=True)) == {**top, "car/c.png": b"4", "car/deeper": None}
    assert fetch_folder(url + "/") == fetch_folder(url)


def test_only_what_is_new_is_read_again(url, put, read):
    put("a.png", b"1")
    put("b.png", b"2")
    first = fetch_folder(url)
    assert sorted(read) == ["a.png", "b.png"]
    assert fetch_folder(url) == first and len(read) == 2
    put("b.png", b"3")  # of the same size
    put("c.png", b"1")
    second = fetch_folder(url)
    assert sorted(read[2:]) == ["b.png", "c.png"] and second != first
    assert tree(second) == {"a.png": b"1", "b.png": b"3", "c.png": b"1"} and tree(first) == {
        "a.png": b"1",
        "b.png": b"2",
    }


def test_with_and_without_sub_folders_both_are_known(url, put, read):
    put("a.png", b"1")
    put("car/b.png", b"2")
    for _ in range(2):
        fetch_folder(url)
        fetch_folder(url, sub_folders=True)
    assert sorted(read) == ["a.png", "a.png", "car/b.png"]


def test_equal_contents_take_room_once(url, put, own_cache):
    for number in range(40):  # several threads fetch at once
        put(f"{number}.png", b"same" * 10_000)
    assert len(tree(fetch_folder(url))) == 40
    assert len([path for path in (own_cache / "files").rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize("harm", ["edit", "remove", "unlink", "more", "listing", "all"])
def test_a_damaged_cache_is_mended(url, put, own_cache, harm):
    put("a.png", b"right")
    put("b.png", b"other")
    folder = fetch_folder(url)
    file = (folder / "a.png").readlink()
    if harm == "edit":
        file.write_bytes(b"wrong")
    elif harm == "remove":
        file.unlink()
    elif harm == "unlink":
        (folder / "a.png").unlink()
        (folder / "a.png").write_bytes(b"wrong")
    elif harm == "more":
        (folder / "c.png").write_bytes(b"more")
    elif harm == "listing":
        next((own_cache / "listings").iterdir()).write_bytes(b'{"a.png": [5, "x"], "b.png": 3}')
    else:
        shutil.rmtree(own_cache)
    assert tree(fetch_folder(url)) == {"a.png": b"right", "b.png": b"other"}


def test_an_interrupted_fetch_goes_on(url, put, read, monkeypatch):
    for number in range(20):
        put(f"{number:02}.png", str(number).encode())
    counted, once = RemoteFiles.read, [True]

    def failing(self, name, *args):
        if name == "19.png" and once.pop():
            raise KeyboardInterrupt
        return counted(self, name, *args)

    monkeypatch.setattr(RemoteFiles, "read", failing)
    with pytest.raises(KeyboardInterrupt):
        fetch_folder(url)
    assert len(read) == 19
    monkeypatch.setattr(RemoteFiles, "read", counted)
    assert len(tree(fetch_folder(url))) == 20 and read[19:] == ["19.png"]


def test_what_is_no_folder_is_named(url, put):
    put("a.png", b"1")
    with pytest.raises(QumadeError, match=rf"^Invalid folder: got a file at {url}/a\.png; must be a folder$"):
        fetch_folder(f"{url}/a.png")
    with pytest.raises(QumadeError, match=rf"^Invalid folder: got nothing at {url}/b; must be a folder of pictures$"):
        fetch_folder(f"{url}/b")


@pytest.mark.parametrize("name", ["x" * 252 + ".png", "\u00e4" * 130 + ".png"])
def test_a_name_that_no_folder_can_hold_is_refused(url, put, name):
    put(name, b"1")
    with pytest.raises(QumadeError, match=r"^Invalid file name: got 2\d\d bytes in memory://.*; must be at most 255"):
        fetch_folder(url)


@pytest.mark.parametrize("name", ["..", ".", "", "../../escaped.png", "/etc/escaped.png"])
def test_a_hostile_listing_writes_nothing_outside(url, put, monkeypatch, tmp_path, name):
    put("a.png", b"1")
    listed = RemoteFiles.entries

    def hostile(self, folder=""):
        return {**listed(self, folder), name: listed(self, "")["a.png"]} if folder == "" else listed(self, folder)

    monkeypatch.setattr(RemoteFiles, "entries", hostile)
    if "escaped" in name and not name.startswith("."):
        with pytest.raises(QumadeError, match=r"^Invalid file name: "):
            fetch_folder(url)
    else:
        assert set(tree(fetch_folder(url, sub_folders=True))) == {"a.png"}
    assert not list(tmp_path.rglob("escaped*"))


def test_names_with_control_characters_are_kept_and_shown_on_one_line(url, put):
    put("a\nb.png", b"1")
    assert tree(fetch_folder(url)) == {"a\nb.png": b"1"}
    with pytest.raises(QumadeError, match=r"a\\nb\.png has changed since the catalog was built") as caught:
        fetch_file(url, "a\nb.png", "0" * 64)
    assert "\n" not in str(caught.value)


def test_a_huge_file_is_refused_before_it_is_read(url, put, read, monkeypatch):
    monkeypatch.setattr(module, "_MOST_BYTES", 10)
    put("a.png", b"0123456789")
    put("b.txt", b"0123456789a")
    assert len(tree(fetch_folder(url))) == 2
    put("b.png", b"0123456789a")
    read.clear()
    with pytest.raises(
        QumadeError, match=r"^Invalid file: got 11 bytes in memory://.*/b\.png; must be at most 512 MiB"
    ):
        fetch_folder(url)
    assert not read


def test_a_file_of_another_size_than_listed_is_refused(url, put, monkeypatch):
    put("a.png", b"0123")
    monkeypatch.setattr(RemoteFiles, "read", lambda self, name, start, stop: b"01234"[start:stop])
    with pytest.raises(QumadeError, match=r"^Invalid file: got 5 bytes in memory://.*/a\.png; must be the 4 that were"):
        fetch_folder(url)


def test_one_file_is_fetched_by_its_hash(url, put, read, own_cache):
    put("car/a.png", b"1")
    put("b.npy", b"2")
    folder = fetch_folder(url, sub_folders=True)
    sha256 = content_hash(folder / "car" / "a.png")
    read.clear()
    path = fetch_file(url, "car/a.png", sha256)
    assert path.read_bytes() == b"1" and path.suffix == ".png" and not read
    path.write_bytes(b"2")  # damaged
    assert fetch_file(url, "car/a.png", sha256).read_bytes() == b"1" and read == ["car/a.png"]
    shutil.rmtree(own_cache)  # as on another machine
    assert fetch_file(url, "b.npy", _hash(b"2")).read_bytes() == b"2"
    put("b.npy", b"3")
    assert fetch_file(url, "b.npy", _hash(b"2")).read_bytes() == b"2"  # cached
    shutil.rmtree(own_cache)
    with pytest.raises(QumadeError, match=rf"^Invalid asset: {url}/b\.npy has changed since the catalog was built"):
        fetch_file(url, "b.npy", _hash(b"2"))


def _hash(data):
    return hashlib.sha256(data).hexdigest()


def test_a_cache_that_cannot_be_written_is_named(url, put, monkeypatch, tmp_path):
    put("a.png", b"1")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(QumadeError, match=r"^Invalid cache: cannot make .*/file/.*; set XDG_CACHE_HOME to a folder"):
        fetch_folder(url)


@pytest.mark.slow
def test_an_object_store_is_listed_once_a_folder_and_versions_are_known(object_store, read):
    files = fsspec.filesystem("s3")
    for name in ("a.png", "b.png", "car/c.png"):
        files.pipe_file(f"bucket/photos/{name}", name.encode())
    object_store.requests.clear()
    folder = fetch_folder("s3://bucket/photos", sub_folders=True)
    assert set(tree(folder)) == {"a.png", "b.png", "car", "car/c.png"} and len(read) == 3
    assert object_store.requests.count("GET") <= 3 + 2  # the files, and the two listings
    assert fetch_folder("s3://bucket/photos", sub_folders=True) == folder and len(read) == 3
    files.pipe_file("bucket/photos/a.png", b"a.jpg")  # as large as before
    assert tree(fetch_folder("s3://bucket/photos", sub_folders=True))["a.png"].startswith(b"a.jpg")
    assert read[3:] == ["a.png"]
    with pytest.raises(QumadeError, match=r"^Invalid URL: got no bucket 'other' for s3://other/photos; must exist"):
        fetch_folder("s3://other/photos")
    with pytest.raises(
        QumadeError, match=r"^Invalid folder: got a file at s3://bucket/photos/a\.png; must be a folder"
    ):
        fetch_folder("s3://bucket/photos/a.png")
