"""generate(recipe, DATA_PATH): draws a dataset, or goes on with one where it was left.

State of an unfinished dataset: dataset.yaml with `complete: false`, and `.qumade/journal` with what is drawn and safe;
`.qumade/depth` is the same for depth that is predicted from the composites. At the end, in this order: everything
synced, manifest.parquet, the journals removed, dataset.yaml `complete: true`. Each step can be the last before a power
cut, and the same command goes on from it.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tqdm.auto import tqdm

from qumade.assets.catalog import Catalog
from qumade.data.manifest import MANIFEST_SCHEMA, manifest_table
from qumade.data.metadata import DepthCode
from qumade.errors import QumadeError
from qumade.generate.executors import Executor, local_processes
from qumade.generate.journal import Journal, Results, concatenate, read_journal
from qumade.generate.metadata import describe, read_own_description, write_description
from qumade.generate.worker import Job
from qumade.io.files import new_file, only_one, remove_temporary_files
from qumade.plan.indices import limited_indices
from qumade.plan.planner import plan_samples
from qumade.plan.scale_check import check_scales
from qumade.plan.tables import plan_tables
from qumade.recipe import Recipe

__all__ = ["MANIFEST", "STATE", "CompositeDepth", "Summary", "generate"]

MANIFEST = "manifest.parquet"
STATE = ".qumade"
_ROW_GROUP = 10_000
_CHUNK = 128
_ROW_COLUMNS = ["index", "depth_clipped_px", "objects"]


@dataclass(frozen=True)
class Summary:
    """What `generate` did: samples in the dataset, how many were drawn now, and what the placements met.

    `fallbacks` objects found no place by the recipe's rules, `left_out` further objects none at all; `rejected` draws
    were made anew, by reason; `depth_clipped_px` depth pixels were nearer than the nearest code.
    """

    root: Path
    samples: int
    drawn: int
    fallbacks: int
    left_out: int
    rejected: dict[str, int]
    depth_clipped_px: int


@dataclass(frozen=True)
class CompositeDepth:
    """How the depth of composites is predicted: `run` is an executor that reads the images of its chunks and writes
    their depth/ in the code `code`; of its results only `indices` and `depth_clipped_px` count."""

    code: DepthCode
    run: Executor


def generate(
    recipe: Recipe,
    catalog: Catalog,
    out: Path,
    *,
    limit: int | None = None,
    workers: int | None = None,
    executor: Executor = local_processes,
    composite: CompositeDepth | None = None,
    sync_interval_s: float = 10.0,
    progress: bool = True,
) -> Summary | None:
    """Draws the recipe's samples into `out`, or the rest of them; None where all of them were there already.

    Equal bytes whatever the number of workers, and however often it was interrupted; but for depth of a recipe with
    `depth: composite`, which `composite` writes once the images are there. Raises QumadeError where `out` holds
    anything else than a dataset of this recipe over these assets.
    """
    if (recipe.depth == "composite") != (composite is not None):
        raise QumadeError(
            f"Invalid depth: got {recipe.depth!r} in the recipe; must be 'composite' where something predicts it from "
            "the composites, and only there"
        )
    out = Path(os.path.abspath(out))
    check_scales(recipe, catalog)
    indices = limited_indices(limit, len(catalog.backgrounds), len(catalog.foregrounds), recipe.per_pair)
    description = describe(recipe, catalog, out, len(indices), None if composite is None else composite.code)
    suffixes = {folder: code["suffix"] for folder, code in description["folders"].items()}
    workers = max(1, min(workers or os.cpu_count() or 1, -(-len(indices) // _CHUNK)))
    out.mkdir(parents=True, exist_ok=True)
    with only_one(out, "generating"):
        before = read_own_description(out, description)
        if before is not None and before["complete"] and before["samples"] >= len(indices):
            shutil.rmtree(out / STATE, ignore_errors=True)
            return None
        if before is not None and before["samples"] > len(indices):
            raise QumadeError(
                f"Invalid limit: got {len(indices)} for {out}, which was begun with {before['samples']} samples; must "
                "be at least as many, or go to another folder"
            )
        write_description(out, {**description, "complete": False})
        for folder in (out, *(out / name for name in suffixes)):
            remove_temporary_files(folder)
        job = Job(recipe, catalog, out, suffixes)
        # Compiled here once, read from the cache by the workers.
        plan_samples(plan_tables(recipe, catalog), catalog, indices[:1])
        results, drawn = _go_on(job, indices, "journal", executor, workers, sync_interval_s, progress)
        if composite is not None:
            depth, _ = _go_on(job, indices, "depth", composite.run, 1, sync_interval_s, progress)
            results = replace(results, depth_clipped_px=depth.depth_clipped_px)
        summary = _write_manifest(recipe, catalog, out, results, drawn)
        shutil.rmtree(out / STATE)
        write_description(out, description)
    return summary


def _go_on(
    job: Job,
    indices: NDArray[np.int64],
    name: str,
    executor: Executor,
    workers: int,
    sync_interval_s: float,
    progress: bool,
) -> tuple[Results, int]:
    """What drawing the samples of these indices told, in their order, and how many were drawn now.

    Those of the journal of this name and of an earlier manifest are not drawn again. All is safe on the disk.
    """
    most = job.recipe.objects[1]
    state = job.root / STATE / name
    drawn = [*_drawn_before(job.root, most), *read_journal(state, most)]
    rest = np.setdiff1d(indices, concatenate(drawn, most).indices, assume_unique=True)
    journal = Journal(state, most, sync_interval_s)
    chunks = (rest[at : at + _CHUNK] for at in range(0, len(rest), _CHUNK))
    before = len(indices) - len(rest)
    what = "depth" if name == "depth" else None
    bar = tqdm(None, what, len(indices), initial=before, unit="sample", disable=not progress, smoothing=0.05)
    running = executor(job, chunks, workers)
    try:
        for results in running:
            journal.add(results)
            drawn.append(results)
            bar.update(len(results.indices))
    except BaseException:
        running.close()  # type: ignore[attr-defined]
        journal.close(sync=False)
        raise
    finally:
        bar.close()
    journal.close(sync=True)
    results = concatenate(drawn, most)
    return results.at(np.searchsorted(results.indices, indices)), len(rest)


def _drawn_before(out: Path, most_objects: int) -> Iterator[Results]:
    """What an earlier manifest tells of samples that a smaller limit drew."""
    path = out / MANIFEST
    if not path.exists():
        return
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=_ROW_COLUMNS)
            objects = rows["objects"].combine_chunks()
            results = Results.empty(len(rows), most_objects)
            results.indices[:] = rows["index"].to_numpy()
            results.depth_clipped_px[:] = rows["depth_clipped_px"].to_numpy()
            holds = np.arange(most_objects) < np.diff(np.asarray(objects.offsets))[:, None]
            results.visible_fraction[holds] = objects.flatten().field("visible_fraction").to_numpy()
            yield results


def _write_manifest(recipe: Recipe, catalog: Catalog, out: Path, results: Results, drawn: int) -> Summary:
    """Plans all samples again, which is quick, and writes their rows in index order in row groups of fixed length."""
    tables = plan_tables(recipe, catalog)
    fallbacks, left_out = 0, 0
    rejected = {"crop": 0}
    with (
        new_file(out / MANIFEST, durable=True) as file,
        pq.ParquetWriter(file, MANIFEST_SCHEMA, compression="zstd") as writer,
    ):
        for at in range(0, len(results.indices), _ROW_GROUP):
            part = results.at(slice(at, at + _ROW_GROUP))
            plans = plan_samples(tables, catalog, part.indices)
            table = manifest_table(recipe, catalog, plans, part.visible_fraction, part.depth_clipped_px)
            writer.write_table(table, row_group_size=_ROW_GROUP)
            fallbacks += int(plans.objects["fallback"].sum())
            left_out += int((plans.samples["wanted"] - plans.samples["count"]).sum())
            rejected["crop"] += int(plans.samples["crops_rejected"].sum())
            for name in plans.objects.dtype.names or ():
                if name.startswith("rejected_"):
                    reason = name.removeprefix("rejected_")
                    rejected[reason] = rejected.get(reason, 0) + int(plans.objects[name].sum())
    clipped = int(results.depth_clipped_px.sum())
    return Summary(out, len(results.indices), drawn, fallbacks, left_out, rejected, clipped)
