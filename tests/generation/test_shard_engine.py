import dataclasses
import errno
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from qumade.convert.shards import shards_to_folder
from qumade.data.shard_writer import ShardWriter
from qumade.errors import QumadeError
from qumade.generation.executors import this_process
from qumade.generation.shard_engine import generate_shards
from qumade.generation.shards import DrawShards, default_samples
from qumade.io.storage import LocalFiles, open_storage
from qumade.plan.shards import Shard
from qumade.synth.synthesizer import Synthesizer

LIMIT = 420  # all of train, val and test, and some samples of two splits


def draw(works: Any, out: Path | str, **options: Any) -> Any:
    options = {"limit": LIMIT, "samples_per_shard": 60, "workers": 1, **options}
    synthesizer = options.pop("recipe", None) or Synthesizer(works.recipe, works.catalog)
    return generate_shards(synthesizer, out, progress=False, **options)


@pytest.fixture(scope="module")
def finished(works: Any, read_tree: Any) -> Any:
    """A finished dataset, its files, and the summary."""
    out = works.out()
    summary = draw(works, out)
    return out, read_tree(out), summary


def test_the_files_are_those_of_the_folder(works: Any, finished: Any) -> None:
    out, tree, summary = finished
    folder = works.reference(LIMIT)
    members: dict[str, bytes] = {}
    for name, content in tree.items():
        if name.endswith(".tar"):
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                members |= {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    rows = pq.read_table(io.BytesIO(folder["manifest.parquet"])).to_pylist()
    for row in rows:
        stem = row["stem"]
        for name, field in (("images", "image"), ("masks", "mask"), ("depth", "depth")):
            assert members.pop(f"{stem}.{field}.jpg") == folder[f"{name}/{stem}.jpg"]
        assert json.loads(members.pop(f"{stem}.json")) == row
    assert not members
    assert summary.root == out and summary.samples == summary.drawn == LIMIT == len(rows)


def test_the_summary_equals_that_of_the_folder(works: Any, finished: Any) -> None:
    summary = finished[2]
    expected = works.generate(works.out(), limit=LIMIT)
    assert dataclasses.replace(summary, root=expected.root) == expected


def test_a_shard_holds_one_split_and_its_rows_say_where_its_samples_are(works: Any, finished: Any) -> None:
    out, tree, _ = finished
    index = json.loads(tree["index.json"])
    assert index["format"] == "qumade-index/1"
    splits = {entry["split"] for entry in index["shards"]}
    assert {"train", "val", "test", "seen background", "seen foreground", "mixed"} >= splits and len(splits) > 3
    stems = []
    for entry in index["shards"]:
        rows = pq.read_table(out / "shards" / f"{entry['name']}.parquet").to_pylist()
        assert 0 < len(rows) == entry["samples"] <= 60
        tar = tree[f"shards/{entry['name']}.tar"]
        for row in rows:
            assert row["split"] == entry["split"]
            part = tar[row["tar_offset"] : row["tar_offset"] + row["tar_bytes"]]
            assert part.startswith(row["stem"].encode() + b".image.jpg\0")
            stems.append(row["stem"])
    assert sorted(stems) == [
        f"img{n + 1:06d}" for n in Synthesizer(works.recipe, works.catalog).indices(LIMIT).tolist()
    ]


def test_instance_maps_and_their_boxes_are_those_of_the_folder(
    two_classes: Any, two_class_dataset: Path, read_tree: Any, tmp_path: Path
) -> None:
    generate_shards(two_classes, tmp_path / "shards", limit=60, samples_per_shard=13, workers=1, progress=False)
    shards_to_folder(tmp_path / "shards", tmp_path / "folder", progress=False)
    folder, tree = read_tree(two_class_dataset), read_tree(tmp_path / "folder")
    assert any(name.startswith("instances/") for name in tree) and tree.keys() == folder.keys()
    assert all(tree[name] == folder[name] for name in tree if name != "dataset.yaml")  # which says where the assets lie


def test_hashes_are_those_that_sha256sum_checks(finished: Any) -> None:
    out, tree, _ = finished
    if shutil.which("sha256sum") is None:
        pytest.skip("there is no sha256sum command here")
    for name in (name for name in tree if name.endswith(".sha256")):
        subprocess.run(["sha256sum", "-c", "--strict", "--quiet", Path(name).name], cwd=out / "shards", check=True)
    entry = json.loads(tree["index.json"])["shards"][0]
    assert entry["tar_sha256"] == hashlib.sha256(tree[f"shards/{entry['name']}.tar"]).hexdigest()


def test_headers_hold_no_time_and_no_owner(finished: Any) -> None:
    for name, content in finished[1].items():
        if name.endswith(".tar"):
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                for member in tar:
                    assert (member.mtime, member.uid, member.gid, member.uname, member.mode) == (0, 0, 0, "", 0o644)


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_number_of_workers(works: Any, read_tree: Any, finished: Any) -> None:
    out = works.out()
    draw(works, out, workers=2)
    assert read_tree(out) == finished[1]


def test_bytes_do_not_depend_on_the_order_of_work(works: Any, read_tree: Any, finished: Any) -> None:
    def backwards(work: Any, shards: Iterable[Any]) -> Iterator[Any]:
        yield from list(this_process(work, list(shards)[::-1]))

    out = works.out()
    draw(works, out, executor=backwards)
    assert read_tree(out) == finished[1]


def test_an_interrupted_run_is_finished_by_the_same_command(works: Any, read_tree: Any, finished: Any) -> None:
    def breaking(work: Any, shards: Iterable[Any]) -> Iterator[Any]:
        for number, entry in enumerate(this_process(work, shards)):
            if number == 3:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            yield entry

    out = works.out()
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        draw(works, out, executor=breaking)
    assert "index.json" not in read_tree(out) and b"complete: false" in (out / "dataset.yaml").read_bytes()
    there = sorted(path.stem for path in (out / "shards").glob("*.sha256"))
    assert len(there) == 4
    torn, unhashed, shortened, unlisted = (out / "shards" / name for name in there)
    torn.with_suffix(".sha256").write_bytes(torn.with_suffix(".sha256").read_bytes()[:-1])
    unhashed.with_suffix(".sha256").unlink()
    shortened.with_suffix(".tar").write_bytes(b"torn")
    unlisted.with_suffix(".parquet").unlink()
    (out / "shards" / ".tmp-4711-train-000000.tar").write_bytes(b"torn")
    summary = draw(works, out)
    assert summary.drawn == summary.samples == LIMIT
    assert read_tree(out) == finished[1]


def test_only_missing_shards_are_drawn(works: Any, read_tree: Any, finished: Any) -> None:
    out = works.out()
    shutil.copytree(finished[0], out)
    (out / "index.json").unlink()
    text = (out / "dataset.yaml").read_text()
    (out / "dataset.yaml").write_text(text.replace("complete: true", "complete: false"))
    (out / "shards" / "train-000000.sha256").unlink()
    summary = draw(works, out)
    assert summary.drawn == json.loads(finished[1]["index.json"])["shards"][0]["samples"]
    assert read_tree(out) == finished[1]
    assert draw(works, out) is None
    (out / "shards" / "train-000001.tar").unlink()  # lost from the finished dataset
    assert draw(works, out).drawn == json.loads(finished[1]["index.json"])["shards"][1]["samples"]
    assert read_tree(out) == finished[1]


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bytes(works: Any, read_tree: Any, wait_until: Any, finished: Any) -> None:
    out = works.out()
    script = (
        "import sys; from qumade.generation.shard_engine import generate_shards; "
        f"generate_shards(sys.argv[1], sys.argv[2], limit={LIMIT}, samples_per_shard=60, workers=1, progress=False)"
    )
    for shards in (1, 4):
        process = subprocess.Popen([sys.executable, "-c", script, str(works.root / "recipe.yaml"), str(out)])
        wait_until(lambda n=shards: len(list(out.glob("shards/*.sha256"))) >= n)
        process.kill()
        process.wait()
    draw(works, out)
    assert read_tree(out) == finished[1]


def test_a_shard_is_a_function_of_the_recipe_and_its_number(works: Any, tmp_path: Path, finished: Any) -> None:
    drawn = []

    def only_one(work: DrawShards, shards: Iterable[Shard]) -> Iterator[Any]:
        drawn.append(work(list(shards)[2], lambda: False))
        raise OSError("enough")
        yield

    with pytest.raises(OSError, match="enough"):
        draw(works, tmp_path / "out", executor=only_one)
    (tar,) = (tmp_path / "out" / "shards").glob("*.tar")
    assert tar.read_bytes() == finished[1][f"shards/{drawn[0].name}.tar"]


def test_the_size_of_shards_is_kept_by_the_next_run(works: Any, read_tree: Any) -> None:
    out = works.out()
    draw(works, out, samples_per_shard=17, limit=60)
    assert draw(works, out, samples_per_shard=None, limit=60) is None
    synthesizer = Synthesizer(works.recipe, works.catalog)
    assert default_samples(synthesizer, 300) == 128
    assert default_samples(synthesizer, 32_000) == 1000
    assert 40_000 < default_samples(synthesizer, 10**9) < 256 * 2**20 / 1000


def test_memory_holds_no_samples(works: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in memory at once is a chunk, however large the shard is."""
    most, add = [], ShardWriter.add

    def counted(self: ShardWriter, rows: Any, parts: Any) -> None:
        most.append(len(parts))
        add(self, rows, parts)

    monkeypatch.setattr(ShardWriter, "add", counted)
    draw(works, works.out(), limit=None, samples_per_shard=1200)
    assert max(most) <= 128 and sum(most) == 1200


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"limit": 299}, "Invalid limit: got 299 samples for .*, which was started with 420; must be as many"),
        ({"samples_per_shard": 41}, r"holds a dataset with shards\.samples 60, this one has 41; must be equal"),
        ({"samples_per_shard": 0}, "Invalid samples of a shard: got 0; must be at least 1"),
    ],
)
def test_another_division_is_refused(works: Any, finished: Any, change: dict[str, Any], said: str) -> None:
    with pytest.raises(QumadeError, match=said):
        draw(works, finished[0], **change)


def test_shards_of_another_recipe_are_refused(works: Any, finished: Any) -> None:
    out = works.out()
    other = Synthesizer(works.recipe.model_copy(update={"seed": 9}), works.catalog)
    with pytest.raises(QumadeError, match=r"holds a dataset with recipe\.seed 0, this one has 9"):
        generate_shards(other, finished[0], limit=LIMIT, workers=1, progress=False)
    draw(works, out, limit=10)
    shutil.copytree(finished[0] / "shards", out / "shards", dirs_exist_ok=True)
    (out / "dataset.yaml").write_text((out / "dataset.yaml").read_text().replace("complete: true", "complete: false"))
    with pytest.raises(QumadeError, match=r"^Invalid --out: got a shard of another recipe, .*\.sha256; must be"):
        draw(works, out, limit=10)


def test_a_folder_is_refused_by_shards_and_shards_by_a_folder(works: Any, finished: Any) -> None:
    out = works.out()
    works.generate(out, limit=LIMIT)
    with pytest.raises(QumadeError, match="holds a dataset with shards None, this one has"):
        draw(works, out)
    with pytest.raises(QumadeError, match=r"holds a dataset with shards \{'samples': 60\}, this one has None"):
        works.generate(finished[0], limit=LIMIT)


def test_a_foreign_folder_is_refused_untouched(works: Any, read_tree: Any) -> None:
    out = works.out()
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(QumadeError, match=rf"^Invalid --out: {out} is not empty and holds no dataset\.yaml"):
        draw(works, out)
    assert read_tree(out) == {"thesis.txt": b"mine"}


def test_a_full_disk_is_reported_and_the_run_can_be_resumed(
    works: Any, read_tree: Any, finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, written = works.out(), []
    new = LocalFiles.new

    def full(self: Any, name: str) -> Any:
        written.append(name)
        if len(written) == 7:
            raise QumadeError(f"Invalid output: cannot write {self.where(name)}: {os.strerror(errno.ENOSPC)}")
        return new(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(LocalFiles, "new", full)
        with pytest.raises(QumadeError, match=os.strerror(errno.ENOSPC)):
            draw(works, out)
    draw(works, out)
    assert read_tree(out) == finished[1]


def test_depth_of_a_teacher_is_refused(works: Any) -> None:
    recipe = works.recipe.model_copy(update={"depth": "composite", "depth_teacher": "auto"})
    with pytest.raises(
        QumadeError, match=r"^Invalid depth: got 'composite' for .*; must be .*convert FOLDER --to shards --out "
    ):
        generate_shards(
            Synthesizer(recipe, works.catalog), works.out(), limit=3, samples_per_shard=2, workers=1, progress=False
        )


def test_the_webdataset_library_reads_shards_as_they_are(works: Any, finished: Any) -> None:
    webdataset = pytest.importorskip("webdataset")
    out = finished[0]
    shards = sorted(str(path) for path in out.glob("shards/train-*.tar"))
    dataset = webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8")
    samples = {sample["__key__"]: sample for sample in dataset}
    index = json.loads(finished[1]["index.json"])["shards"]
    assert len(samples) == sum(entry["samples"] for entry in index if entry["split"] == "train")
    for stem, sample in samples.items():
        assert sample["image.jpg"].shape == (24, 32, 3) and sample["image.jpg"].dtype == np.uint8
        assert sample["mask.jpg"].shape[:2] == sample["depth.jpg"].shape[:2] == (24, 32)
        assert sample["json"]["stem"] == stem and sample["json"]["split"] == "train"
        assert len(sample["json"]["objects"]) in (1, 2)


@pytest.mark.slow
def test_loaders_of_torch_read_shards_through_webdataset(finished: Any) -> None:
    webdataset = pytest.importorskip("webdataset")
    from torch.utils.data import DataLoader

    shards = sorted(str(path) for path in finished[0].glob("shards/train-*.tar"))
    dataset = webdataset.WebDataset(shards, shardshuffle=False).decode("torchrgb").to_tuple("__key__", "image.jpg")
    stems = [stem for stems, _ in DataLoader(dataset, batch_size=8, num_workers=0) for stem in stems]
    assert len(stems) == len(set(stems)) > 0


def test_an_object_store_gets_the_same_shards(works: Any, finished: Any, object_store: Any) -> None:
    storage = open_storage("s3://bucket/data")
    summary = draw(works, "s3://bucket/data")
    assert (summary.root, summary.drawn) == ("s3://bucket/data", LIMIT)
    for name, content in finished[1].items():
        if not name.endswith("/") and name != "dataset.yaml":  # which says where the assets lie
            assert storage.read(name) == content
    assert draw(works, "s3://bucket/data") is None


def test_an_upload_that_fails_leaves_a_state_that_the_same_command_finishes(
    works: Any, finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage("memory://resumed")
    put, puts = type(storage.filesystem).put_file, []  # type: ignore[attr-defined]

    def failing(self: Any, *args: Any, **kwargs: Any) -> Any:
        puts.append(args)
        if len(puts) == 9:
            raise PermissionError("Quota exceeded")
        return put(self, *args, **kwargs)

    monkeypatch.setattr(type(storage.filesystem), "put_file", failing)  # type: ignore[attr-defined]
    with pytest.raises(QumadeError, match=r"^Invalid output: cannot write memory://resumed/.*: PermissionError: Quota"):
        draw(works, "memory://resumed")
    assert 0 < draw(works, "memory://resumed").drawn < LIMIT
    for name, content in finished[1].items():
        if not name.endswith("/") and name != "dataset.yaml":
            assert storage.read(name) == content


@pytest.mark.slow
def test_assets_at_urls_give_the_same_shards(works: Any, read_tree: Any, uploaded: Any, finished: Any) -> None:
    """In two processes, which see nothing of this one's memory:// but the cache."""
    folders = {name: uploaded(getattr(works.recipe, name)) for name in ("backgrounds", "foregrounds")}
    synthesizer = Synthesizer.from_recipe(works.recipe.model_copy(update=folders))
    out = works.out()
    draw(works, out, recipe=synthesizer, workers=2)
    found, expected = read_tree(out), dict(finished[1])
    for tree in (found, expected):
        del tree["dataset.yaml"]  # it names the folders
    assert found == expected
