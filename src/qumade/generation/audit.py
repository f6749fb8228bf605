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
from numpy.typing import NDArray

from qumade.compose.boxes import visible_boxes
from qumade.data.encode import encode_sample
from qumade.data.folder import FolderDataset
from qumade.data.manifest import (
    INSTANCE_SCHEMA,
    MANIFEST,
    MANIFEST_SCHEMA,
    manifest_table,
    plans_from_manifest,
    read_manifest,
    visible_boxes_of,
    visible_fractions,
)
from qumade.data.manifest_check import require_values
from qumade.data.metadata import METADATA, Metadata, read_metadata
from qumade.data.statistics import STATISTICS, statistics
from qumade.errors import AssetError, ConfigError, DatasetError
from qumade.generation.description_check import described_problems
from qumade.generation.files_check import Problem, file_problems, root_problems
from qumade.io.config import shown
from qumade.io.decode import decode_grey, decode_rgb
from qumade.io.files import read_bytes
from qumade.io.pictures import UnusablePicture, printable, read_picture
from qumade.io.progress import progress_bar
from qumade.plan.indices import stratified_indices
from qumade.synth.synthesizer import Synthesizer

__all__ = ["Audit", "audit"]

_PLANNED = 4096
_STATISTICS_BYTES = 1 << 20
_UNREADABLE = (AssetError, ConfigError, DatasetError, UnusablePicture)
_BATCH = 256


@dataclass(frozen=True)
class Audit:
    """The result of an audit. `same_codecs`: bytes were compared, otherwise decoded pixels. `depth_compared`: depth/
    was compared too, which is skipped for depth that was predicted from the composites."""

    root: Path
    samples: int
    files: int
    redrawn: int
    same_codecs: bool
    depth_compared: bool
    problems: tuple[Problem, ...]


def audit(root: Path, *, fraction: float = 0.01, progress: bool = True) -> Audit:
    """Finds missing, empty, truncated and unexpected files; plans every sample again and compares it with its row of
    the manifest; redraws a `fraction` of the samples and compares their files; and measures statistics.json again if
    there is one. `fraction` is from 0 to 1; above 0, at least one sample is redrawn; at 0, only files and rows are
    looked at.

    Redrawn files must be equal byte by byte. If the codec that wrote them has another version, decoded JPEGs must agree
    within 2 levels and decoded PNGs exactly; no other setting of a codec may differ. Depth that was predicted from the
    composites is checked for missing and truncated files but not compared: networks do not guarantee equal bytes.
    Raises QumadeError if `root` is not a finished dataset of this package, or if an asset is missing or has changed.
    """
    root = Path(os.path.abspath(root))
    if not 0 <= fraction <= 1:
        raise ConfigError(f"Invalid fraction: got {fraction}; must be between 0 and 1")
    meta = _finished(root)
    suffixes = {folder: code.suffix for folder, code in (meta.folders or {}).items()}
    manifest = _read_rows(root)
    stems = manifest["stem"].to_pylist()
    problems = [*root_problems(root, suffixes), *file_problems(root, suffixes, stems, progress=progress)]
    if meta.samples != len(stems):
        problems.append(_of_manifest(root, f"has {len(stems)} rows; must have {meta.samples}"))
    problems += _order_problems(root, manifest)
    chosen: list[int] = []
    codecs: Mapping[str, int | None] = {}
    if fraction > 0 and stems:
        synthesizer, codecs, found = described_problems(root, meta)
        problems += [*found, *_plan_problems(root, synthesizer, manifest, progress)]
        broken = {problem.stem for problem in problems}
        rows = stratified_indices(len(stems), math.ceil(len(stems) * fraction)).tolist()
        chosen = [row for row in rows if stems[row] not in broken]
        bar = progress_bar(total=len(chosen), desc="redrawn", unit="sample", disable=not progress, leave=False)
        for at in range(0, len(chosen), _BATCH):
            batch = manifest.take(chosen[at : at + _BATCH])
            problems += _redraw(root, synthesizer, suffixes, batch, codecs)
            bar.update(len(batch))
        bar.close()
        problems += _statistics_problems(root, progress)
    depth_compared = meta.depth is None or meta.depth.teacher_sha256 is None
    same_codecs = all(levels is None for levels in codecs.values())
    files = len(stems) * len(suffixes)
    return Audit(root, len(stems), files, len(chosen), same_codecs, depth_compared, tuple(problems))


