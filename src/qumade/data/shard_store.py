"""The state of a sharded dataset in a storage: what has been begun, which shards are there, and how it is finished.

The listing is the journal: a shard is there when its hash file is, which is written after the shard, and names its size
and what it was made of. index.json and `complete: true` in dataset.yaml come last.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from qumade.data.metadata import METADATA, metadata_text
from qumade.data.shard_files import INDEX, INDEX_BYTES, SHARDS, ShardEntry, index_text, parse_index, read_hash_file
from qumade.errors import ConfigError, DatasetError
from qumade.io.config import DATASET_BYTES, parse_yaml
from qumade.io.storage import Storage, read_whole
from qumade.recipe import place_fields, recipe_from_dict, recipe_to_dict

__all__ = ["begun", "finish", "is_there", "journal", "lost_shards", "recipe_hash", "recorded_samples", "write"]

_READERS = 16
_HASH_BYTES = 1 << 20


def recipe_hash(metadata: Mapping[str, Any]) -> str:
    """Returns a hash of everything in a dataset.yaml that decides the bytes of its shards: not where the assets lie."""
    values: dict[str, Any] = {}
    if metadata.get("recipe"):  # an imported dataset has none
        recipe = recipe_from_dict(dict(metadata["recipe"]), "dataset.yaml", Path("/"))
        paths = place_fields(recipe)
        values = {name: value for name, value in recipe_to_dict(recipe, None).items() if name not in paths}
    kept = {key: value for key, value in metadata.items() if key not in ("recipe", "complete")}
    return hashlib.sha256(json.dumps([kept, values], sort_keys=True).encode()).hexdigest()


def begun(storage: Storage, command: str) -> dict[str, Any] | None:
    """Returns the content of the dataset.yaml in a storage, None in an empty one.

    Raises QumadeError where other files are there without one. `command` makes such datasets.
    """
    names = storage.sizes()
    if METADATA in names:
        found = parse_yaml(read_whole(storage, METADATA, DATASET_BYTES), METADATA, storage.where(METADATA))
        if not isinstance(found, dict):
            raise DatasetError(f"Invalid {METADATA}: {storage.where(METADATA)} describes no dataset; must be a mapping")
        return found
    if names:
        raise DatasetError(
            f"Invalid --out: {storage.url} is not empty and holds no {METADATA} (but {min(names)!r}); must be a new or "
            f"empty folder, or one that `{command}` has begun"
        )
    return None


def recorded_samples(found: Mapping[str, Any] | None) -> int | None:
    """Returns the samples of a shard that a dataset.yaml records, if one was begun and does."""
    shards = found.get("shards") if found else None
    samples = shards.get("samples") if isinstance(shards, dict) else None
    return samples if isinstance(samples, int) else None


def journal(storage: Storage, recipe: str) -> dict[str, ShardEntry]:
    """Returns the shards that are there, by name: those with a hash file that fits the recipe and both files' sizes.

    Raises QumadeError for shards of another recipe.
    """
    sizes = storage.sizes(SHARDS)
    names = [name.removesuffix(".sha256") for name in sizes if name.endswith(".sha256")]
    found = {}
    with ThreadPoolExecutor(_READERS) as pool:
        for name, entry in zip(names, pool.map(partial(_entry, storage), names), strict=True):
            if entry is None or entry.name != name:
                continue  # torn; it is drawn again
            if entry.recipe != recipe:
                raise DatasetError(
                    f"Invalid --out: got a shard of another recipe, {storage.where(entry.hash_file)}; must be an empty "
                    "folder, or hold shards of this recipe only"
                )
            if is_there(entry, sizes):
                found[name] = entry
    return found


def finish(storage: Storage, metadata: Mapping[str, Any], entries: Iterable[ShardEntry]) -> None:
    """Writes index.json and, last, dataset.yaml."""
    write(storage, INDEX, index_text(entries))
    write(storage, METADATA, [metadata_text(dict(metadata))])


def is_there(entry: ShardEntry, sizes: Mapping[str, int]) -> bool:
    """Returns whether the files of a shard are among those of the folder of shards, with their sizes."""
    found = sizes.get(f"{entry.name}.tar"), sizes.get(f"{entry.name}.parquet")
    return found == (entry.tar_bytes, entry.parquet_bytes) and f"{entry.name}.sha256" in sizes


def lost_shards(storage: Storage, names: Collection[str]) -> set[str]:
    """Returns those of the shards of a finished dataset that are not there any more, or not with the sizes that
    index.json says; all of them without a readable index.json."""
    if not storage.exists(INDEX):
        return set(names)
    try:
        index = read_whole(storage, INDEX, INDEX_BYTES)
        entries = {entry.name: entry for entry in parse_index(index, storage.where(INDEX))}
    except (ConfigError, DatasetError):  # torn
        return set(names)
    sizes = storage.sizes(SHARDS)
    return {name for name in names if name not in entries or not is_there(entries[name], sizes)}


def write(storage: Storage, name: str, parts: Iterable[bytes]) -> None:
    """Writes a file that appears when it is whole."""
    with storage.new(name) as file:
        for part in parts:
            file.write(part)


def _entry(storage: Storage, name: str) -> ShardEntry | None:
    where = f"{SHARDS}/{name}.sha256"
    data = read_whole(storage, where, _HASH_BYTES)
    try:
        return read_hash_file(data, storage.where(where))
    except (ConfigError, DatasetError):
        return None
