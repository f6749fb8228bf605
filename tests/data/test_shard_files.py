import json

import pyarrow as pa
import pytest

from qumade.data.shard_files import (
    ShardEntry,
    index_text,
    json_member,
    located,
    parse_index,
    read_hash_file,
    sample_members,
    write_hash_file,
)
from qumade.errors import QumadeError
from qumade.io.tar import read_members


def entry(**changes):
    fields = {
        "name": "seen-background-000001", "split": "seen background", "samples": 3, "tar_bytes": 10240,
        "parquet_bytes": 99, "tar_sha256": "a" * 64, "parquet_sha256": "b" * 64, "recipe": "c" * 64,
        "counts": {"fallbacks": 1},
    }  # fmt: skip
    return ShardEntry(**{**fields, **changes})


def test_a_hash_file_and_an_index_read_back():
    entries = (entry(), entry(name="train-000000", split="train"))
    assert read_hash_file(write_hash_file(entries[0]), "x") == entries[0]
    assert parse_index(b"".join(index_text(entries)), "x") == entries
    assert json.loads(b"".join(index_text([])))["shards"] == []
    assert (entries[1].tar, entries[1].parquet) == ("shards/train-000000.tar", "shards/train-000000.parquet")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1],
        lambda text: text.replace(b'"samples":3', b'"samples":4'),
        lambda text: text.replace(b'"samples":3', b'"samples":4').replace(b"# ", b"#  ", 1),
        lambda text: text.replace(b"a" * 64, b"d" * 64, 1),
        lambda text: text.replace(b"# ", b"", 1),
        lambda text: b"",
        lambda text: b"\xff\xfe",
        lambda text: b"# [" + b"[" * 100_000,
    ],
)
def test_a_torn_or_changed_hash_file_is_refused(change):
    with pytest.raises(QumadeError, match=r"^Invalid .* in /d/a\.sha256"):
        read_hash_file(change(write_hash_file(entry())), "/d/a.sha256")


def test_a_split_that_is_not_that_of_the_name_is_refused():
    """Else one wrong word in index.json would move samples from test to train."""
    text = b"".join(index_text([entry(name="train-000000", split="train")])).replace(b'"train"', b'"test"')
    with pytest.raises(
        QumadeError, match=r"^Invalid shards\.0\.split: got 'test' in /d/index\.json; must be that of the"
    ):
        parse_index(text, "/d/index.json")


@pytest.mark.parametrize("name", ["../train-000000", "train-0", "train-000000.tar", "/etc/x-000000", "train-000000\n"])
def test_a_name_that_leads_out_of_the_folder_is_refused(name):
    text = b"".join(index_text([entry()])).replace(b"seen-background-000001", json.dumps(name)[1:-1].encode())
    with pytest.raises(QumadeError, match=r"^Invalid shards\.0\.name: got .* in /d/index\.json; must be a split"):
        parse_index(text, "/d/index.json")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format":"other","shards":[]}', b"[" * 100_000])
def test_another_file_is_no_index(data):
    with pytest.raises(QumadeError, match=r"^Invalid .* in /d/index\.json"):
        parse_index(data, "/d/index.json")


def test_a_shard_that_is_listed_twice_is_refused():
    with pytest.raises(QumadeError, match="got shard seen-background-000001 twice in x; must be there once"):
        parse_index(b"".join(index_text([entry(), entry()])), "x")


def test_members_of_a_sample():
    data = sample_members("img000007", [("image.jpg", b"abc"), ("json", b"{}")])
    assert list(read_members(data, "x")) == [("img000007.image.jpg", b"abc"), ("img000007.json", b"{}")]


def test_unknown_numbers_are_null():
    assert json_member({"a": 1.5, "b": [float("nan"), {"c": float("inf")}]}) == b'{"a":1.5,"b":[null,{"c":null}]}'


def test_rows_say_where_their_samples_are():
    rows = located(pa.table({"index": [5, 3, 9]}), [1024, 2048, 512])
    assert rows["tar_offset"].to_pylist() == [0, 1024, 3072] and rows["tar_bytes"].to_pylist() == [1024, 2048, 512]
