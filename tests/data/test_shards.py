import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from qumade.data.dataset import LabeledSample
from qumade.data.folder import FolderDataset
from qumade.data.loader import training_batches
from qumade.data.mixture import Ingredient, Mixture
from qumade.data.opening import open_dataset, open_files
from qumade.data.shards import ShardDataset, is_sharded
from qumade.data.synthetic import SyntheticDataset
from qumade.errors import QumadeError
from qumade.generation.shard_engine import generate_shards
from qumade.synth.synthesizer import Synthesizer

LIMIT = 200


@pytest.fixture(scope="module")
def both(works, read_tree):
    """The same samples in a folder and in shards."""
    synthesizer = Synthesizer(works.recipe, works.catalog)
    folder, shards = works.out(), works.out()
    works.generate(folder, limit=LIMIT)
    generate_shards(synthesizer, shards, limit=LIMIT, samples_per_shard=16, workers=1, progress=False)
    return FolderDataset(folder), shards


@pytest.fixture
def copied(both, tmp_path):
    """Shards that a test may damage."""
    return Path(shutil.copytree(both[1], tmp_path / "shards"))


def assert_equal_samples(one: LabeledSample, other: LabeledSample) -> None:
    for name in ("image", "mask", "inverse_depth"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "inverse_depth")


def test_samples_are_those_of_the_folder(both):
    folder, dataset = both[0], ShardDataset(both[1])
    assert len(dataset) == LIMIT == len(set(dataset.stems)) and set(dataset.stems) == set(folder.stems)
    assert dataset.has_masks and dataset.has_depth and not dataset.has_ignore
    assert dataset.depth_encoding == folder.depth_encoding
    for position, stem in enumerate(dataset.stems.tolist()):
        assert_equal_samples(dataset[position], folder.read(stem))
        assert dataset.index(stem) == position and dataset.splits[position] == folder.splits[folder.index(stem)]
    assert np.array_equal(dataset.positions("train"), np.flatnonzero(dataset.splits == "train"))


def test_a_part_of_the_samples(both):
    dataset = ShardDataset(both[1])
    taken = pickle.loads(pickle.dumps(dataset.take(np.arange(5, 150, 7))))
    assert taken.stems.tolist() == dataset.stems[5:150:7].tolist()
    assert_equal_samples(taken[3], dataset[26])
    assert taken.take(slice(2, 4)).stems.tolist() == dataset.stems[[19, 26]].tolist()


def test_every_way_to_open_it(both):
    assert is_sharded(both[1]) and is_sharded("s3://a/b") and not is_sharded(both[0].root)
    assert isinstance(open_dataset(both[1]), ShardDataset) and isinstance(open_files(str(both[1])), ShardDataset)
    assert not isinstance(open_files(both[0].root), ShardDataset)


def test_shards_in_an_object_store_are_fetched_in_blocks(both, object_store, tmp_path, monkeypatch):
    from qumade.io.storage import open_storage

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    storage = open_storage("s3://bucket/data")
    for path in both[1].rglob("*.*"):
        with storage.new(path.relative_to(both[1]).as_posix()) as file:
            file.write(path.read_bytes())
    local, remote = ShardDataset(both[1]), open_files("s3://bucket/data")
    for position in range(0, LIMIT, 9):
        assert_equal_samples(remote[position], local[position])
    assert remote.stems.tolist() == local.stems.tolist()
    object_store.requests.clear()
    again = ShardDataset("s3://bucket/data")
    for position in range(0, LIMIT, 9):
        assert_equal_samples(again[position], local[position])
    assert len(object_store.requests) <= 4  # dataset.yaml and index.json

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    object_store.requests.clear()
    together = ShardDataset("s3://bucket/data").read_many(range(0, LIMIT, 9))
    assert_equal_samples(together[3], local[27])
    fetched = [
        path for path in (tmp_path / "new").rglob("*") if path.suffix == ".parquet" or path.parent.name == "blocks"
    ]
    assert object_store.requests.count("GET") <= 4 + len(fetched)  # each shard's rows and each block once


