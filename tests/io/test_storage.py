import errno
import os
import pickle
import uuid

import pytest

from qumade.errors import QumadeError
from qumade.io import storage as module
from qumade.io.storage import LocalFiles, is_url, open_storage, read_whole


@pytest.fixture(autouse=True)
def without_waits(monkeypatch):
    monkeypatch.setattr(module, "_FIRST_WAIT_S", 0.001)


@pytest.fixture(params=["local", "memory", "s3"])
def storage(request, tmp_path):
    if request.param == "local":
        return open_storage(tmp_path / "data")
    if request.param == "memory":
        return open_storage(f"memory://{uuid.uuid4().hex}")
    request.getfixturevalue("object_store")
    return open_storage("s3://bucket/data")


def test_files_come_back(storage):
    assert storage.sizes() == {} == storage.sizes("folder") and not storage.exists("folder/a")
    for name in ("folder/a", "folder/b", "c"):
        with storage.new(name) as file:
            file.write(b"0123456789")
            file.write(name.encode())
    assert storage.sizes() == {"folder": -1, "c": 11} and storage.sizes("folder") == {"a": 18, "b": 18}
    assert storage.read("folder/b") == b"0123456789folder/b" and storage.read("c", 2, 5) == b"234"
    assert storage.read("c", 9, 40) == b"9c"
    assert storage.exists("folder/a") and storage.where("c").endswith("/c")
    with storage.new("c") as file:
        file.write(b"new")
    assert storage.read("c") == b"new"
    if not storage.url.startswith("memory"):
        assert pickle.loads(pickle.dumps(storage)).read("c") == b"new"


def test_a_file_that_is_not_finished_does_not_appear(storage):
    with pytest.raises(KeyError), storage.new("a") as file:
        file.write(b"half")
        raise KeyError
    assert storage.sizes() == {}


def test_a_small_file_has_a_limit(storage):
    with storage.new("a") as file:
        file.write(b"0123456789")
    assert read_whole(storage, "a", 10) == b"0123456789"
    with pytest.raises(QumadeError, match=r"^Invalid file: got more than 9 bytes in .*/a; must be"):
        read_whole(storage, "a", 9)


def test_a_missing_file_is_named(storage):
    with pytest.raises(QumadeError, match=r"^Invalid file: cannot read .*/nothing: ") as caught:
        storage.read("nothing")
    assert "\n" not in str(caught.value)


def test_paths_and_urls():
    assert is_url("s3://a/b") and is_url("memory://a") and not is_url("/a/b") and not is_url("a/b")
    assert isinstance(open_storage("a/b"), LocalFiles) and open_storage("a/b").url == os.path.abspath("a/b")


def test_an_unknown_scheme_is_named():
    with pytest.raises(QumadeError, match=r"^Invalid URL: got scheme 's4' in s4://a/b; must be one that fsspec knows"):
        open_storage("s4://a/b")


def test_a_missing_package_is_named(monkeypatch):
    def missing(url):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(QumadeError, match=r"got no package for s3://a/b .*; install it with: pip install 'qumade\[cl"):
        open_storage("s3://a/b")


