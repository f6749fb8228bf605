import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qumade.data.shard_files import parse_index, read_hash_file, write_hash_file
from qumade.generation.audit import audit
from qumade.generation.files_check import Audit
from qumade.generation.shard_engine import generate_shards
from qumade.io.storage import open_storage
from qumade.synth.synthesizer import Synthesizer

LIMIT = 60


@pytest.fixture(scope="module")
def intact(works: Any) -> Path:
    """Two shards of train, one of val and one of test."""
    out: Path = works.out()
    synthesizer = Synthesizer(works.recipe, works.catalog)
    generate_shards(synthesizer, out, limit=LIMIT, samples_per_shard=20, workers=1, progress=False)
    return out


@pytest.fixture
def shards(works: Any, intact: Path) -> Path:
    """Shards that a test may damage, beside the assets."""
    return Path(shutil.copytree(intact, works.out()))


def audited(root: Path | str, fraction: float = 1.0) -> Audit:
    return audit(root, fraction=fraction, progress=False)


def tar_of(root: Path, number: int = 0) -> Path:
    return root / "shards" / f"train-{number:06d}.tar"


@pytest.mark.parametrize(("fraction", "redrawn"), [(0.0, 0), (0.001, 1), (1.0, LIMIT)])
def test_intact_shards_have_no_problem(intact: Path, fraction: float, redrawn: int) -> None:
    assert audited(intact, fraction) == Audit(intact, LIMIT, 3 * LIMIT, redrawn, True, True, ())


def test_shards_in_an_object_store_are_audited_too(intact: Path, object_store: Any) -> None:
    storage = open_storage("s3://bucket/audited")
    for path in intact.rglob("*.*"):
        with storage.new(path.relative_to(intact).as_posix()) as file:
            content = path.read_bytes()
            if path.name == "dataset.yaml":  # whose paths are relative to its folder
                content = content.replace(b"../", f"{intact.parent}/".encode())
            file.write(content)
    assert audited("s3://bucket/audited", 0.1).problems == ()


def rewritten(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def swap(one: Path, other: Path) -> None:
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def swap_all(root: Path) -> None:
    for suffix in (".tar", ".parquet", ".sha256"):
        swap(tar_of(root).with_suffix(suffix), tar_of(root, 1).with_suffix(suffix))


@pytest.mark.parametrize(
    ("damage", "file", "problem"),
    [
        (lambda root: tar_of(root).unlink(), "train-000000.tar", "is missing"),
        (lambda root: tar_of(root).with_suffix(".sha256").unlink(), "train-000000.sha256", "is missing"),
        (lambda root: rewritten(tar_of(root), lambda data: data[:-700]), "train-000000.tar", "bytes; must have"),
        (lambda root: rewritten(tar_of(root), lambda data: data[:-1] + b"x"), "train-000000.tar", "its hash differs"),
        (
            lambda root: rewritten(tar_of(root).with_suffix(".parquet"), lambda data: b"x" + data[1:]),
            ".parquet",
            "hash",
        ),
        (lambda root: swap(tar_of(root), tar_of(root, 1)), "train-000001.tar", "its hash differs"),
        (swap_all, "train-000000.sha256", "says otherwise than index.json"),
        (lambda root: (root / "shards" / "x.tar").touch(), "x.tar", "belongs to no shard"),
        (lambda root: (root / "thesis.txt").touch(), "thesis.txt", "belongs to no dataset"),
    ],
    ids=["missing", "no hash", "torn", "edited", "rows", "swapped", "swapped wholly", "unexpected", "strange"],
)
def test_damage_is_named(shards: Path, damage: Callable[[Path], object], file: str, problem: str) -> None:
    damage(shards)
    found = audited(shards, 0.01).problems
    assert any(file in one.path and problem in one.problem for one in found), found


def forged(root: Path, change: Callable[[bytes], bytes]) -> None:
    """Changes a tar, and all hashes with it."""
    import hashlib

    rewritten(tar_of(root), change)
    sha256 = hashlib.sha256(tar_of(root).read_bytes()).hexdigest()
    note = tar_of(root).with_suffix(".sha256")
    entry = read_hash_file(note.read_bytes(), "here")
    note.write_bytes(write_hash_file(entry.model_copy(update={"tar_sha256": sha256})))
    rewritten(root / "index.json", lambda data: data.replace(entry.tar_sha256.encode(), sha256.encode()))


def test_a_picture_that_was_changed_with_all_hashes_is_found_by_drawing_it_again(shards: Path) -> None:
    content = tar_of(shards).read_bytes()
    at = content.index(b"\xff\xd9")  # the end of the first image
    forged(shards, lambda data: data[: at - 1] + bytes([data[at - 1] ^ 1]) + data[at:])
    (problem,) = audited(shards).problems
    assert "differs from the sample drawn again" in problem.problem and "train-000000.tar" in problem.path


def test_a_row_that_was_changed_in_the_tar_is_found(shards: Path) -> None:
    forged(shards, lambda data: data.replace(b'"crops_rejected":0', b'"crops_rejected":7', 1))
    assert [one.problem for one in audited(shards).problems] == ["its .json in the tar differs from its row"]


def test_shards_of_another_recipe_are_found(shards: Path) -> None:
    data = json.loads((shards / "index.json").read_bytes())
    data["shards"][0]["recipe"] = "0" * 64
    (shards / "index.json").write_text(json.dumps(data))
    found = [one.problem for one in audited(shards, 0.01).problems]
    assert any("train-000000 of another recipe" in problem for problem in found)


def test_an_index_without_a_shard_is_found(shards: Path) -> None:
    entries = parse_index((shards / "index.json").read_bytes(), "here")
    rewritten(shards / "dataset.yaml", lambda data: data.replace(b"samples: 60\n", b"samples: 54\n"))
    assert entries[-1].samples == 6
    data = json.loads((shards / "index.json").read_bytes())
    data["shards"].pop()
    (shards / "index.json").write_text(json.dumps(data))
    found = [one.problem for one in audited(shards, 0.01).problems]
    assert any("belongs to no shard of index.json" in problem for problem in found)