def test_training_reads_every_sample_once_in_an_order_of_shards(both):
    dataset = ShardDataset(both[1])
    positions = dataset.positions("train")
    mixture = Mixture([Ingredient(dataset, positions)])
    keys = [key for batch in range(-(-len(positions) // 8)) for key in mixture.keys(batch, 8, seed=4)]
    first = [key.position for key in keys if key.epoch == 0]
    assert sorted(first) == positions.tolist() and first != positions.tolist()
    # Batches do not depend on how many samples make one: exact resume, whatever the processes.
    assert keys[:32] == [key for batch in range(2) for key in mixture.keys(batch, 16, seed=4)]
    few = Mixture([Ingredient(dataset, positions[::5])])
    assert {key.position for key in few.keys(0, len(positions[::5]), 0)} == set(positions[::5].tolist())


def test_processes_share_each_batch_without_overlap_whatever_their_number(both):
    """Shards are mixed with a folder and a recipe; a training may go on with another number of processes."""
    folder, shards = both[0], ShardDataset(both[1])
    recipe = SyntheticDataset(Synthesizer.from_recipe(folder.root.parent / "recipe.yaml"))
    datasets = (shards, 0.5), (folder, 0.25), (recipe, 0.25)
    mixture = Mixture([Ingredient(dataset, dataset.positions("train"), share) for dataset, share in datasets])
    options = {"size": (32, 24), "batch_size": 8, "seed": 3, "start": 2, "stop": 5}
    whole = list(training_batches(mixture, **options))
    for processes in (2, 4):
        parts = [training_batches(mixture, **options, rank=n, world_size=processes) for n in range(processes)]
        for batch, *shared in zip(whole, *parts, strict=True):
            for rank, part in enumerate(shared):
                assert torch.equal(part.image, batch.image[rank::processes])


def test_an_unfinished_dataset_is_refused(copied):
    text = (copied / "dataset.yaml").read_text()
    (copied / "dataset.yaml").write_text(text.replace("complete: true", "complete: false"))
    with pytest.raises(QumadeError, match=r"^Invalid dataset: got complete: false in .*/dataset\.yaml"):
        ShardDataset(copied)


def test_an_index_of_other_samples_is_refused(copied):
    text = (copied / "dataset.yaml").read_text()
    (copied / "dataset.yaml").write_text(text.replace(f"samples: {LIMIT}", "samples: 999"))
    with pytest.raises(QumadeError, match=rf"^Invalid dataset: got {LIMIT} samples in .*/index\.json; must be 999 as"):
        ShardDataset(copied)


def test_a_torn_tar_is_named(copied):
    dataset = ShardDataset(copied)
    tar = copied / dataset.shards[0].tar
    tar.write_bytes(tar.read_bytes()[:700])
    with pytest.raises(QumadeError, match=rf"^Invalid tar: got too few bytes in {tar}; must have"):
        dataset.read(int(dataset.shard_sizes[0]) - 1)


def test_a_sample_of_another_name_is_refused(copied):
    dataset = ShardDataset(copied)
    tar = copied / dataset.shards[0].tar
    tar.write_bytes((copied / dataset.shards[1].tar).read_bytes())
    with pytest.raises(QumadeError, match=rf"^Invalid (shard|tar): got .* in {tar}"):
        for position in range(int(dataset.shard_sizes[0])):
            dataset.read(position)


def test_files_that_no_folder_describes_are_named(copied):
    """Else a wrong letter in dataset.yaml would make a dataset without masks."""
    path = copied / "dataset.yaml"
    path.write_text(path.read_text().replace("masks: {", "maskz: {"))
    with pytest.raises(
        QumadeError, match=r"^Invalid dataset\.yaml: got no folder of img\d+\.mask\.jpg, which .*\.tar ho"
    ):
        ShardDataset(copied)[0]


def test_torn_rows_are_named(copied):
    dataset = ShardDataset(copied)
    parquet = copied / dataset.shards[0].parquet
    for data in (parquet.read_bytes()[:-20], (copied / dataset.shards[-1].parquet).read_bytes()):
        parquet.write_bytes(data)
        with pytest.raises(QumadeError, match=rf"^Invalid manifest: got other bytes in {parquet}; must be those with"):
            ShardDataset(copied).read(0)


def test_shards_say_the_class_of_each_pixel_as_a_folder_does(two_classes, two_class_dataset, tmp_path):
    generate_shards(
        Synthesizer.from_recipe(two_classes),
        tmp_path / "shards",
        limit=60,
        samples_per_shard=16,
        workers=1,
        progress=False,
    )
    folder, shards = FolderDataset(two_class_dataset), ShardDataset(tmp_path / "shards")
    assert shards.classes == ("car", "person")
    for position, stem in enumerate(shards.stems):
        np.testing.assert_array_equal(shards.read(position).class_map, folder.read(str(stem)).class_map)
    chosen = np.array([3, 40])
    taken = shards.take(chosen)
    for own, whole in enumerate(chosen.tolist()):
        np.testing.assert_array_equal(taken.read(own).class_map, shards.read(whole).class_map)
