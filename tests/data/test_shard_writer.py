import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qumade.data.shard_files import read_hash_file
from qumade.data.shard_writer import ShardWriter
from qumade.errors import QumadeError
from qumade.io.storage import LocalFiles
from qumade.io.tar import read_members


def test_samples_are_written_in_the_order_asked_for(tmp_path):
    with ShardWriter(LocalFiles(tmp_path)) as writer:
        writer.add(pa.table({"stem": ["a", "b"]}), [[("image.jpg", b"1")], [("image.jpg", b"2")]])
        writer.add(pa.table({"stem": ["c"]}), [[("image.jpg", b"3"), ("more.png", b"4")]])
        entry = writer.write("train-000000", "train", np.array([2, 0, 1]), "f" * 64, {"fallbacks": 2})
    tar = (tmp_path / entry.tar).read_bytes()
    names = [name for name, _ in read_members(tar, "x")]
    assert names == ["c.image.jpg", "c.more.png", "c.json", "a.image.jpg", "a.json", "b.image.jpg", "b.json"]
    assert (entry.samples, entry.tar_bytes, entry.tar_sha256) == (3, len(tar), hashlib.sha256(tar).hexdigest())
    assert pq.read_table(tmp_path / entry.parquet)["stem"].to_pylist() == ["c", "a", "b"]
    assert read_hash_file((tmp_path / entry.hash_file).read_bytes(), "x") == entry
    assert sorted(path.suffix for path in (tmp_path / "shards").iterdir()) == [".parquet", ".sha256", ".tar"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(QumadeError, match=r"^Invalid output: cannot write into .*/file/shards: "):
        ShardWriter(LocalFiles(tmp_path / "file"))
