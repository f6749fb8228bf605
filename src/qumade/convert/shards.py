"""Converts a dataset in a folder to shards, and back. Nothing is decoded: the files stay as they are."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qumade.data.folder import FolderDataset
from qumade.data.manifest import (
    IMPORT_SCHEMA,
    INSTANCE_SCHEMA,
    MANIFEST,
    MANIFEST_SCHEMA,
    OBJECT_SCHEMA,
    read_manifest,
)
from qumade.data.metadata import METADATA, metadata_text, refuse_other
from qumade.data.shard_files import SHARD_BYTES, extension
from qumade.data.shard_store import begun, finish, journal, recipe_hash, recorded_samples
from qumade.data.shard_writer import ShardWriter
from qumade.data.shards import ShardDataset
from qumade.depth.encoding import UNDESCRIBED_DEPTH
from qumade.errors import DatasetError
from qumade.io.config import parse_yaml
from qumade.io.files import new_file, new_folder, only_one, write_bytes
from qumade.io.progress import progress_bar
from qumade.io.storage import LocalFiles, open_storage
from qumade.plan.indices import stratified_indices
from qumade.plan.shards import ListedQuadrants, Shard, ShardPlan
from qumade.recipe import recipe_from_dict, recipe_to_dict

__all__ = ["folder_to_shards", "shards_to_folder"]

_CHUNK = 128
_ROW_GROUP = 10_000  # as the generator writes them
_PROBED = 64
_SCHEMAS = (MANIFEST_SCHEMA, INSTANCE_SCHEMA, IMPORT_SCHEMA, OBJECT_SCHEMA)
_PLACES = ("tar_offset", "tar_bytes")


def folder_to_shards(
    source: Path | str, out: Path | str, *, samples_per_shard: int | None = None, progress: bool = True
) -> int:
    """Writes the samples of a folder into shards, and returns their number. The same call resumes.

    A dataset that `generate` made becomes the tars that it would have written. A shard holds about 256 MiB by default.
    Raises QumadeError as FolderDataset, and if `out` holds anything but these shards.
    """
    dataset = FolderDataset(source)
    rows = _rows(dataset)
    storage = open_storage(out)
    with only_one(storage.root, "converting") if isinstance(storage, LocalFiles) else nullcontext():
        found = begun(storage, "qumade convert")
        if samples_per_shard is None:
            samples_per_shard = recorded_samples(found) or _samples_of(dataset)
        splits = [split or None for split in dataset.splits.tolist()]
        plan = ShardPlan(ListedQuadrants(np.arange(len(dataset)), splits), samples_per_shard, _seed(dataset))
        metadata = _described(dataset, storage.root if isinstance(storage, LocalFiles) else None)
        metadata["shards"] = {"samples": samples_per_shard}
        if found is not None:
            refuse_other(found, metadata, storage.where(METADATA), storage.url)
        with storage.new(METADATA) as file:
            file.write(metadata_text({**metadata, "complete": False}))
        # Without a recipe, the names of the samples tell two datasets apart.
        recipe = recipe_hash(metadata if metadata.get("recipe") else {**metadata, "stems": dataset.stems.tolist()})
        entries = journal(storage, recipe)
        with progress_bar(total=len(dataset), unit="sample", disable=not progress) as bar:
            for shard in plan:
                if shard.name not in entries:
                    with ShardWriter(storage) as writer:
                        order = _add(writer, dataset, rows, plan, shard)
                        entries[shard.name] = writer.write(shard.name, shard.split, order, recipe, {})
                bar.update(entries[shard.name].samples)
        finish(storage, metadata, [entries[shard.name] for shard in plan])
    return len(dataset)


def shards_to_folder(source: Path | str, out: Path, *, progress: bool = True) -> int:
    """Writes the samples of shards into a new folder, and returns their number. The files are those that were packed.

    Raises QumadeError naming a shard that is torn, and if `out` exists and is not empty.
    """
    dataset = ShardDataset(source)
    where = dataset.storage.where(METADATA)
    metadata: Any = parse_yaml(dataset.storage.read(METADATA), METADATA, where)
    metadata.pop("shards")
    if metadata.get("recipe"):
        folder = dataset.storage.root if isinstance(dataset.storage, LocalFiles) else Path("/")
        metadata["recipe"] = recipe_to_dict(recipe_from_dict(metadata["recipe"], where, folder), out.absolute())
    with new_folder(out, DatasetError) as part:
        for name in dataset.suffixes:
            (part / name).mkdir()
        for position in progress_bar(range(len(dataset)), unit="sample", disable=not progress):
            stem = _safe(str(dataset.stems[position]), dataset.storage.url)
            for name, suffixes in dataset.suffixes.items():
                write_bytes(part / name / f"{stem}{suffixes[position]}", dataset.content(name, position))
        rows = pa.concat_tables(dataset.rows()).drop_columns(list(_PLACES)).unify_dictionaries()
        rows = _as_written(rows.combine_chunks().sort_by("index"))
        if len(rows.schema.names) > len(_bare(0, "", None)):
            with (
                new_file(part / MANIFEST, durable=True) as file,
                pq.ParquetWriter(file, rows.schema, compression="zstd", write_page_checksum=True) as writer,
            ):
                for at in range(0, len(rows), _ROW_GROUP):
                    writer.write_table(rows.slice(at, _ROW_GROUP).combine_chunks(), row_group_size=_ROW_GROUP)
        write_bytes(part / METADATA, metadata_text(metadata), durable=True)
    return len(dataset)


def _add(writer: ShardWriter, dataset: FolderDataset, rows: pa.Table, plan: ShardPlan, shard: Shard) -> Any:
    """Adds the samples of a shard in the order of the folder, and returns the order in which it stores them."""
    stored = plan.indices(shard)
    positions = np.sort(stored)
    for at in range(0, len(positions), _CHUNK):
        chunk = positions[at : at + _CHUNK]
        writer.add(rows.take(pa.array(chunk)), [list(_files(dataset, position)) for position in chunk.tolist()])
    return np.searchsorted(positions, stored)


def _files(dataset: FolderDataset, position: int) -> Iterator[tuple[str, bytes]]:
    for folder, suffixes in dataset.suffixes.items():
        yield extension(folder, str(suffixes[position])), dataset.content(folder, position)


def _rows(dataset: FolderDataset) -> pa.Table:
    """Returns a row for each sample, in the order of the stems: those of the manifest, if there is one for each."""
    if dataset.manifest_path is None:
        return pa.Table.from_pylist(
            [_bare(n, str(stem), None) for n, stem in enumerate(dataset.stems)],
            pa.schema([("index", pa.int64()), ("stem", pa.string()), ("split", pa.string())]),
        )
    rows = pa.concat_tables(read_manifest(dataset.manifest_path)).unify_dictionaries().combine_chunks().sort_by("stem")
    if rows["stem"].to_pylist() != dataset.stems.tolist():
        raise DatasetError(
            f"Invalid manifest: got rows of other samples in {dataset.manifest_path}; must be one for each file stem"
        )
    return _as_written(rows)


def _as_written(rows: pa.Table) -> pa.Table:
    """Returns rows with the schema that the generator writes: Parquet renames the elements of lists."""
    schema = next((known for known in _SCHEMAS if rows.schema.equals(known)), rows.schema)
    return rows.cast(schema)


def _bare(index: int, stem: str, split: str | None) -> dict[str, Any]:
    return {"index": index, "stem": stem, "split": split}


def _described(dataset: FolderDataset, out: Path | None) -> dict[str, Any]:
    """Returns the content of the dataset's dataset.yaml, its paths relative to `out`; a plain folder gets one."""
    if dataset.metadata is not None:
        path = dataset.root / METADATA
        found: Any = parse_yaml(path.read_bytes(), METADATA, str(path))
        if found.get("recipe"):
            found["recipe"] = recipe_to_dict(recipe_from_dict(found["recipe"], str(path), dataset.root), out)
        found["samples"] = len(dataset)
    else:
        found = {"format": "qumade-dataset/1", "complete": True, "samples": len(dataset)}
    if not found.get("folders"):
        found["folders"] = {folder: _suffix(dataset, folder) for folder in dataset.suffixes}
    if dataset.has_depth and not found.get("depth"):
        found["depth"] = UNDESCRIBED_DEPTH.model_dump(mode="json", exclude_none=True)
    return {**found, "complete": True}


