"""generate(recipe, DATA_PATH): draws a dataset, or resumes one that was interrupted.

The state of an unfinished dataset is dataset.yaml with `complete: false`, and `.qumade/journal`, which lists the
samples that are drawn and synced to disk. `.qumade/depth` does the same for depth that is predicted from the
composites. The last steps are, in this order: sync everything, write manifest.parquet, remove the journals, and set
`complete: true` in dataset.yaml. After a power cut at any step, the same command resumes from there.

Neither the journal nor `complete: true` is believed blindly: a disk that was rolled back, or a user who tidied up, may
have removed files. At the start each file that should be there is looked for, and into; before `complete: true`, names
and sizes are looked at. What is missing or torn is drawn again.
"""

import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qumade.data.manifest import (
    MANIFEST,
    manifest_schema,
    manifest_table,
    read_manifest,
    visible_boxes_of,
    visible_fractions,
)
from qumade.data.manifest_check import require_values
from qumade.data.metadata import begun_metadata, write_metadata
from qumade.depth.encoding import DepthEncoding
from qumade.errors import ConfigError, DatasetError, RunError
from qumade.generation.describe import describe
from qumade.generation.executors import Executor, local_processes, this_process
from qumade.generation.journal import Journal, Results, concatenate, read_journal
from qumade.generation.summary import Summary, placement_counts, summarized
from qumade.generation.worker import DrawSamples, Work
from qumade.generation.writers import FolderWriter, Writer
from qumade.io.files import new_file, only_one, remove_temporary_files
from qumade.io.progress import progress_bar
from qumade.recipe import Recipe
from qumade.synth.synthesizer import Synthesizer

__all__ = ["STATE", "DepthPredictor", "generate"]

_log = logging.getLogger(__name__)

STATE = ".qumade"
_ROW_GROUP = 10_000
_CHUNK = 128
_ATTEMPTS = 3  # at files that vanish as soon as they are written
_ROW_COLUMNS = ["index", "depth_clipped_px", "objects"]


class DepthPredictor(Protocol):
    """Predicts the depth of drawn images, for recipes with `depth: composite`; `encoding` describes its files."""

    @property
    def encoding(self) -> DepthEncoding: ...

    def work(self, synthesizer: Synthesizer, root: Path, suffixes: Mapping[str, str]) -> Work:
        """Returns the work that reads the images of its chunks in `root` and writes their depth."""


