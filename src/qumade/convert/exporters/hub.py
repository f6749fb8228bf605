"""Hugging Face datasets: parquet files of images, masks, depth and objects, which `load_dataset` reads."""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from qumade.convert.exporters.samples import Chunk
from qumade.data.folder import FolderDataset
from qumade.io.files import write_bytes

__all__ = ["Hub", "describe_for_hub"]

_COLUMNS = {"images": "image", "masks": "mask", "depth": "depth", "ignore": "ignore", "instances": "instances"}
_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_BOXES = ("visible_box", "box")
_NUMBERS = ("visible_fraction", "inverse_depth")
_OBJECT = pa.struct(
    [
        ("class", pa.int64()),
        ("visible_box", pa.list_(pa.int32())),
        ("box", pa.list_(pa.float64())),
        *((name, pa.float32()) for name in _NUMBERS),
    ]
)


@dataclass(frozen=True)
class Hub:
    """Writes data/SPLIT-NNNNN.parquet and README.md. Every file of a sample is carried byte for byte."""

    out: Path
    classes: tuple[str, ...]
    folders_of_dataset: tuple[str, ...]
    has_objects: bool
    description: str

    def folders(self, splits: Iterable[str]) -> list[str]:
        """Return the folders to make."""
        return ["data"]

    def export(self, chunk: Chunk) -> None:
        """Write a chunk as one parquet file, whose name is that of its first sample."""
        path = self.out / "data" / f"{chunk.split}-{int(chunk.positions[0]):07d}.parquet"
        if path.exists():
            return
        stems = [str(stem) for stem in chunk.dataset.stems]
        columns: dict[str, Any] = {"stem": stems}
        for folder in self.folders_of_dataset:
            columns[_COLUMNS[folder]] = [
                {"bytes": chunk.dataset.content(folder, n), "path": chunk.dataset.file_name(folder, n)}
                for n in range(len(chunk))
            ]
        if chunk.objects is not None:
            columns["objects"] = [_objects(chunk, n) for n in range(len(chunk))]
        buffer = io.BytesIO()
        # Pictures are compressed already. Small row groups, because readers decode a whole one for one sample.
        pq.write_table(pa.table(columns, schema=self._schema()), buffer, compression="none", row_group_size=100)
        write_bytes(path, buffer.getvalue())

    def collect(self, split: str, chunks: Iterable[None]) -> None:
        """Wait for the samples of a split."""
        for _ in chunks:
            pass

    def finish(self, splits: Sequence[str]) -> None:
        """Write README.md, whose head names the files of each split."""
        files = [{"split": split, "path": f"data/{split}-*.parquet"} for split in splits]
        head = yaml.safe_dump({"configs": [{"config_name": "default", "data_files": files}]}, sort_keys=False)
        write_bytes(self.out / "README.md", f"---\n{head}---\n\n{self.description}".encode())

    def _schema(self) -> pa.Schema:
        features: dict[str, Any] = {"stem": {"dtype": "string", "_type": "Value"}}
        fields = [pa.field("stem", pa.string())]
        for folder in self.folders_of_dataset:
            features[_COLUMNS[folder]] = {"_type": "Image"}
            fields.append(pa.field(_COLUMNS[folder], _PICTURE))
        if self.has_objects:
            sides = {"visible_box": "int32", "box": "float64"}
            features["objects"] = [
                {"class": {"names": list(self.classes), "_type": "ClassLabel"}}
                | {name: [{"dtype": sides[name], "_type": "Value"}] for name in _BOXES}
                | {name: {"dtype": "float32", "_type": "Value"} for name in _NUMBERS}
            ]
            fields.append(pa.field("objects", pa.list_(_OBJECT)))
        return pa.schema(fields, {"huggingface": json.dumps({"info": {"features": features}})})


def _objects(chunk: Chunk, n: int) -> list[dict[str, Any]]:
    objects = chunk.objects
    if objects is None:
        return []
    own = objects.of(n)
    rows = zip(*(getattr(objects, name)[own].tolist() for name in ("class_number", *_BOXES, *_NUMBERS)), strict=True)
    return [dict(zip(("class", *_BOXES, *_NUMBERS), row, strict=True)) for row in rows]


def describe_for_hub(dataset: FolderDataset, classes: Sequence[str]) -> str:
    """Return the text of README.md: what the columns mean."""
    lines = [f"# {dataset.name}", "", "A dataset of QuMaDe.", "", "- `image`: RGB"]
    if dataset.has_masks:
        lines.append("- `mask`: coverage by objects, 0 background, 255 object")
    if dataset.depth_encoding is not None:
        code = json.dumps(dataset.depth_encoding.model_dump(mode="json", exclude_none=True))
        lines.append(f"- `depth`: grey levels, encoded as {code}")
    if dataset.has_ignore:
        lines.append("- `ignore`: pixels that no loss and no metric counts")
    if dataset.has_instances:
        lines.append(f"- `instances`: 0 none, k the k-th entry of `objects`; classes: {', '.join(classes)}")
        lines.append("- `objects`: boxes are left, top, width and height in pixels, NaN where unknown")
    return "\n".join([*lines, ""])