def _suffix(dataset: FolderDataset, folder: str) -> dict[str, str]:
    found = sorted({str(suffix).lower() for suffix in np.unique(dataset.suffixes[folder])})
    if len(np.unique(dataset.suffixes[folder])) > 1 or found[0] not in (".jpg", ".jpeg", ".png"):
        raise DatasetError(
            f"Invalid folder: got files ending in {' and '.join(found)} in {dataset.root / folder}; must be of one kind"
        )
    return {"suffix": found[0], "format": "png" if found[0] == ".png" else "jpeg"}


def _samples_of(dataset: FolderDataset) -> int:
    probed = stratified_indices(len(dataset), _PROBED).tolist()
    sample_bytes = sum(len(content) for position in probed for _, content in _files(dataset, position)) / len(probed)
    return max(1, int(SHARD_BYTES / sample_bytes))


def _seed(dataset: FolderDataset) -> int:
    seed = dataset.metadata.recipe.get("seed", 0) if dataset.metadata is not None else 0
    return seed if isinstance(seed, int) else 0


def _safe(stem: str, source: str) -> str:
    if "/" in stem or "\0" in stem or stem in ("", ".", "..") or stem.startswith("."):
        raise DatasetError(f"Invalid manifest: got stem {stem!r} in {source}; must be a file name")
    return stem
