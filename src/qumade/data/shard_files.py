"""The files of a sharded dataset, and the text in those that describe others.

    dataset.yaml                          as that of a folder, and `shards`
    index.json                            the shards, one entry each
    shards/train-000000.tar               the files of its samples: STEM.image.jpg, STEM.mask.jpg, ..., STEM.json
    shards/train-000000.parquet           its rows of the manifest, and where each sample is in the tar
    shards/train-000000.sha256            the hashes of both; `sha256sum -c` reads it too

A shard counts when its .sha256 file is there, which is written last.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import pyarrow as pa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr, model_validator

from qumade.errors import DatasetError
from qumade.io.config import parse_model, wrong_field
from qumade.io.tar import tar_member
from qumade.plan.shards import split_slug

__all__ = [
    "INDEX",
    "INDEX_BYTES",
    "SHARDS",
    "SHARD_BYTES",
    "ShardEntry",
    "extension",
    "index_text",
    "json_member",
    "located",
    "parse_index",
    "read_hash_file",
    "sample_members",
    "write_hash_file",
]

INDEX = "index.json"
SHARDS = "shards"
_FIELDS = {"images": "image", "masks": "mask"}
SHARD_BYTES = 256 * 2**20
"""About how large a tar is by default."""

INDEX_BYTES = 1 << 30
"""The most that an index.json may hold: some hundred bytes a shard."""

_FORMAT = "qumade-index/1"
_MARK = "# "

Count = Annotated[int, Field(ge=0, strict=True)]


def _like(pattern: str, must_be: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(must_be)
        return text

    return AfterValidator(check)


Sha256 = Annotated[StrictStr, _like("[0-9a-f]{64}", "64 hexadecimal digits")]
# Part of paths: nothing in it may lead out of the folder.
ShardStem = Annotated[StrictStr, _like("[a-z]+(-[a-z]+)?-[0-9]{6,9}", "a split and a number, as train-000000")]


class ShardEntry(BaseModel):
    """One shard: the stem of its files, its split ("" where it has none), its number of samples, sizes in bytes,
    hashes, and counts over its samples, which add up to those of the dataset. `recipe` identifies recipe, assets and
    encoding."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ShardStem
    split: StrictStr
    samples: Count
    tar_bytes: Count
    parquet_bytes: Count
    tar_sha256: Sha256
    parquet_sha256: Sha256
    recipe: Sha256
    counts: dict[StrictStr, Count] = {}

    @model_validator(mode="after")
    def _of_its_split(self) -> Self:
        if self.name.rpartition("-")[0] != split_slug(self.split):
            raise wrong_field("split", f"that of the shard's name, {self.name}")
        return self

    @property
    def tar(self) -> str:
        """The name of the tar file, relative to the dataset."""
        return f"{SHARDS}/{self.name}.tar"

    @property
    def parquet(self) -> str:
        """The name of the file with the rows of the manifest, relative to the dataset."""
        return f"{SHARDS}/{self.name}.parquet"

    @property
    def hash_file(self) -> str:
        """The name of the file with the hashes, relative to the dataset."""
        return f"{SHARDS}/{self.name}.sha256"


def extension(folder: str, suffix: str) -> str:
    """Return what the name of a folder's file ends in within a tar: images/STEM.jpg is STEM.image.jpg."""
    return f"{_FIELDS.get(folder, folder)}{suffix}"


def write_hash_file(entry: ShardEntry) -> bytes:
    """Return the text of a shard's .sha256 file: the entry as a comment, two lines of `sha256sum`, and the hash of
    these three as a comment."""
    lines = [
        _MARK + json.dumps(entry.model_dump(), separators=(",", ":"), sort_keys=True),
        f"{entry.tar_sha256}  {entry.name}.tar",
        f"{entry.parquet_sha256}  {entry.name}.parquet",
    ]
    text = "".join(f"{line}\n" for line in lines).encode()
    return text + f"{_MARK}{hashlib.sha256(text).hexdigest()}\n".encode()


def read_hash_file(data: bytes, where: str) -> ShardEntry:
    """Return the entry in a .sha256 file. Raises QumadeError naming the file where it is torn or has been changed."""
    try:
        first = data.decode().partition("\n")[0]
        values = json.loads(first.removeprefix(_MARK)) if first.startswith(_MARK) else None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise DatasetError(f"Invalid hash file: got no entry of a shard in {where}; must be as it was written")
    entry = parse_model(ShardEntry, values, where, what="hash file")
    if write_hash_file(entry) != data:
        raise DatasetError(f"Invalid hash file: got lines that disagree in {where}; must be as it was written")
    return entry


def index_text(entries: Iterable[ShardEntry]) -> Iterable[bytes]:
    """Yield the parts of index.json, one line for each shard."""
    yield b'{"format":"%s","shards":[\n' % _FORMAT.encode()
    separator = b""
    for entry in entries:
        yield separator + json.dumps(entry.model_dump(), separators=(",", ":"), sort_keys=True).encode()
        separator = b",\n"
    yield b"\n]}\n"


class _Index(BaseModel):
    model_config = ConfigDict(frozen=True)

    format: Literal["qumade-index/1"]
    shards: tuple[ShardEntry, ...]


def parse_index(data: bytes, where: str) -> tuple[ShardEntry, ...]:
    """Return the entries of an index.json. Raises QumadeError naming the file and the first wrong value."""
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"Invalid {INDEX}: got no JSON in {where} ({error}); must be as it was written") from None
    index = parse_model(_Index, values, where, what=INDEX)
    names = [entry.name for entry in index.shards]
    if len(set(names)) < len(names):
        twice = next(name for n, name in enumerate(names) if name in names[:n])
        raise DatasetError(f"Invalid {INDEX}: got shard {twice} twice in {where}; must be there once")
    return index.shards


def json_member(row: Mapping[str, Any]) -> bytes:
    """Return a row of the manifest as JSON; an unknown number is null."""
    try:
        return json.dumps(row, separators=(",", ":"), allow_nan=False).encode()
    except ValueError:
        return json.dumps(_without_nan(row), separators=(",", ":"), allow_nan=False).encode()


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    return [_without_nan(part) for part in value] if isinstance(value, list) else value


def sample_members(stem: str, parts: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a sample's members, one after the other; `parts` are the extensions, as mask.jpg, and the contents."""
    return b"".join(tar_member(f"{stem}.{extension}", content) for extension, content in parts)


def located(rows: pa.Table, lengths: Sequence[int]) -> pa.Table:
    """Return rows of the manifest with the columns `tar_offset` and `tar_bytes`, the place of each sample in its tar.

    `lengths` are the bytes of the samples' members, in the order of the rows.
    """
    sizes = pa.array(lengths, pa.int64())
    ends, offsets = 0, []
    for length in lengths:
        offsets.append(ends)
        ends += length
    return rows.append_column("tar_offset", pa.array(offsets, pa.int64())).append_column("tar_bytes", sizes)
