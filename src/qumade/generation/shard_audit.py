"""Audits a dataset in shards: are all of them there, whole and in their place, and do the samples match the recipe?"""

import hashlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qumade.data.manifest import manifest_schema
from qumade.data.manifest_check import require_values
from qumade.data.metadata import METADATA, Metadata
from qumade.data.shard_files import INDEX, INDEX_BYTES, SHARDS, ShardEntry, json_member, parse_index, write_hash_file
from qumade.data.shard_store import recipe_hash
from qumade.data.shards import ShardDataset
from qumade.errors import DatasetError
from qumade.generation.description_check import described_problems
from qumade.generation.files_check import ADDED, Audit, Problem
from qumade.generation.redraw import plan_again, redraw
from qumade.generation.shards import quadrants_of
from qumade.io.config import parse_yaml
from qumade.io.pictures import one_line
from qumade.io.progress import progress_bar
from qumade.io.storage import LocalFiles, Storage, read_whole
from qumade.plan.indices import stratified_indices
from qumade.plan.shards import Shard, ShardPlan
from qumade.synth.synthesizer import Synthesizer

__all__ = ["audit_shards"]

_PART_BYTES = 16 * 2**20  # that are read at once
_PLACES = ("tar_offset", "tar_bytes")


def audit_shards(storage: Storage, meta: Metadata, *, fraction: float, progress: bool) -> Audit:
    """Audits the shards of a finished dataset with this dataset.yaml; see `qumade.generation.audit.audit`.

    Every shard is read and hashed. Its rows must be those of the samples that the recipe puts into it, in its order;
    with a `fraction` above 0 all rows are planned again, and that share of the samples is drawn again. Memory holds one
    shard's rows. Raises QumadeError without a readable index.json, or if an asset is missing or has changed.
    """
    dataset = ShardDataset(storage.url)
    entries = parse_index(read_whole(storage, INDEX, INDEX_BYTES), storage.where(INDEX))
    synthesizer, codecs, problems = described_problems(storage, meta)
    samples = meta.shards.samples if meta.shards is not None else 1
    plan = ShardPlan(quadrants_of(synthesizer, meta.samples), samples, synthesizer.recipe.seed)
    problems += [*_listing_problems(storage, entries), *_index_problems(storage, entries, plan)]
    total = len(dataset)
    chosen = stratified_indices(total, math.ceil(total * fraction)) if fraction > 0 else np.zeros(0, np.int64)
    shard_of, first, redrawn = {shard.name: shard for shard in plan}, 0, 0
    bar = progress_bar(total=total, desc="audited", unit="sample", disable=not progress, leave=False)
    for number, entry in enumerate(entries):
        damaged = list(_damage(storage, entry))
        problems += damaged
        shard = shard_of.get(entry.name)
        if not damaged and shard is not None:
            within = chosen[(chosen >= first) & (chosen < first + entry.samples)] - first
            rows = dataset.rows_of_shard(number)
            found = list(_row_problems(storage, synthesizer, plan, shard, entry, rows, planned=fraction > 0))
            problems += found
            if not found:
                rows = rows.drop_columns(list(_PLACES)).cast(manifest_schema(synthesizer)).take(pa.array(within))
                where = one_line(storage.where(entry.parquet))
                positions = (within + first).tolist()
                problems += _member_problems(dataset, rows, positions, where)
                problems += redraw(synthesizer, rows, codecs, dataset, positions, where)
                redrawn += len(within)
        first += entry.samples
        bar.update(entry.samples)
    bar.close()
    same_codecs = all(levels is None for levels in codecs.values())
    root = storage.root if isinstance(storage, LocalFiles) else storage.url
    files = sum(len(meta.folders or {}) * entry.samples for entry in entries)
    return Audit(root, total, files, redrawn, same_codecs, True, tuple(problems))


def _problem(storage: Storage, name: str, problem: str, stem: str = "-") -> Problem:
    return Problem(stem, one_line(storage.where(name)), problem)


def _listing_problems(storage: Storage, entries: tuple[ShardEntry, ...]) -> Iterator[Problem]:
    """Yields files that belong to no dataset, and those that are missing or of another size."""
    for name in sorted(storage.sizes().keys() - {METADATA, INDEX, SHARDS, *ADDED}):
        yield _problem(storage, name, "belongs to no dataset")
    sizes = dict(storage.sizes(SHARDS))
    for entry in entries:
        expected = {entry.tar: entry.tar_bytes, entry.parquet: entry.parquet_bytes}
        expected[entry.hash_file] = len(write_hash_file(entry))
        for name, size in expected.items():
            found = sizes.pop(name.rpartition("/")[2], None)
            if found is None:
                yield _problem(storage, name, "is missing")
            elif found != size and name != entry.hash_file:
                yield _problem(storage, name, f"has {found} bytes; must have {size}")
    for name in sorted(sizes):
        yield _problem(storage, f"{SHARDS}/{name}", "belongs to no shard of index.json")


