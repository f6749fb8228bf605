"""generate_shards(recipe, out): draws a dataset as tar shards, or the shards that an interrupted run left.

The listing is the journal: a shard is there when its hash file is, which is written after the shard, and names its size
and the recipe that it was drawn from. The last steps are index.json and `complete: true` in dataset.yaml. Two processes
that draw the same shard write the same bytes, so nothing goes wrong if they do.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from qumade.data.metadata import METADATA, metadata_text, refuse_other
from qumade.data.shard_files import SHARDS, ShardEntry
from qumade.data.shard_store import begun, finish, is_there, journal, lost_shards, recipe_hash, recorded_samples, write
from qumade.errors import ConfigError, RunError
from qumade.generation.describe import describe
from qumade.generation.executors import Executor, local_processes
from qumade.generation.shards import DrawShards, default_samples, draw_rows, quadrants_of
from qumade.generation.summary import Summary, summarized
from qumade.io.files import only_one, remove_temporary_files
from qumade.io.pictures import one_line
from qumade.io.progress import progress_bar
from qumade.io.storage import LocalFiles, Storage, open_storage
from qumade.plan.shards import Shard, ShardPlan
from qumade.recipe import Recipe
from qumade.synth.synthesizer import Synthesizer

__all__ = ["generate_shards", "refuse_composite", "shard_metadata"]


def generate_shards(
    recipe: Synthesizer | Recipe | Path | str,
    out: Path | str,
    *,
    limit: int | None = None,
    samples_per_shard: int | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> Summary | None:
    """Draws the samples of a recipe into shards in `out`, a folder or a URL. Returns None if none is missing.

    `samples_per_shard` is by default what `default_samples` says. The bytes depend neither on the executor nor on
    interruptions. `limit`, `workers` and `executor`: see `qumade.generation.engine.generate`; other than there, a
    dataset can't be extended by a larger limit, which would put samples into shards that exist. Raises QumadeError if
    `out` holds anything but shards of this recipe with these assets.
    """
    synthesizer = recipe if isinstance(recipe, Synthesizer) else Synthesizer.from_recipe(recipe, progress=progress)
    storage = open_storage(out)
    quadrants = quadrants_of(synthesizer, limit)
    samples = sum(quadrants.counts().values())
    with only_one(storage.root, "generating") if isinstance(storage, LocalFiles) else nullcontext():
        found = begun(storage, "qumade generate")
        if samples_per_shard is None:
            samples_per_shard = recorded_samples(found) or default_samples(synthesizer, samples)
        plan = ShardPlan(quadrants, samples_per_shard, synthesizer.recipe.seed)
        metadata = shard_metadata(synthesizer, storage, plan)
        if found is not None:
            _require_same(found, metadata, storage)
            if found["complete"] and not lost_shards(storage, plan.names()):
                return None
        if isinstance(storage, LocalFiles):
            for folder in (storage.root, storage.root / SHARDS):
                remove_temporary_files(folder)
        work = DrawShards(synthesizer, plan, storage, recipe_hash(metadata))
        write(storage, METADATA, [metadata_text({**metadata, "complete": False})])
        entries = journal(storage, work.recipe)
        missing = sum(shard.name not in entries for shard in plan)
        if missing:  # compiles once, here: workers and nodes take the machine code
            draw_rows(synthesizer, plan.indices(next(iter(plan)))[:1], lambda: False)
        if executor is None:
            workers = 1 if storage.url.startswith("memory://") else max(1, min(workers or os.cpu_count() or 1, missing))
            executor = partial(local_processes, workers=workers)
        drawn = 0
        if missing:
            bar = progress_bar(total=samples, unit="sample", disable=not progress, smoothing=0.05)
            bar.update(sum(entry.samples for entry in entries.values()))
            with closing(bar), closing(executor(work, _missing(plan, set(entries)))) as running:  # type: ignore[type-var]
                for entry in running:
                    entries[entry.name] = entry
                    drawn += entry.samples
                    bar.update(entry.samples)
        ordered = [entries[shard.name] for shard in plan]
        _require_there(storage, ordered)
        finish(storage, metadata, ordered)
    counts = Counter[str]()
    for entry in ordered:
        counts.update(entry.counts)
    root = storage.root if isinstance(storage, LocalFiles) else storage.url
    return summarized(root, samples, drawn, counts, plan.counts)


def shard_metadata(synthesizer: Synthesizer, storage: Storage, plan: ShardPlan) -> dict[str, Any]:
    """Returns the content of dataset.yaml for the finished shards of a recipe.

    Raises QumadeError for a recipe whose depth a teacher predicts from the composites.
    """
    refuse_composite(synthesizer.recipe, storage.url)
    if synthesizer.depth_encoding is None:
        raise ValueError("layered depth has an encoding")
    local = storage.root if isinstance(storage, LocalFiles) else None
    described = describe(synthesizer, local, sum(plan.counts.values()), synthesizer.depth_encoding)
    return described | {"shards": {"samples": plan.samples}}


def refuse_composite(recipe: Recipe, out: str) -> None:
    """Raises QumadeError, with the two commands that do it, for a recipe whose depth a teacher predicts from the
    composites: it is predicted for a whole folder at once."""
    if recipe.depth == "composite":
        raise ConfigError(
            f"Invalid depth: got 'composite' for shards in {one_line(out)}; must be 'layered', or drawn into a folder "
            "and then packed: qumade generate ... --out FOLDER; "
            f"qumade convert FOLDER --to shards --out {one_line(out)}"
        )


def _require_same(found: dict[str, Any], metadata: dict[str, Any], storage: Storage) -> None:
    """Raises QumadeError if the dataset that was begun is another one."""
    refuse_other(found, metadata, storage.where(METADATA), storage.url)
    if found["samples"] != metadata["samples"]:
        raise ConfigError(
            f"Invalid limit: got {metadata['samples']} samples for {storage.url}, which was started with "
            f"{found['samples']}; must be as many, or use another folder"
        )


def _require_there(storage: Storage, entries: Iterable[ShardEntry]) -> None:
    """Raises QumadeError if a shard that was drawn is not there: on another machine's disk, or removed since."""
    sizes = storage.sizes(SHARDS)
    gone = [entry.name for entry in entries if not is_there(entry, sizes)]
    if gone:
        raise RunError(
            f"Invalid output: got no shard {gone[0]} in {storage.where(SHARDS)} ({len(gone)} missing), which was "
            "drawn; must be a folder that all machines share and that nobody removes from meanwhile"
        )


def _missing(plan: ShardPlan, there: set[str]) -> Iterator[Shard]:
    return (shard for shard in plan if shard.name not in there)
