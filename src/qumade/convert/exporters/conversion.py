"""Converts a dataset to the format of another tool. The same call finishes a conversion that was interrupted."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from qumade.convert.exporters import FormatName
from qumade.convert.exporters.coco import Coco
from qumade.convert.exporters.depth_maps import DepthMaps
from qumade.convert.exporters.hub import Hub, describe_for_hub
from qumade.convert.exporters.samples import Chunk, class_names_of
from qumade.convert.exporters.voc import Voc
from qumade.convert.exporters.yolo import Yolo
from qumade.data.dataset import SPLIT_NAMES
from qumade.data.folder import FolderDataset
from qumade.data.objects import Objects, read_objects
from qumade.data.opening import open_files
from qumade.errors import ConfigError, DatasetError
from qumade.io.config import read_yaml, write_yaml
from qumade.io.files import is_temporary, only_one, remove_temporary_files
from qumade.io.pictures import printable
from qumade.io.processes import cores, mapped
from qumade.io.progress import progress_bar

__all__ = ["ConversionSummary", "convert"]

STATE = "conversion.yaml"
NO_SPLIT = "all"
"""The name of the split of samples whose split is unknown."""
CHUNK = 256


class Format(Protocol):
    """Writes one format. `export` runs in several processes, the rest in this one."""

    def folders(self, splits: Sequence[str]) -> list[str]: ...
    def export(self, chunk: Chunk) -> Any: ...
    def collect(self, split: str, chunks: Iterable[Any]) -> None: ...
    def finish(self, splits: Sequence[str]) -> None: ...


@dataclass(frozen=True)
class ConversionSummary:
    """The result of `convert`: the number of samples by split, the classes, and whether objects are connected parts of
    the mask, because the dataset has no instances/. `complete` if there was nothing left to do."""

    root: str
    format: str
    splits: dict[str, int]
    classes: tuple[str, ...]
    parts: bool
    complete: bool


def convert(
    data_path: Path | str,
    to: FormatName,
    out: Path | str,
    *,
    polygons: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> ConversionSummary:
    """Write a dataset in the format of another tool into a new or empty folder, or finish what the same call began.

    Splits are kept. Images are copied byte for byte. `polygons` (coco only) writes outlines instead of run lengths.
    Raises QumadeError if the dataset lacks what the format needs, if `out` holds anything else, and for the first
    damaged file.
    """
    dataset, out = open_files(data_path), Path(os.path.abspath(out))
    if polygons and to != "coco":
        raise ConfigError(f"Invalid --polygons: got it with {to!r}; must be left out unless the format is coco")
    _require(dataset, to)
    depth_only = to in ("kitti-depth", "ultralytics-depth")
    objects = read_objects(dataset) if dataset.has_instances and not depth_only else None
    classes = class_names_of(dataset)
    names = [name for name in SPLIT_NAMES if len(dataset.positions(name))]
    counts = {_split_name(name): len(dataset.positions(name)) for name in names}
    if to.startswith(("yolo", "ultralytics")) and not {"train", "val"} <= counts.keys():
        have = ", ".join(counts)
        raise DatasetError(
            f"Invalid splits: got {have} in {printable(dataset.root)}; must have train and val, which {to} names in "
            "data.yaml"
        )
    parts = objects is None and not depth_only and to != "hf"
    summary = ConversionSummary(str(out), to, counts, () if depth_only else classes, parts, complete=False)
    writer = _format(to, out, dataset, classes, polygons, objects is not None)
    state = {"format": to, "dataset": str(dataset.root), "samples": len(dataset), "polygons": polygons}
    with only_one(out, "converting"):
        if _begun(out, state):
            return ConversionSummary(summary.root, to, counts, summary.classes, parts, complete=True)
        folders = writer.folders(list(counts))
        write_yaml(state | {"complete": False}, out / STATE)
        for folder in folders:
            (out / folder).mkdir(parents=True, exist_ok=True)
            remove_temporary_files(out / folder)
        chunks = [chunk for name in names for chunk in _chunks(dataset, objects, name)]
        bar = progress_bar(total=len(dataset), desc=to, unit=" samples", disable=not progress)
        with bar, mapped(writer.export, chunks, min(len(chunks), workers or cores())) as results:
            counted = zip(chunks, map(partial(_advance, bar.update), chunks, results), strict=True)
            for split, of_split in groupby(counted, key=lambda pair: pair[0].split):
                writer.collect(split, (result for _, result in of_split))
        writer.finish(list(counts))
        write_yaml(state | {"complete": True}, out / STATE)
    return summary


def _require(dataset: FolderDataset, to: FormatName) -> None:
    if to in ("kitti-depth", "ultralytics-depth"):
        encoding = dataset.depth_encoding
        if encoding is None or encoding.kind != "metric" or encoding.range == "image":
            got = "no depth" if encoding is None else f"depth of kind {encoding.kind or 'unknown'}"
            raise DatasetError(f"Invalid depth: got {got} in {printable(dataset.root)}; must be metric for {to}")
    elif to != "hf" and not (dataset.has_instances or dataset.has_masks):
        raise DatasetError(f"Invalid dataset: got no masks in {printable(dataset.root)}; must have them for {to}")


def _format(
    to: FormatName, out: Path, dataset: FolderDataset, classes: tuple[str, ...], polygons: bool, has_objects: bool
) -> Format:
    if to == "coco":
        return Coco(out, classes, polygons)
    if to == "yolo" or to == "yolo-detect":
        return Yolo(out, classes, "segment" if to == "yolo" else "detect")
    if to == "voc":
        return Voc(out, classes)
    if to == "hf":
        return Hub(out, classes, tuple(dataset.suffixes), has_objects, describe_for_hub(dataset, classes))
    return DepthMaps(out, "kitti" if to == "kitti-depth" else "ultralytics")


def _split_name(name: str) -> str:
    """Return a split as a file name and one word."""
    return name.replace(" ", "_") or NO_SPLIT


def _chunks(dataset: FolderDataset, objects: Objects | None, split: str) -> Iterable[Chunk]:
    positions = dataset.positions(split)
    for start in range(0, len(positions), CHUNK):
        chosen = positions[start : start + CHUNK]
        own = None if objects is None else objects.take(chosen)
        yield Chunk(_split_name(split), chosen, dataset.take(chosen), own)


def _advance(update: Callable[[int], object], chunk: Chunk, result: Any) -> Any:
    update(len(chunk))
    return result


def _begun(out: Path, state: dict[str, Any]) -> bool:
    """Return whether the folder holds this conversion, complete. Raises QumadeError if it holds anything else."""
    path = out / STATE
    if not path.exists():
        strange = [entry.name for entry in out.iterdir() if not is_temporary(entry.name)]
        if strange:
            raise DatasetError(
                f"Invalid --out: {printable(out)} is not empty and holds no {STATE} (but {min(strange)!r}); must be a "
                "new or empty folder, or one that the same command has begun"
            )
        return False
    found = read_yaml(path, STATE)
    found = found if isinstance(found, dict) else {}
    for key, value in state.items():
        if found.get(key) != value:
            raise DatasetError(
                f"Invalid --out: {printable(out)} holds a conversion with {key} {found.get(key)!r}, this one has "
                f"{value!r}; must be equal, or use another folder"
            )
    return found.get("complete") is True
