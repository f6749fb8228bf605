import json

import pytest

from qumade.data.shard_files import ShardEntry, write_hash_file
from qumade.data.shard_store import begun, finish, journal, lost_shards, recipe_hash, recorded_samples, write
from qumade.errors import QumadeError
from qumade.io.storage import open_storage

OURS, OTHER = "a" * 64, "b" * 64


def entry_of(name, recipe=OURS):
    hashes = {"tar_sha256": "0" * 64, "parquet_sha256": "1" * 64, "recipe": recipe}
    return ShardEntry(name=name, split=name.rpartition("-")[0], samples=2, tar_bytes=3, parquet_bytes=4, **hashes)


@pytest.fixture
def storage(tmp_path):
    """Three whole shards."""
    storage = open_storage(tmp_path / "data")
    for number in range(3):
        entry = entry_of(f"train-{number:06d}")
        write(storage, entry.tar, [b"tar"])
        write(storage, entry.parquet, [b"rows"])
        write(storage, entry.hash_file, [write_hash_file(entry)])
    return storage


def test_a_shard_counts_when_its_hash_file_and_sizes_are_right(storage):
    names = [f"train-{number:06d}" for number in range(3)]
    assert journal(storage, OURS) == {name: entry_of(name) for name in names}
    write(storage, "shards/train-000000.tar", [b"longer"])
    (storage.root / "shards" / "train-000001.sha256").unlink()
    write(storage, "shards/val-000000.sha256", [b"torn"])
    write(storage, "shards/val-000001.sha256", [write_hash_file(entry_of("val-000000"))])  # renamed
    assert journal(storage, OURS).keys() == {"train-000002"}


def test_shards_of_another_recipe_are_refused(storage):
    with pytest.raises(QumadeError, match=r"^Invalid --out: got a shard of another recipe, .*/train-00000\d\.sha256; "):
        journal(storage, OTHER)


def test_lost_shards_are_those_that_index_json_lists_and_the_folder_does_not(storage):
    names = {f"train-{number:06d}" for number in range(3)}
    assert lost_shards(storage, names) == names  # there is no index.json
    finish(storage, {"complete": True}, [entry_of(name) for name in sorted(names)])
    assert lost_shards(storage, names) == set()
    (storage.root / "shards" / "train-000001.tar").unlink()
    (storage.root / "shards" / "train-000002.sha256").unlink()
    assert lost_shards(storage, names) == {"train-000001", "train-000002"}
    assert lost_shards(storage, {*names, "val-000000"}) == {"train-000001", "train-000002", "val-000000"}


@pytest.mark.parametrize(
    ("found", "samples"),
    [
        (None, None),
        ({}, None),
        ({"shards": 3}, None),
        ({"shards": {"samples": "9"}}, None),
        ({"shards": {"samples": 9}}, 9),
    ],
)
def test_the_samples_of_a_shard_are_those_that_are_recorded(found, samples):
    assert recorded_samples(found) == samples


def test_what_has_begun(storage):
    with pytest.raises(
        QumadeError, match=r"^Invalid --out: .* is not empty and holds no dataset\.yaml \(but 'shards'\)"
    ):
        begun(storage, "qumade generate")
    finish(storage, {"complete": True, "samples": 3}, [])
    assert begun(storage, "qumade generate") == {"complete": True, "samples": 3}
    assert json.loads(storage.read("index.json"))["shards"] == []
    write(storage, "dataset.yaml", [b"[1]"])
    with pytest.raises(QumadeError, match=r"^Invalid dataset\.yaml: .* describes no dataset; must be a mapping"):
        begun(storage, "qumade generate")


def test_an_empty_folder_has_nothing_begun(tmp_path):
    assert begun(open_storage(tmp_path / "new"), "qumade generate") is None


def test_without_a_recipe_the_hash_is_that_of_the_description():
    assert recipe_hash({"samples": 3, "complete": True}) == recipe_hash({"samples": 3, "complete": False})
    assert recipe_hash({"samples": 3}) != recipe_hash({"samples": 4})