def test_a_missing_bucket_is_named(object_store):
    with pytest.raises(QumadeError, match=r"^Invalid URL: got no bucket 'other' for s3://other/data; must exist"):
        open_storage("s3://other/data").sizes()
    with (
        pytest.raises(QumadeError, match=r"^Invalid output: cannot write s3://other/data/a: "),
        open_storage("s3://other/data").new("a") as file,
    ):
        file.write(b"1")


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["500", "503", "drop"])
def test_requests_are_repeated(object_store, fault):
    storage = open_storage("s3://bucket/data")
    object_store.faults += [("PUT", fault), ("GET", fault)]
    with storage.new("a") as file:
        file.write(b"whole")
    assert storage.read("a") == b"whole" and storage.sizes() == {"a": 5}
    assert not object_store.faults


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("denied", r"access is refused; must be credentials that are valid and may do this \(AWS_ACCESS_KEY_ID and"),
        ("key", r"access is refused; must be credentials"),
        ("full", r"the store is full; make room, and the same command goes on from here$"),
        ("skew", r"the clock of this machine differs from the store's by \d+ minutes; set the clock right$"),
    ],
)
def test_a_refusal_of_the_store_says_what_to_do(object_store, fault, said):
    storage = open_storage("s3://bucket/data")
    object_store.faults += [("PUT", fault)] * 9
    refusal = pytest.raises(QumadeError, match=rf"^Invalid output: cannot write s3://bucket/data/a: [^\n]*{said}")
    with refusal, storage.new("a") as file:
        file.write(b"whole")
    if fault == "full":
        return
    object_store.faults[:] = [("GET", fault)] * 9
    with pytest.raises(QumadeError, match=rf"^Invalid file: cannot list s3://bucket/data: .*{said}"):
        storage.sizes()


@pytest.mark.parametrize("url", ["s3://", "s3:///a", "memory://", "gs:///"])
def test_a_url_without_a_bucket_is_refused(url):
    with pytest.raises(QumadeError, match=r"^Invalid URL: got no bucket in .*; must be \w+://BUCKET/NAME$"):
        open_storage(url)


@pytest.mark.parametrize("url", ["simplecache::s3://a/b", "zip://a::memory://b", "S3://a/b", "://a", "a b://c"])
def test_chains_and_odd_schemes_are_refused(url):
    with pytest.raises(QumadeError, match=r"^Invalid URL: got scheme '.*' in .*; must be one that fsspec knows"):
        open_storage(url)


def test_the_url_of_a_local_file_is_its_path(tmp_path):
    storage = open_storage(f"file://{tmp_path}/a/")
    assert isinstance(storage, LocalFiles) and storage.url == str(tmp_path / "a")


def test_a_file_in_the_place_of_a_folder_is_named(storage):
    with storage.new("folder/a") as file:
        file.write(b"1")
    if isinstance(storage, LocalFiles):
        return  # test_a_folder_that_cannot_be_listed_is_named
    with pytest.raises(QumadeError, match=r"^Invalid folder: got a file at .*/folder/a; must be a folder$"):
        storage.sizes("folder/a")


@pytest.mark.slow
def test_a_large_file_is_uploaded_in_parts_and_not_visible_before_the_last(object_store, monkeypatch):
    storage = open_storage("s3://bucket/data")
    monkeypatch.setattr(module, "_PART_BYTES", 5 << 20)  # the least that S3 allows
    content = os.urandom(1 << 20) * 11  # above twice the size of a part
    object_store.requests.clear()
    with storage.new("large") as file:
        file.write(content)
        assert storage.sizes() == {}
    assert object_store.requests.count("PUT") >= 2 and object_store.requests.count("POST") >= 2
    assert storage.sizes() == {"large": len(content)} and storage.read("large", 1 << 20, (1 << 20) + 9) == content[:9]


def test_what_cannot_pass_is_not_repeated(monkeypatch):
    storage = open_storage(f"memory://{uuid.uuid4().hex}")
    asked = []

    def refused(*args, **kwargs):
        asked.append(1)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if len(asked) > 1 else PermissionError("Access Denied")

    monkeypatch.setattr(type(storage.filesystem), "put_file", refused)
    for said in ("PermissionError: Access Denied", "No space left"):
        refusal = pytest.raises(QumadeError, match=rf"^Invalid output: cannot write memory://.*: .*{said}")
        with refusal, storage.new("a") as file:
            file.write(b"1")
    assert len(asked) == 2


def test_a_folder_that_cannot_be_listed_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(QumadeError, match=r"^Invalid folder: cannot list .*/file: "):
        LocalFiles(tmp_path / "file").sizes()
    with (
        pytest.raises(QumadeError, match=r"^Invalid output: cannot make .*/file: "),
        LocalFiles(tmp_path / "file").new("a"),
    ):
        pass
