import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from qumade.data.block_cache import BlockCache
from qumade.errors import QumadeError
from qumade.io.storage import LocalFiles


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """A cache of the file "a" of 1000 bytes, and the ranges that were fetched."""
    (tmp_path / "remote").mkdir()
    (tmp_path / "remote" / "a").write_bytes(bytes(n % 251 for n in range(1000)))
    fetched, read = [], LocalFiles.read

    def counting(self, name, start=0, stop=None):
        fetched.append((start, stop))
        return read(self, name, start, stop)

    monkeypatch.setattr(LocalFiles, "read", counting)
    return BlockCache(LocalFiles(tmp_path / "remote"), tmp_path / "cache", limit_bytes=250), fetched


def test_a_block_is_fetched_once(counted):
    cache, fetched = counted
    for start in (100, 150, 199):
        assert cache.read("k", "a", (100, 200), start, start + 1) == bytes([start % 251])
    assert pickle.loads(pickle.dumps(cache)).read("k", "a", (100, 200), 100, 103) == bytes([100, 101, 102])
    assert fetched == [(100, 200)]
    cache.read("other content", "a", (100, 200), 100, 101)
    assert fetched == [(100, 200)] * 2


def test_the_oldest_blocks_give_way(counted, tmp_path):
    cache, fetched = counted
    for start in range(0, 1000, 100):
        cache.read("k", "a", (start, start + 100), start, start + 1)
        assert sum(path.stat().st_size for path in (tmp_path / "cache" / "blocks").iterdir()) <= 250
    assert len(fetched) == 10


def test_a_torn_block_is_fetched_again(counted, tmp_path):
    cache, fetched = counted
    cache.read("k", "a", (0, 100), 0, 1)
    (block,) = (tmp_path / "cache" / "blocks").iterdir()
    block.write_bytes(b"12")
    assert cache.read("k", "a", (0, 100), 50, 52) == bytes([50, 51])
    assert len(fetched) == 2


def test_a_file_that_is_too_short_is_named(counted):
    with pytest.raises(QumadeError, match=r"^Invalid file: got too few bytes from .*/a; must be as it was written"):
        counted[0].read("k", "a", (900, 1100), 1050, 1060)


def test_blocks_that_are_expected_are_fetched_ahead(counted, wait_until):
    cache, fetched = counted
    cache.expect("k", "a", (0, 100))
    wait_until(lambda: fetched == [(0, 100)])


def test_threads_and_processes_that_want_the_same_block_fetch_it_once(counted, tmp_path):
    cache, fetched = counted
    other = BlockCache(LocalFiles(tmp_path / "remote"), tmp_path / "cache", limit_bytes=250)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: (cache, other)[n % 2].fetch("k", "a", (0, 100)), range(8)))
    assert fetched == [(0, 100)]


def test_a_limit_that_is_no_number_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("QUMADE_CACHE_BYTES", "4 GB")
    with pytest.raises(QumadeError, match=r"^Invalid QUMADE_CACHE_BYTES: got '4 GB'; must be a number of bytes"):
        BlockCache(LocalFiles(tmp_path))