def _finished(root: Path) -> Metadata:
    path = root / METADATA
    if not path.exists():
        raise DatasetError(f"Invalid dataset: got no {path}; must be a dataset that `qumade generate` made")
    meta = read_metadata(path)
    if meta.shards is not None:
        raise DatasetError(
            f"Invalid dataset: got shards in {root}; must be a folder of images: `sha256sum -c` checks the files of "
            "shards, and `qumade convert --to folder` makes them a folder"
        )
    if not meta.complete:
        raise DatasetError(
            f"Invalid dataset: got complete: false in {path}; finish it with the command that started it"
        )
    if not meta.folders or not meta.recipe:
        raise DatasetError(f"Invalid dataset: got no recipe or no folders in {path}; must have both to be audited")
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
            visible = visible_fractions(rows, synthesizer.recipe.objects[1])
            boxes = visible_boxes_of(rows, synthesizer.recipe.objects[1])
            yield from _other_rows(root, synthesizer, rows, visible, rows["depth_clipped_px"].to_numpy(), boxes)
            bar.update(len(rows))


def _other_rows(
    root: Path,
    synthesizer: Synthesizer,
    rows: pa.Table,
    visible: NDArray[np.float32],
    clipped: NDArray[np.int32],
    boxes: NDArray[np.int32],
) -> Iterator[Problem]:
    """Yields the rows that differ from those that the recipe gives, with these results of drawing."""
    plans = synthesizer.plan(rows["index"].to_numpy())
    again = manifest_table(synthesizer, plans, visible, clipped, boxes if synthesizer.writes_instances else None)
    if again.equals(rows.combine_chunks()):
        return
    for row, expected in zip(rows.to_pylist(), again.to_pylist(), strict=True):
        if row != expected:
            yield _of_manifest(root, "its row differs from the sample drawn again", row["stem"])


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


def _redraw(
    root: Path,
    synthesizer: Synthesizer,
    suffixes: Mapping[str, str],
    rows: pa.Table,
    codecs: Mapping[str, int | None],
) -> Iterator[Problem]:
    recipe, depth = synthesizer.recipe, synthesizer.depth_encoding
    plans = plans_from_manifest(synthesizer, rows)
    stems, clipped = rows["stem"].to_pylist(), rows["depth_clipped_px"].to_pylist()
    visible = np.full((len(rows), recipe.objects[1]), np.nan, np.float32)
    instances, boxes = synthesizer.writes_instances, np.zeros((len(rows), recipe.objects[1], 4), np.int32)
    for n, stem in enumerate(stems):
        sample = synthesizer.render(plans[n])
        encoded = encode_sample(sample, depth, recipe.encoding, instances=instances)
        for folder, redrawn in encoded.files.items():
            path = root / folder / f"{stem}{suffixes[folder]}"
            problem = _difference(path, redrawn, codecs[folder])
            if problem is not None:
                yield Problem(stem, printable(path), problem)
        visible[n, : len(sample.visible_fraction)] = sample.visible_fraction
        if instances:
            boxes[n, : len(sample.visible_fraction)] = visible_boxes(sample.owner, len(sample.visible_fraction))
        if depth is not None:
            clipped[n] = encoded.depth_clipped_px
    yield from _other_rows(root, synthesizer, rows, visible, np.array(clipped, np.int32), boxes)


def _difference(path: Path, redrawn: bytes, levels: int | None) -> str | None:
    """Returns how a file differs from the one drawn again. With `levels`, decoded pixels may differ by so many."""
    try:
        stored = read_picture(path)
        if stored == redrawn:
            return None
        if levels is None:
            return "differs from the sample drawn again"
        decode = decode_rgb if path.parent.name == "images" else decode_grey
        ours, theirs = decode(redrawn, path).astype(np.int64), decode(stored, path).astype(np.int64)
    except UnusablePicture as error:
        return f"cannot be compared: {error}"
    if ours.shape != theirs.shape:
        return f"has {theirs.shape[1]}x{theirs.shape[0]} pixels; must have {ours.shape[1]}x{ours.shape[0]}"
    furthest = int(np.abs(ours - theirs).max())
    if furthest <= levels:
        return None
    return f"differs by {furthest} levels from the sample drawn again; must be at most {levels}"
