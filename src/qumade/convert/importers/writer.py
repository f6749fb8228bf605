"""Writes an imported dataset. Files are written atomically, and dataset.yaml is marked complete last, so the same call
resumes after a kill."""

import io
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image
from tqdm.auto import tqdm

from qumade.compose.instance_png import instances_png
from qumade.convert.importers.objects import ImportedObjects, numbered
from qumade.convert.importers.records import Labels, Record, Source
from qumade.data.manifest import IMPORT_SCHEMA, MANIFEST, OBJECT_SCHEMA
from qumade.data.metadata import begun_metadata, write_metadata
from qumade.depth.codec import encode_depth
from qumade.io.decode import Format, decode_rgb
from qumade.io.encode import png_bytes
from qumade.io.files import remove_temporary_files, write_bytes
from qumade.io.pictures import read_picture

__all__ = ["ImportSummary", "read_image", "write_import"]

PNG_LEVEL = 1
CONVERTED: tuple[Format, ...] = ("BMP", "PPM", "WEBP")


@dataclass(frozen=True)
class ImportSummary:
    """The result of `write_import`: `written` of the `samples` were written by this call; `splits` counts the samples
    by split, "" for unknown; `folders` are those on disk."""

    root: str
    samples: int
    written: int
    splits: dict[str, int]
    folders: tuple[str, ...]


def write_import(source: Source, out: Path, *, workers: int | None = None, progress: bool = True) -> ImportSummary:
    """Write a dataset into a new or empty folder, or finish one that the same call started there.

    JPEG and 8-bit PNG images are copied byte for byte; others are converted to PNG with equal pixels. Raises
    QumadeError for a folder that holds anything else, and for the first image that is torn or differs in size from its
    labels.
    """
    out = out.absolute()
    folders = ("images", *source.folders)
    description = _metadata(source, out, folders)
    summary = ImportSummary(
        str(out), len(source.records), 0, dict(Counter(record.split for record in source.records)), folders
    )
    before = begun_metadata(out, description, "qumade import")
    if before is not None and before["complete"]:
        return summary
    for folder in folders:
        (out / folder).mkdir(parents=True, exist_ok=True)
        remove_temporary_files(out / folder)
    write_metadata(out, description | {"complete": False, "samples": len(source.records)})
    sizes, written, objects = _write_records(source, out, workers or os.cpu_count() or 1, progress)
    _write_manifest(source, out, objects)
    size = {"size": list(next(iter(sizes)))} if len(sizes) == 1 else {}
    write_metadata(out, description | {"complete": True, "samples": len(source.records)} | size)
    return ImportSummary(summary.root, summary.samples, written, summary.splits, folders)


def read_image(record: Record) -> tuple[NDArray[np.uint8], bytes | None]:
    """Return a record's image, uint8 [H, W, 3], and the bytes of its file if a dataset copies it: None where the image
    must become PNG. Raises QumadeError naming a file that is torn or of another format."""
    if not isinstance(record.image, Path):
        return record.image(), None
    data = read_picture(record.image)
    if record.image.suffix.lower() == record.suffix:
        return decode_rgb(data, record.image), data
    return decode_rgb(data, record.image, CONVERTED), None


def _write_records(
    source: Source, out: Path, workers: int, progress: bool
) -> tuple[set[tuple[int, int]], int, list[ImportedObjects | None]]:
    """Write missing samples; return the sizes (width, height) of all images, the number of samples written, and the
    objects of each sample if the dataset has instances/."""
    objects: list[ImportedObjects | None] = []
    sizes: set[tuple[int, int]] = set()
    written = 0
    pool = ThreadPoolExecutor(workers)
    try:
        futures = [pool.submit(_write_record, record, source, out) for record in source.records]
        for future in tqdm(futures, "import", unit=" images", disable=not progress):
            size, new, found = future.result()
            sizes.add(size)
            objects.append(found)
            written += new
    finally:
        pool.shutdown(cancel_futures=True)
    return sizes, written, objects


def _write_record(record: Record, source: Source, out: Path) -> tuple[tuple[int, int], bool, ImportedObjects | None]:
    paths = {folder: out / folder / f"{record.stem}.png" for folder in source.folders}
    image_path = out / "images" / f"{record.stem}{record.suffix}"
    if all(path.is_file() for path in (*paths.values(), image_path)):
        with Image.open(image_path) as picture:  # reads only the header
            size = picture.size
        again = numbered(record.read_labels((size[1], size[0])))[1] if "instances" in source.folders else None
        return size, False, again
    image, copied = read_image(record)
    shape = image.shape[:2]
    labels = record.read_labels((shape[0], shape[1]))
    objects = None
    if "instances" in source.folders:
        numbers, objects = numbered(labels)
        write_bytes(paths.pop("instances"), instances_png(numbers))
    for folder, path in paths.items():
        write_bytes(path, png_bytes(_pixels(folder, labels, source, shape), PNG_LEVEL))
    # Last: an existing image implies that its labels exist.
    write_bytes(image_path, copied or png_bytes(image, PNG_LEVEL))
    return (shape[1], shape[0]), True, objects


def _pixels(folder: str, labels: Labels, source: Source, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a label as it is stored, [H, W]; a missing label is unknown everywhere."""
    if folder == "depth":
        inverse = np.full(shape, np.nan, np.float32) if labels.inverse_depth is None else labels.inverse_depth
        if source.depth is None:
            raise ValueError("depth without an encoding")
        return encode_depth(inverse, source.depth)[0]
    if folder == "masks":
        return np.zeros(shape, np.uint8) if labels.mask is None else labels.mask
    return np.zeros(shape, bool) if labels.ignore is None else labels.ignore


def _metadata(source: Source, out: Path, folders: tuple[str, ...]) -> dict[str, Any]:
    """Return the content of dataset.yaml without `complete`, `samples` and `size`."""
    suffixes = {record.suffix for record in source.records}
    root = Path(os.path.relpath(source.root.absolute(), out)).as_posix()
    made = {"dataset": source.name, "root": root, "classes": list(source.classes), "samples": len(source.records)}
    content: dict[str, Any] = {"format": "qumade-dataset/1", "import": made | source.options}
    if "instances" in source.folders:
        content["classes"] = list(source.classes)
    if source.depth is not None:
        content["depth"] = source.depth.model_dump(mode="json", exclude_none=True)
    # With several suffixes the folder of images has no single setting; instances/ needs one to be read.
    if len(suffixes) == 1:
        (suffix,) = suffixes
        png = {"suffix": ".png", "format": "png"}
        image = png if suffix == ".png" else {"suffix": suffix, "format": "jpeg"}
        content["folders"] = {folder: dict(image if folder == "images" else png) for folder in folders}
    return content


def _write_manifest(source: Source, out: Path, objects: list[ImportedObjects | None]) -> None:
    columns: dict[str, Any] = {
        "index": range(len(source.records)),
        "stem": [record.stem for record in source.records],
        "split": pa.array([record.split for record in source.records]).dictionary_encode(),
        "source": [record.source for record in source.records],
    }
    schema = IMPORT_SCHEMA
    if "instances" in source.folders:
        schema = OBJECT_SCHEMA
        columns["objects"] = [[] if found is None else found.rows(source.classes) for found in objects]
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=schema), buffer)
    write_bytes(out / MANIFEST, buffer.getvalue())
