"""Writes an imported dataset. Files are written atomically and synced, and dataset.yaml is marked complete last, so the
same call resumes after a kill or a power cut, and repairs a finished import that lost files."""

import hashlib
import io
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qumade.compose.instance_png import instances_png
from qumade.convert.importers.objects import ImportedObjects, numbered
from qumade.convert.importers.records import Labels, Record, Source, refuse_notes
from qumade.data.manifest import IMPORT_SCHEMA, MANIFEST, OBJECT_SCHEMA
from qumade.data.metadata import METADATA, begun_metadata, write_metadata
from qumade.depth.codec import encode_depth
from qumade.errors import DatasetError
from qumade.io.config import DATASET_BYTES, read_yaml
from qumade.io.decode import CONVERTED, PNG_END, decode_grey, decode_rgb
from qumade.io.encode import png_bytes
from qumade.io.files import ends_with, only_one, open_regular, remove_temporary_files, sync_filesystem, write_bytes
from qumade.io.pictures import UnusablePicture, content_hash, printable, read_picture
from qumade.io.progress import progress_bar

__all__ = ["ImportSummary", "read_image", "write_import"]

PNG_LEVEL = 1
ROW_GROUP = 10_000  # as the generator writes them
PNG_START = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class ImportSummary:
    """The result of `write_import`: `written` of the `samples` were written by this call; `splits` counts the samples
    by split, "" for unknown; `folders` are those on disk; `notes` say what was left out or is unknown."""

    root: str
    samples: int
    written: int
    splits: dict[str, int]
    folders: tuple[str, ...]
    notes: tuple[str, ...] = ()


def write_import(
    source: Source, out: Path, *, strict: bool = False, workers: int | None = None, progress: bool = True
) -> ImportSummary:
    """Write a dataset into a new or empty folder, or finish one that the same call started there.

    JPEG and 8-bit PNG images are copied byte for byte; others are converted to PNG with equal pixels. dataset.yaml
    holds a hash of all images and labels, so that one made of others is not taken for this one. Raises QumadeError for
    a folder that holds anything else, for the first image that is torn or differs in size from its labels, and with
    `strict` for the first note of the source.
    """
    if strict:
        refuse_notes(source)
    out = out.absolute()
    folders = ("images", *source.folders)
    description = _metadata(source, out, folders, _inputs_hash(source, workers or os.cpu_count() or 1, progress))
    splits = dict(Counter(record.split for record in source.records))
    summary = ImportSummary(str(out), len(source.records), 0, splits, folders, source.notes)
    with only_one(out, "importing"):
        _require_same_inputs(source, out, description)
        before = begun_metadata(out, description, "qumade import")
        if before is not None and before["complete"] and _all_there(source, out):
            return summary
        write_metadata(out, description | {"complete": False, "samples": len(source.records)})
        for folder in folders:  # after dataset.yaml: a folder with anything but it is not taken for one of ours
            (out / folder).mkdir(exist_ok=True)
            remove_temporary_files(out / folder)
        sizes, written, objects = _write_records(source, out, workers or os.cpu_count() or 1, progress)
        _write_manifest(source, out, objects)
        _sync(out)
        size = {"size": list(next(iter(sizes)))} if len(sizes) == 1 else {}
        write_metadata(out, description | {"complete": True, "samples": len(source.records)} | size)
    return replace(summary, written=written)


def read_image(record: Record) -> tuple[NDArray[np.uint8], bytes | None]:
    """Return a record's image, uint8 [H, W, 3], and the bytes of its file if a dataset copies it: None where the image
    must become PNG. Raises QumadeError naming a file that is torn or of another format."""
    if not isinstance(record.image, Path):
        return record.image(), None
    data = read_picture(record.image)
    if _is_copied(record):
        return decode_rgb(data, record.image), data
    return decode_rgb(data, record.image, CONVERTED), None


def _inputs_hash(source: Source, workers: int, progress: bool) -> str:
    """Return the SHA-256 of the content of all files that the dataset is made of, with their names below the root, and
    of the stem and split of each sample, which may come from the names of folders."""
    images = (record.image for record in source.records if isinstance(record.image, Path))
    labels = (path for record in source.records for path in record.inputs)
    paths = sorted({*source.inputs, *images, *labels})
    with ThreadPoolExecutor(workers) as pool:
        hashes = progress_bar(pool.map(_hash, paths), "inputs", len(paths), unit=" files", disable=not progress)
        lines = [f"{os.path.relpath(path, source.root)}\0{found}\n" for path, found in zip(paths, hashes, strict=True)]
    lines += [f"{record.stem}\0{record.split}\0{record.source}\n" for record in source.records]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _hash(path: Path) -> str:
    """Return the hash of a file, which may be empty: YOLO lists no object so."""
    return "" if path.is_file() and path.stat().st_size == 0 else content_hash(path)


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
        for future in progress_bar(futures, "import", unit=" images", disable=not progress):
            size, new, found = future.result()
            sizes.add(size)
            objects.append(found)
            written += new
    finally:
        pool.shutdown(cancel_futures=True)
    return sizes, written, objects


