"""Audits a dataset: are all files present and complete, and do the samples match the recipe?"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from qumade.data.folder import FolderDataset
from qumade.data.manifest import (
    INSTANCE_SCHEMA,
    MANIFEST,
    MANIFEST_SCHEMA,
    read_manifest,
)
from qumade.data.manifest_check import require_values
from qumade.data.metadata import METADATA, Metadata
from qumade.data.statistics import STATISTICS, statistics
from qumade.errors import AssetError, ConfigError, DatasetError
from qumade.generation.description_check import described_problems
from qumade.generation.files_check import Audit, Problem, file_problems, root_problems
from qumade.generation.redraw import plan_again, redraw
from qumade.generation.shard_audit import audit_shards
from qumade.io.config import parse_model, parse_yaml, shown
from qumade.io.files import read_bytes
from qumade.io.pictures import UnusablePicture, printable, read_picture
from qumade.io.progress import progress_bar
from qumade.io.storage import LocalFiles, Storage, open_storage
from qumade.plan.indices import stratified_indices
from qumade.synth.synthesizer import Synthesizer

__all__ = ["Audit", "audit"]

_PLANNED = 4096
_STATISTICS_BYTES = 1 << 20
_UNREADABLE = (AssetError, ConfigError, DatasetError, UnusablePicture)
_BATCH = 256


def audit(path: Path | str, *, fraction: float = 0.01, progress: bool = True) -> Audit:
    """Audits a dataset in a folder, or in shards in a folder or at a URL.

    Finds missing, empty, truncated and unexpected files; plans every sample again and compares it with its row of
    the manifest; redraws a `fraction` of the samples and compares their files; and measures statistics.json again if
    there is one. `fraction` is from 0 to 1; above 0, at least one sample is redrawn; at 0, only files and rows are
    looked at.

    Redrawn files must be equal byte by byte. If the codec that wrote them has another version, decoded JPEGs must agree
    within 2 levels and decoded PNGs exactly; no other setting of a codec may differ. Depth that was predicted from the
    composites is checked for missing and truncated files but not compared: networks do not guarantee equal bytes.
    Of shards, every byte is read and checked against the hashes.
    Raises QumadeError if `path` is not a finished dataset of this package, or if an asset is missing or has changed.
    """
    if not 0 <= fraction <= 1:
        raise ConfigError(f"Invalid fraction: got {fraction}; must be between 0 and 1")
    storage = open_storage(path)
    meta = _finished(storage)
    if meta.shards is not None:
        return audit_shards(storage, meta, fraction=fraction, progress=progress)
    if not isinstance(storage, LocalFiles):
        raise DatasetError(f"Invalid dataset: got no shards at {storage.url}; must be shards in an object store")
    root = storage.root
    suffixes = {folder: code.suffix for folder, code in (meta.folders or {}).items()}
    manifest = _read_rows(root)
    stems = manifest["stem"].to_pylist()
    problems = [*root_problems(root, suffixes), *file_problems(root, suffixes, stems, progress=progress)]
    if meta.samples != len(stems):
        problems.append(_of_manifest(root, f"has {len(stems)} rows; must have {meta.samples}"))
    problems += _order_problems(root, manifest)
    chosen: list[int] = []
    files_of, where = _Files(root, suffixes), printable(root / MANIFEST)
    codecs: Mapping[str, int | None] = {}
    if fraction > 0 and stems:
        synthesizer, codecs, found = described_problems(storage, meta)
        problems += [*found, *_plan_problems(root, synthesizer, manifest, progress)]
        broken = {problem.stem for problem in problems}
        rows = stratified_indices(len(stems), math.ceil(len(stems) * fraction)).tolist()
        chosen = [row for row in rows if stems[row] not in broken]
        bar = progress_bar(total=len(chosen), desc="redrawn", unit="sample", disable=not progress, leave=False)
        for at in range(0, len(chosen), _BATCH):
            batch = manifest.take(chosen[at : at + _BATCH])
            problems += redraw(synthesizer, batch, codecs, files_of, batch["stem"].to_pylist(), where)
            bar.update(len(batch))
        bar.close()
        problems += _statistics_problems(root, progress)
    depth_compared = meta.depth is None or meta.depth.teacher_sha256 is None
    same_codecs = all(levels is None for levels in codecs.values())
    files = len(stems) * len(suffixes)
    return Audit(root, len(stems), files, len(chosen), same_codecs, depth_compared, tuple(problems))


@dataclass(frozen=True)
class _Files:
    root: Path
    suffixes: Mapping[str, str]

    def path(self, folder: str, stem: str) -> Path:
        return self.root / folder / f"{stem}{self.suffixes[folder]}"

    def content(self, folder: str, stem: str) -> bytes:
        return read_picture(self.path(folder, stem))


def _finished(storage: Storage) -> Metadata:
    where = storage.where(METADATA)
    if not storage.exists(METADATA):
        raise DatasetError(f"Invalid dataset: got no {where}; must be a dataset that `qumade generate` made")
    meta = parse_model(Metadata, parse_yaml(storage.read(METADATA), METADATA, where), where, what=METADATA)
    if not meta.complete:
        raise DatasetError(
            f"Invalid dataset: got complete: false in {where}; finish it with the command that started it"
        )
    if not meta.folders or not meta.recipe:
        raise DatasetError(f"Invalid dataset: got no recipe or no folders in {where}; must have both to be audited")
    return meta


def _read_rows(root: Path) -> pa.Table:
    path = root / MANIFEST
    groups = list(read_manifest(path))
    table = pa.concat_tables(groups) if groups else MANIFEST_SCHEMA.empty_table()
    if not any(table.schema.equals(schema) for schema in (MANIFEST_SCHEMA, INSTANCE_SCHEMA)):
        raise DatasetError(f"Invalid manifest: {path} has other columns; must have those that this version writes")
    return table.unify_dictionaries()


def _of_manifest(root: Path, problem: str, stem: str = "-") -> Problem:
    return Problem(stem, printable(root / MANIFEST), problem)


def _order_problems(root: Path, manifest: pa.Table) -> Iterator[Problem]:
    missing = manifest["index"].null_count + manifest["stem"].null_count
    if missing:
        raise DatasetError(f"Invalid manifest: got a row without index or stem in {printable(root / MANIFEST)}")
    steps = np.diff(manifest["index"].to_numpy())
    if (steps <= 0).any():
        stem = manifest["stem"][int(np.argmax(steps <= 0)) + 1].as_py()
        yield _of_manifest(root, "its rows are not in the order of the samples", stem)


def _plan_problems(root: Path, synthesizer: Synthesizer, manifest: pa.Table, progress: bool) -> Iterator[Problem]:
    """Yields the samples that the recipe plans otherwise than their row says; what only drawing shows is taken over."""
    require_values(manifest, len(synthesizer), printable(root / MANIFEST))
    if len(manifest) <= len(synthesizer):
        expected = synthesizer.indices(max(1, len(manifest)))
        if not np.array_equal(np.sort(manifest["index"].to_numpy()), expected):
            yield _of_manifest(root, f"has other samples than the {len(expected)} that the recipe selects")
    with progress_bar(total=len(manifest), desc="planned", unit="sample", disable=not progress, leave=False) as bar:
        for at in range(0, len(manifest), _PLANNED):
            rows = manifest.slice(at, _PLANNED)
            yield from plan_again(synthesizer, rows, printable(root / MANIFEST))
            bar.update(len(rows))


def _statistics_problems(root: Path, progress: bool) -> Iterator[Problem]:
    """Yields a problem if statistics.json says other than what its number of samples gives."""
    path = root / STATISTICS
    if not os.path.lexists(path):
        return
    dataset = FolderDataset(root)
    try:
        stored = json.loads(read_bytes(path, _STATISTICS_BYTES))
        fraction = stored["samples"] / len(dataset)
        measured = json.loads(json.dumps(statistics(dataset, fraction=fraction, progress=progress).as_json()))
    except (ValueError, TypeError, LookupError, RecursionError, *_UNREADABLE) as error:
        yield Problem("-", printable(path), f"cannot be compared: {' '.join(str(error).split())[:200]}")
        return
    wrong = _unequal(stored, measured, "")
    if wrong is not None:
        yield Problem("-", printable(path), f"is not what `qumade stats` measures: {wrong}")


def _unequal(stored: Any, measured: Any, where: str) -> str | None:
    """Returns the first value that differs, in words; numbers may differ by rounding."""
    if isinstance(measured, dict) and isinstance(stored, dict):
        if stored.keys() != measured.keys():
            return f"other keys{f' in {where}' if where else ''}"
        pairs = [(stored[key], value, f"{where}.{key}".strip(".")) for key, value in measured.items()]
    elif isinstance(measured, list) and isinstance(stored, list) and len(stored) == len(measured):
        pairs = [(a, b, f"{where}[{n}]") for n, (a, b) in enumerate(zip(stored, measured, strict=True))]
    else:
        numbers = isinstance(measured, float) and isinstance(stored, float | int)
        same = math.isclose(stored, measured, rel_tol=1e-9, abs_tol=1e-12) if numbers else stored == measured
        return None if same else f"{where} is {shown(stored)}; must be {shown(measured)}"
    return next((wrong for pair in pairs if (wrong := _unequal(*pair)) is not None), None)
