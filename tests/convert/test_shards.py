import shutil

import pytest

from qumade.convert.shards import folder_to_shards, shards_to_folder
from qumade.data.folder import FolderDataset
from qumade.data.shards import ShardDataset
from qumade.errors import QumadeError
from qumade.generation.shard_engine import generate_shards
from qumade.synth.synthesizer import Synthesizer

LIMIT = 150


@pytest.fixture(scope="module")
def folder(works):
    out = works.out()
    works.generate(out, limit=LIMIT)
    return out


@pytest.fixture(scope="module")
def shards(works, folder):
    out = works.out()
    assert folder_to_shards(folder, out, samples_per_shard=16, progress=False) == LIMIT
    return out


def test_tars_and_rows_are_those_that_would_have_been_generated(works, read_tree, shards):
    out = works.out()
    synthesizer = Synthesizer(works.recipe, works.catalog)
    generate_shards(synthesizer, out, limit=LIMIT, samples_per_shard=16, workers=1, progress=False)
    drawn, converted = read_tree(out), read_tree(shards)
    assert drawn.keys() == converted.keys()
    for name, content in drawn.items():
        if name.endswith((".tar", ".parquet", ".yaml")):
            assert converted[name] == content, name


def test_and_back_exactly(works, read_tree, folder, shards):
    out = works.out()
    assert shards_to_folder(shards, out, progress=False) == LIMIT
    assert read_tree(out) == read_tree(folder)


def test_an_interrupted_conversion_is_finished_by_the_same_call(works, read_tree, folder, shards, monkeypatch):
    out, read = works.out(), FolderDataset.content
    calls = []

    def failing(self, name, key):
        calls.append(key)
        if len(calls) == 200:
            raise QumadeError("enough")
        return read(self, name, key)

    with monkeypatch.context() as patch:
        patch.setattr(FolderDataset, "content", failing)
        with pytest.raises(QumadeError, match="enough"):
            folder_to_shards(folder, out, samples_per_shard=16, progress=False)
    folder_to_shards(folder, out, progress=False)
    assert read_tree(out) == read_tree(shards)


def test_a_plain_folder_of_pictures(works, folder, tmp_path):
    plain = tmp_path / "plain"
    for name in ("images", "masks", "depth"):
        shutil.copytree(folder / name, plain / name)
    folder_to_shards(plain, tmp_path / "shards", samples_per_shard=60, progress=False)
    dataset = ShardDataset(tmp_path / "shards")
    assert [entry.name for entry in dataset.shards] == ["all-000000", "all-000001", "all-000002"]
    shards_to_folder(tmp_path / "shards", tmp_path / "again", progress=False)
    for name in ("images", "masks", "depth"):
        for path in (plain / name).iterdir():
            assert (tmp_path / "again" / name / path.name).read_bytes() == path.read_bytes()
    assert not (tmp_path / "again" / "manifest.parquet").exists()


def test_a_target_with_something_else_is_refused(folder, shards, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(QumadeError, match=r"is not empty and holds no dataset\.yaml"):
        folder_to_shards(folder, tmp_path / "out", progress=False)
    with pytest.raises(QumadeError, match="must be a new or empty folder"):
        shards_to_folder(shards, tmp_path / "out", progress=False)
    with pytest.raises(QumadeError, match=r"shards\.samples 16, this one has 17"):
        folder_to_shards(folder, shards, samples_per_shard=17, progress=False)