def _write_record(record: Record, source: Source, out: Path) -> tuple[tuple[int, int], bool, ImportedObjects | None]:
    paths, image_path = _paths(record, source, out)
    size = _size_if_whole(record, paths, image_path)
    if size is not None:
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
    write_bytes(image_path, copied or png_bytes(image, PNG_LEVEL))
    return (shape[1], shape[0]), True, objects


def _paths(record: Record, source: Source, out: Path) -> tuple[dict[str, Path], Path]:
    """Return the paths of a record's labels by folder, and of its image."""
    labels = {folder: out / folder / f"{record.stem}.png" for folder in source.folders}
    return labels, out / "images" / f"{record.stem}{record.suffix}"


def _all_there(source: Source, out: Path) -> bool:
    """Return whether no file of a finished import is missing, empty or cut short, as after a disk was rolled back."""
    if not (out / MANIFEST).is_file():
        return False
    try:
        for record in source.records:
            labels, image = _paths(record, source, out)
            pngs = [*labels.values()]
            if _is_copied(record) and isinstance(record.image, Path):
                if image.stat().st_size != record.image.stat().st_size:
                    return False
            else:
                pngs.append(image)
            if not all(ends_with(path, PNG_END) for path in pngs):
                return False
    except OSError:
        return False
    return True


def _size_if_whole(record: Record, labels: dict[str, Path], image: Path) -> tuple[int, int] | None:
    """Return (width, height) of a sample that an earlier call wrote wholly, None if anything of it is missing or torn.

    After a power cut a file may exist and hold nothing, so files are decoded; a copied image is compared with its
    source.
    """
    if not all(path.is_file() for path in (*labels.values(), image)):
        return None
    try:
        data = read_picture(image)
        if _is_copied(record) and isinstance(record.image, Path) and data != read_picture(record.image):
            return None
        height, width = decode_rgb(data, image).shape[:2]
        sizes = {decode_grey(read_picture(path), path).shape for path in labels.values()}
    except UnusablePicture:
        return None
    return (width, height) if sizes <= {(height, width)} else None


def _is_copied(record: Record) -> bool:
    """Return whether the file of an image is copied: a JPEG or a PNG, whatever its name says."""
    if not isinstance(record.image, Path):
        return False
    with open_regular(record.image) as file:
        return file.read(len(PNG_START)).startswith((b"\xff\xd8", PNG_START))


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        sync_filesystem(opened)
    finally:
        os.close(opened)


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


def _require_same_inputs(source: Source, out: Path, description: dict[str, Any]) -> None:
    """Refuse a dataset of the same call whose images or labels have changed since: what it holds may be wrong now."""
    path = out / METADATA
    found = read_yaml(path, METADATA, at_most=DATASET_BYTES) if path.is_file() else None
    there = found.get("import") if isinstance(found, dict) else None
    inputs = {"inputs_sha256": description["import"]["inputs_sha256"]}
    if isinstance(there, dict) and there | inputs == description["import"] and there != description["import"]:
        raise DatasetError(
            f"Invalid --out: got {printable(out)}, made of other images or labels than {printable(source.root)} holds "
            "now; must be a new folder, or removed to import again"
        )


def _metadata(source: Source, out: Path, folders: tuple[str, ...], inputs: str) -> dict[str, Any]:
    """Return the content of dataset.yaml without `complete`, `samples` and `size`."""
    suffixes = {record.suffix for record in source.records}
    root = Path(os.path.relpath(source.root.absolute(), out)).as_posix()
    made = {"dataset": source.name, "root": root, "classes": list(source.classes), "samples": len(source.records)}
    made["inputs_sha256"] = inputs
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
        "uncertain": [record.uncertain for record in source.records],
    }
    schema = IMPORT_SCHEMA
    if "instances" in source.folders:
        schema = OBJECT_SCHEMA
        columns["objects"] = [[] if found is None else found.rows(source.classes) for found in objects]
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=schema), buffer, write_page_checksum=True, row_group_size=ROW_GROUP)
    write_bytes(out / MANIFEST, buffer.getvalue())