def generate(
    recipe: Synthesizer | Recipe | Path | str,
    out: Path | str,
    *,
    limit: int | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    writer: Callable[[Path, Mapping[str, str]], Writer] = FolderWriter,
    depth_predictor: DepthPredictor | None = None,
    sync_interval_s: float = 10.0,
    progress: bool = True,
) -> Summary | None:
    """Draws the samples of a recipe into `out`, or those that an interrupted run left or that were lost since then.
    Returns None if none is missing.

    `limit` draws only that many samples, distributed over all assets. `executor` runs the work; by default it runs in
    `workers` processes of this machine (default: all cores). `writer(out, suffixes)` stores the files. The bytes depend
    neither on the executor nor on interruptions, except for the depth of a recipe with `depth: composite`, which
    `depth_predictor` adds after the images. Raises QumadeError if `out` holds anything but a dataset of this recipe
    with these assets.
    """
    synthesizer = recipe if isinstance(recipe, Synthesizer) else Synthesizer.from_recipe(recipe, progress=progress)
    if (synthesizer.depth_encoding is None) != (depth_predictor is not None):
        raise ConfigError(
            f"Invalid depth: got {synthesizer.recipe.depth!r} in the recipe; must be 'composite' where a depth "
            "predictor is given, and only there"
        )
    depth = synthesizer.depth_encoding if depth_predictor is None else depth_predictor.encoding
    if depth is None:
        raise ValueError("a recipe without depth")
    out = Path(os.path.abspath(out))
    indices = synthesizer.indices(limit)
    metadata = describe(synthesizer, out, len(indices), depth)
    suffixes = {folder: settings["suffix"] for folder, settings in metadata["folders"].items()}
    workers = max(1, min(workers or os.cpu_count() or 1, -(-len(indices) // _CHUNK)))
    executor = executor or partial(local_processes, workers=workers)
    with only_one(out, "generating"):
        before = begun_metadata(out, metadata, "qumade generate")
        drawn_suffixes = {
            name: suffix for name, suffix in suffixes.items() if depth_predictor is None or name != "depth"
        }
        stored = writer(out, drawn_suffixes)
        predicted_depth = FolderWriter(out, {"depth": suffixes["depth"]}) if depth_predictor is not None else None
        if before is not None and before["complete"] and before["samples"] >= len(indices):
            # A smaller limit does not abandon the samples of a larger one: all of them are looked at.
            indices = synthesizer.indices(max(1, before["samples"]))
            metadata["samples"] = len(indices)
            kept = [one for one in (stored, predicted_depth) if one is not None]
            lost = [_damaged(one, synthesizer, indices, inside=True, progress=progress) for one in kept]
            if os.path.lexists(out / MANIFEST) and not any(map(len, lost)):
                shutil.rmtree(out / STATE, ignore_errors=True)
                return None
        if before is not None and before["samples"] > len(indices):
            raise ConfigError(
                f"Invalid limit: got {len(indices)} for {out}, which was started with {before['samples']} samples; "
                "must be at least as many, or use another folder"
            )
        drawn = [*_results_of_manifest(out, synthesizer)]
        begun = read_journal(out / STATE / "journal", synthesizer.recipe.objects[1])
        _refuse_other_samples(out, [*drawn, *begun], indices)
        write_metadata(out, {**metadata, "complete": False})
        for folder in (out, *(out / name for name in suffixes)):
            remove_temporary_files(folder)
        synthesizer.plan(indices[:1])  # compiles once, here; workers read the cache
        new_bar = partial(progress_bar, total=len(indices), unit="sample", disable=not progress, smoothing=0.05)
        work: Work = DrawSamples(synthesizer, stored)
        look = partial(_damaged, stored, synthesizer, progress=progress)
        journal = out / STATE / "journal"
        results, count = _run(work, indices, drawn, journal, executor, sync_interval_s, new_bar, look)
        if depth_predictor is not None and predicted_depth is not None:
            work = depth_predictor.work(synthesizer, out, suffixes)
            known = [
                replace(part, visible_fraction=part.visible_fraction[:, :0], visible_box=part.visible_box[:, :0])
                for part in drawn
            ]
            journal = out / STATE / "depth"
            bar = partial(new_bar, desc="depth")
            look = partial(_damaged, predicted_depth, synthesizer, progress=progress)
            predicted, _ = _run(work, indices, known, journal, this_process, sync_interval_s, bar, look)
            results = replace(results, depth_clipped_px=predicted.depth_clipped_px)
        summary = _write_manifest(synthesizer, out, results, count)
        shutil.rmtree(out / STATE)
        write_metadata(out, metadata)
    return summary


def _damaged(
    writer: Writer, synthesizer: Synthesizer, indices: NDArray[np.int64], *, inside: bool, progress: bool
) -> NDArray[np.int64]:
    """Returns those of these samples whose files are missing, empty or, with `inside`, torn; ascending."""
    stems = {synthesizer.stem(index): index for index in indices.tolist()}
    damaged = writer.damaged(stems, inside=inside, progress=progress)
    return np.array(sorted(stems[stem] for stem in damaged), np.int64)


def _run(
    work: Work,
    indices: NDArray[np.int64],
    done: Sequence[Results],
    journal_path: Path,
    executor: Executor,
    sync_interval_s: float,
    new_bar: Callable[..., Any],
    damaged: Callable[..., NDArray[np.int64]],
) -> tuple[Results, int]:
    """Runs the work on the samples that are neither in `done` nor in the journal, or whose files were lost since then,
    and syncs everything to disk. `damaged(indices, inside=...)` returns those whose files are not whole.

    Returns the results of all samples in the order of `indices`, and how many of them are new.
    """
    most = work.objects
    results = [*done, *read_journal(journal_path, most)]
    known = np.intersect1d(indices, concatenate(results, most).indices)
    lost = damaged(known, inside=True)
    if len(lost):
        _log.warning("%d samples that were drawn before are missing or torn, and are drawn again", len(lost))
    rest = np.union1d(np.setdiff1d(indices, known), lost)
    new = 0
    for _ in range(_ATTEMPTS):
        new += len(rest)
        results += _run_once(work, rest, journal_path, executor, sync_interval_s, new_bar, len(indices))
        rest = damaged(indices, inside=False)
        if not len(rest):
            joined = concatenate(results, most)
            return joined.at(np.searchsorted(joined.indices, indices)), new
    raise RunError(
        f"Invalid output: got {len(rest)} samples whose files were gone as soon as they were written beside "
        f"{journal_path.parent}; must stay there until the dataset is complete"
    )


def _run_once(
    work: Work,
    rest: NDArray[np.int64],
    journal_path: Path,
    executor: Executor,
    sync_interval_s: float,
    new_bar: Callable[..., Any],
    total: int,
) -> list[Results]:
    """Runs the work on these samples, records them in the journal and syncs everything to disk."""
    journal = Journal(journal_path, work.objects, sync_interval_s)
    results: list[Results] = []
    chunks = (rest[at : at + _CHUNK] for at in range(0, len(rest), _CHUNK))
    bar = new_bar(initial=total - len(rest))
    running = executor(work, chunks)
    try:
        for part in running:
            journal.add(part)
            results.append(part)
            bar.update(len(part.indices))
    except BaseException:
        running.close()  # type: ignore[attr-defined]
        journal.close(sync=False)
        raise
    finally:
        bar.close()
    journal.close(sync=True)
    return results


def _results_of_manifest(out: Path, synthesizer: Synthesizer) -> Iterator[Results]:
    """Yields the results of samples that a run with a smaller limit has drawn, from its manifest."""
    path, most_objects = out / MANIFEST, synthesizer.recipe.objects[1]
    if not os.path.lexists(path):
        return
    schema = manifest_schema(synthesizer)
    for rows in read_manifest(path, _ROW_COLUMNS):
        if any(rows.schema.field(name) != schema.field(name) for name in _ROW_COLUMNS):
            raise DatasetError(f"Invalid manifest: {path} has other columns; must have those that this version writes")
        require_values(rows, len(synthesizer), str(path))
        results = Results.empty(len(rows), most_objects)
        results.indices[:] = rows["index"].to_numpy()
        results.depth_clipped_px[:] = rows["depth_clipped_px"].to_numpy()
        results.visible_fraction[:] = visible_fractions(rows, most_objects)
        results.visible_box[:] = visible_boxes_of(rows, most_objects)
        yield results


def _refuse_other_samples(out: Path, drawn: Sequence[Results], indices: NDArray[np.int64]) -> None:
    """Raises QumadeError if `out` holds samples that are not wanted: versions before 0.2 chose others for a limit."""
    if any(len(np.setdiff1d(part.indices, indices)) for part in drawn):
        raise ConfigError(
            f"Invalid limit: got {len(indices)} for {out}, which holds other samples than this limit selects, since an "
            "earlier version chose them; must be left out, for all samples, or use another folder"
        )


def _write_manifest(synthesizer: Synthesizer, out: Path, results: Results, drawn: int) -> Summary:
    """Plans all samples again, which is fast, and writes their rows in index order, in row groups of fixed length."""
    counts, boxes = Counter[str](), synthesizer.writes_instances
    splits: Counter[str | None] = Counter()
    with (
        new_file(out / MANIFEST, durable=True) as file,
        pq.ParquetWriter(file, manifest_schema(synthesizer), compression="zstd", write_page_checksum=True) as writer,
    ):
        for at in range(0, len(results.indices), _ROW_GROUP):
            part = results.at(slice(at, at + _ROW_GROUP))
            plans = synthesizer.plan(part.indices)
            table = manifest_table(
                synthesizer, plans, part.visible_fraction, part.depth_clipped_px, part.visible_box if boxes else None
            )
            splits.update(table["split"].to_pylist())
            writer.write_table(table, row_group_size=_ROW_GROUP)
            counts.update(placement_counts(plans))
    counts["depth_clipped_px"] = int(results.depth_clipped_px.sum())
    return summarized(out, len(results.indices), drawn, counts, splits)