def _index_problems(storage: Storage, entries: tuple[ShardEntry, ...], plan: ShardPlan) -> Iterator[Problem]:
    """Yields what index.json and the hash files say otherwise than the recipe."""
    names = [entry.name for entry in entries]
    if names != plan.names():
        missing = sorted(set(plan.names()) - set(names))
        unknown = sorted(set(names) - set(plan.names()))
        which = f"lacks {missing[0]}" if missing else f"has {unknown[0]}" if unknown else "has them in another order"
        yield _problem(storage, INDEX, f"lists other shards than the recipe makes: {which}")
    where = storage.where(METADATA)
    metadata: Any = parse_yaml(storage.read(METADATA), METADATA, where)
    expected = recipe_hash(metadata)
    for entry in entries:
        if entry.recipe != expected:
            yield _problem(storage, INDEX, f"has shard {entry.name} of another recipe than {one_line(where)}")


def _damage(storage: Storage, entry: ShardEntry) -> Iterator[Problem]:
    """Yields what the bytes of a shard's files are wrong in. Missing files are found by the listing."""
    try:
        if storage.read(entry.hash_file) != write_hash_file(entry):
            yield _problem(storage, entry.hash_file, f"says otherwise than {INDEX}")
        tar, parquet = (entry.tar, entry.tar_bytes), (entry.parquet, entry.parquet_bytes)
        for (name, size), expected in ((tar, entry.tar_sha256), (parquet, entry.parquet_sha256)):
            if _sha256(storage, name, size) != expected:
                yield _problem(storage, name, "has other bytes than when it was written: its hash differs")
    except DatasetError as error:
        yield Problem("-", one_line(storage.where(entry.name)), f"cannot be read: {error}")


def _sha256(storage: Storage, name: str, size: int) -> str:
    """Returns the hash of a file's first `size` bytes."""
    digest = hashlib.sha256()
    for start in range(0, size, _PART_BYTES):
        digest.update(storage.read(name, start, min(start + _PART_BYTES, size)))
    return digest.hexdigest()


def _row_problems(
    storage: Storage,
    synthesizer: Synthesizer,
    plan: ShardPlan,
    shard: Shard,
    entry: ShardEntry,
    rows: pa.Table,
    *,
    planned: bool,
) -> Iterator[Problem]:
    """Yields what is wrong with the rows of a shard: their columns, their samples and, with `planned`, their values."""
    where = one_line(storage.where(entry.parquet))
    schema = manifest_schema(synthesizer)
    for name in _PLACES:
        schema = schema.append(pa.field(name, pa.int64()))
    if not rows.schema.equals(schema):
        yield Problem("-", where, "has other columns than those that this version writes")
        return
    if (shard.split or "") != entry.split:
        yield Problem("-", where, f"is of split {entry.split!r} in {INDEX}; must be {shard.split!r}")
    indices: NDArray[np.int64] = rows["index"].to_numpy()
    if not np.array_equal(indices, plan.indices(shard)):
        yield Problem("-", where, "has other samples than the recipe puts into this shard")
        return
    if not planned:
        return
    try:
        bare = rows.drop_columns(list(_PLACES)).cast(manifest_schema(synthesizer))
        require_values(bare, len(synthesizer), where)
        yield from plan_again(synthesizer, bare.unify_dictionaries(), where)
    except DatasetError as error:
        yield Problem("-", where, f"cannot be planned again: {error}")


def _member_problems(dataset: ShardDataset, rows: pa.Table, positions: list[int], manifest: str) -> Iterator[Problem]:
    """Yields the samples whose files in the tar are others than those of the dataset's folders and their row."""
    expected = {dataset.extension(folder) for folder in dataset.suffixes} | {"json"}
    for position, row in zip(positions, rows.to_pylist(), strict=True):
        try:
            members = dataset.members(position)
        except DatasetError as error:
            yield Problem(row["stem"], manifest, f"its files cannot be read: {error}")
            continue
        if members.keys() != expected:
            got, wanted = (", ".join(sorted(names)) for names in (members, expected))
            yield Problem(row["stem"], manifest, f"has the files {one_line(got)} in the tar; must have {wanted}")
        elif members["json"] != json_member(row):
            yield Problem(row["stem"], manifest, "its .json in the tar differs from its row")
