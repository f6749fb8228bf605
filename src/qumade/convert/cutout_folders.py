"""Turns labelled photos into the two folders that a recipe needs: cut-outs, and backgrounds without the object."""

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from qumade.assets.cut_sides import cut_name
from qumade.convert.cutouts import REASONS, Rules, cut_out, find_objects, part_of, rejection, things_in_front
from qumade.convert.importers.records import Labels, Record
from qumade.convert.importers.writer import read_image
from qumade.convert.object_records import records_of_objects
from qumade.data.folder import FolderDataset
from qumade.data.manifest import read_manifest
from qumade.errors import ConfigError, DatasetError
from qumade.io.encode import png_bytes
from qumade.io.files import new_folder, write_bytes
from qumade.io.pictures import printable
from qumade.io.progress import progress_bar

__all__ = ["CutoutSummary", "records_of_dataset", "write_cutouts"]

MAX_STEM_BYTES = 232  # file systems allow names of 255, of which -NN_cut_right.png takes some
MAX_UNLABELLED = 0.25  # share of a photo; above it, the photo may well contain the object


@dataclass(frozen=True)
class CutoutSummary:
    """The result of `write_cutouts`: cut-outs `kept` from `frames` photos, of which `parts` are
    cut on one side, objects `rejected` by rule, and the number
    of `backgrounds` written. With several `classes`, each has a sub-folder, and is counted."""

    foregrounds: str
    frames: int
    splits: tuple[str, ...]
    kept: int
    parts: int
    rejected: dict[str, int]
    backgrounds_folder: str | None
    backgrounds: int
    classes: dict[str, int] = field(default_factory=dict)


class _Frame(NamedTuple):
    kept: Counter[str]
    parts: int
    rejected: Counter[str]
    background: bool


def records_of_dataset(dataset: FolderDataset, classes: Collection[str] = ()) -> list[Record]:
    """Return the samples of a DATA_PATH with masks. Raises QumadeError if `classes` differ from those of its import."""
    if not dataset.has_masks:
        raise DatasetError(f"Invalid dataset: got no masks in {printable(dataset.root)}; must have them to cut out")
    uncertain = _uncertain(dataset)
    if dataset.has_instances:
        return records_of_objects(dataset, classes, uncertain)
    shown = _classes(dataset)
    if classes and shown and set(classes) != shown:
        wanted = f"must be {', '.join(sorted(shown))}, which its masks show"
        raise ConfigError(f"Invalid --class: got {', '.join(classes)} for {printable(dataset.root)}; {wanted}")
    return [
        Record(stem, split, dataset.path("images", stem), stem, partial(_read_sample, dataset, stem), stem in uncertain)
        for stem, split in zip(dataset.stems.tolist(), dataset.splits.tolist(), strict=True)
    ]


def _uncertain(dataset: FolderDataset) -> set[str]:
    """Return the stems of the photos whose ignored pixels may be of the class, as an import has recorded."""
    if dataset.manifest_path is None or dataset.metadata is None or not dataset.metadata.source:
        return set()
    return {
        stem
        for group in read_manifest(dataset.manifest_path)
        if "uncertain" in group.column_names  # imports of earlier versions do not have it
        for stem, may_show in zip(group["stem"].to_pylist(), group["uncertain"].to_pylist(), strict=True)
        if may_show is not False
    }


def _classes(dataset: FolderDataset) -> set[str]:
    """Return the classes that an import has recorded in dataset.yaml."""
    found = None if dataset.metadata is None else dataset.metadata.source.get("classes")
    return {str(name) for name in found} if isinstance(found, list) else set()


def _read_sample(dataset: FolderDataset, stem: str, shape: tuple[int, int]) -> Labels:
    mask = dataset.read_mask(stem)
    dataset.require_equal_size(stem, shape, "masks", mask.shape)
    return Labels(mask=mask, ignore=dataset.read_ignore(stem) if dataset.has_ignore else None)


def write_cutouts(
    records: Iterable[Record],
    out: Path,
    backgrounds: Path | None = None,
    *,
    splits: Collection[str] | None = None,
    stems: Collection[str] | None = None,
    rules: Rules | None = None,
    max_share: float = 0.0,
    workers: int | None = None,
    progress: bool = True,
    classes: Sequence[str] = (),
) -> CutoutSummary:
    """Write complete, unoccluded objects of labelled photos as RGBA PNG into the new or empty folder `out`.

    A file is named FRAME-NN.png after its photo, so all cut-outs of a place can be kept together; FRAME-NN_cut_left.png
    and FRAME-NN_cut_right.png are parts of objects (see `part_of`), which a recipe places accordingly. A longer name
    than 232 bytes is cut. Only photos of
    `splits` are used (by default train if it exists, otherwise all), and of these only `stems` if given. A photo with
    at most the share `max_share` [0, 1) of the class is written into `backgrounds` under its own name. With several
    `classes`, whose numbers are those in the records' `object_classes`, each has a sub-folder of its own.

    Both folders appear only when they are complete. Raises QumadeError if no object can be cut out.
    """
    if not 0 <= max_share < 1:
        raise ConfigError(f"Invalid --max-share: got {max_share}; must be at least 0 and below 1")
    rules = rules or Rules()
    chosen, used = _chosen(list(records), splits, stems)
    folders = [folder.absolute() for folder in (out, backgrounds) if folder is not None]
    if len(set(folders)) < len(folders):
        raise ConfigError(f"Invalid --backgrounds: got {printable(folders[0])}; must differ from --out")
    with ExitStack() as stack:
        partials = [stack.enter_context(new_folder(folder, DatasetError)) for folder in folders]
        pool = stack.enter_context(ThreadPoolExecutor(workers or os.cpu_count() or 1))
        stack.callback(pool.shutdown, cancel_futures=True)
        folders_of_classes = list(classes) if len(classes) > 1 else []
        for name in folders_of_classes:
            (partials[0] / name).mkdir()
        work = partial(_write_frame, partials=partials, rules=rules, max_share=max_share, classes=folders_of_classes)
        results = list(
            progress_bar(pool.map(work, chosen), "cutouts", len(chosen), unit=" photos", disable=not progress)
        )
        rejected = sum((result.rejected for result in results), Counter[str]())
        kept = sum((result.kept for result in results), Counter[str]())
        if not kept:
            counts = ", ".join(f"{rejected[reason]} {reason}" for reason in REASONS)
            raise DatasetError(
                f"Invalid photos: got no usable object in {len(chosen)} ({counts}); must have at least one"
            )
    return CutoutSummary(
        foregrounds=str(folders[0]),
        frames=len(chosen),
        splits=used,
        kept=kept.total(),
        parts=sum(result.parts for result in results),
        rejected={reason: rejected[reason] for reason in REASONS},
        backgrounds_folder=None if backgrounds is None else str(folders[1]),
        backgrounds=sum(result.background for result in results) if backgrounds is not None else 0,
        classes={name: kept[name] for name in folders_of_classes},
    )


def _chosen(
    records: list[Record], splits: Collection[str] | None, stems: Collection[str] | None
) -> tuple[list[Record], tuple[str, ...]]:
    """Return the photos to use, and their splits."""
    known = sorted({record.split for record in records})
    if splits is None:
        splits = ["train"] if "train" in known else known
    for split in splits:
        if split not in known:
            raise ConfigError(f"Invalid --split: got {split!r}; must be one of {', '.join(map(repr, known))}")
    if stems is not None:
        missing = set(stems) - {record.stem for record in records}
        if missing:
            raise ConfigError(f"Invalid stems: got {sorted(missing)[0]!r}; must be stems of the dataset")
    found = [record for record in records if record.split in splits and (stems is None or record.stem in stems)]
    return found, tuple(sorted(splits))


def _short(stem: str) -> str:
    """Return a stem, cut if it is too long to name cut-outs after; then a hash tells it from others."""
    data = os.fsencode(stem)
    if len(data) <= MAX_STEM_BYTES:
        return stem
    return data[: MAX_STEM_BYTES - 9].decode("utf-8", "ignore") + "-" + hashlib.sha256(data).hexdigest()[:8]


def _write_frame(
    record: Record, *, partials: list[Path], rules: Rules, max_share: float, classes: Sequence[str]
) -> _Frame:
    image, copied = read_image(record)
    shape = (image.shape[0], image.shape[1])
    labels = record.read_labels(shape)
    if labels.mask is None:
        raise DatasetError(f"Invalid dataset: got no mask of {record.source}; must have one to cut out objects")
    things = things_in_front(labels, shape)
    rejected: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    parts = 0
    for candidate in find_objects(labels):
        reason, side = rejection(candidate, labels, things, rules), None
        part = (
            part_of(candidate, labels, things, rules) if rules.parts and reason in ("truncated", "occluded") else None
        )
        if part is not None:
            candidate, side = part
            parts += 1
        elif reason is not None:
            rejected[reason] += 1
            continue
        name = classes[(labels.object_classes or {})[candidate.number]] if classes else ""
        kept[name] += 1
        stem = f"{_short(record.stem)}-{kept.total():02d}"
        path = partials[0] / name / f"{stem if side is None else cut_name(stem, side)}.png"
        write_bytes(path, png_bytes(cut_out(image, candidate)))
    free = float((labels.mask >= 128).mean()) <= max_share
    unlabelled = 0.0 if labels.ignore is None else float(labels.ignore.mean())
    background = free and not record.uncertain and unlabelled <= MAX_UNLABELLED
    if background and len(partials) > 1:
        write_bytes(partials[1] / f"{record.stem}{record.suffix}", copied or png_bytes(image))
    return _Frame(kept, parts, rejected, background)
