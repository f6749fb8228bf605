"""Measure what the driver of `qumade generate --format shards` takes for each shard, without drawing any.

    python benchmarks/bench_scale.py --backgrounds D --foregrounds D --shards 100000

The executor is simulated: it returns at once what drawing a shard would return. The storage is simulated too: it keeps
names and sizes, and counts the requests. So what is left is planning, the listing, the journal and index.json: the work
of one process that grows with the number of shards. Prints seconds, memory and requests.
"""

import argparse
import json
import resource
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np

from qumade.data.shard_files import ShardEntry, write_hash_file
from qumade.errors import QumadeError
from qumade.generation import shard_engine
from qumade.generation.shards import quadrants_of
from qumade.plan.shards import ShardPlan
from qumade.recipe import Recipe
from qumade.synth.synthesizer import Synthesizer


class SimulatedStore:
    """Names and sizes of files; contents of the small ones."""

    url = "simulated://bucket"

    def __init__(self) -> None:
        self.files: dict[str, bytes | int] = {}
        self.requests: Counter[str] = Counter()

    def where(self, name: str) -> str:
        return f"{self.url}/{name}"

    def sizes(self, folder: str = "") -> dict[str, int]:
        start = f"{folder}/" if folder else ""
        found = {
            name.removeprefix(start): file if isinstance(file, int) else len(file)
            for name, file in self.files.items()
            if name.startswith(start) and "/" not in name.removeprefix(start)
        }
        self.requests["LIST"] += max(1, -(-len(found) // 1000))  # of S3: 1000 names a page
        return found

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        self.requests["GET"] += 1
        file = self.files.get(name)
        if not isinstance(file, bytes):
            raise QumadeError(f"Invalid file: got no {name}")
        return file[start:stop]

    def exists(self, name: str) -> bool:
        return name in self.files

    @contextmanager
    def new(self, name: str) -> Iterator[BytesIO]:
        buffer = BytesIO()
        yield buffer
        self.requests["PUT"] += 1
        self.files[name] = buffer.getvalue()


def drawn(store: SimulatedStore, recipe: str, name: str, split: str | None, samples: int) -> ShardEntry:
    hashes = {"tar_sha256": "0" * 64, "parquet_sha256": "1" * 64, "recipe": recipe}
    sizes = {"tar_bytes": samples * 20_000, "parquet_bytes": samples * 100}
    counts = dict.fromkeys(("fallbacks", "left_out", "rejected_hidden", "rejected_size", "depth_clipped_px"), 3)
    entry = ShardEntry(name=name, split=split or "", samples=samples, counts=counts, **sizes, **hashes)
    store.files[entry.tar], store.files[entry.parquet] = entry.tar_bytes, entry.parquet_bytes
    store.files[entry.hash_file] = write_hash_file(entry)
    store.requests["PUT"] += 3
    return entry


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backgrounds", type=Path, required=True)
    parser.add_argument("--foregrounds", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=100_000)
    parser.add_argument("--samples", type=int, default=100, help="samples in a shard")
    args = parser.parse_args()
    recipe = Recipe(backgrounds=args.backgrounds, foregrounds=args.foregrounds, per_pair=1_000_000)
    synthesizer = Synthesizer.from_recipe(recipe)
    synthesizer.plan([0])  # compiles
    limit = min(args.shards * args.samples, len(synthesizer))
    store = SimulatedStore()
    shard_engine.open_storage = lambda out: store  # type: ignore[assignment]

    def simulated(work, units):
        for shard in units:
            yield drawn(store, work.recipe, shard.name, shard.split, len(work.plan.indices(shard)))

    options = {"limit": limit, "samples_per_shard": args.samples, "progress": False}
    before = peak_mib()
    results: dict[str, float] = {}

    def report(name: str, seconds: float, shards: int) -> None:
        results[name] = seconds
        requests = ", ".join(f"{count:,} {kind}" for kind, count in store.requests.items())
        per_shard = f"{1e6 * seconds / shards:,.0f} us a shard"
        print(f"{name}: {seconds:.1f} s, {per_shard}; {requests}; peak {peak_mib() - before:,.0f} MiB more", flush=True)
        store.requests.clear()

    start = time.perf_counter()
    plan = ShardPlan(quadrants_of(synthesizer, limit), args.samples, recipe.seed)
    shards = len(plan)
    numbers = np.linspace(0, shards - 1, 1000).astype(int)
    report("count the shards", time.perf_counter() - start, shards)
    listed = list(plan)
    start = time.perf_counter()
    for number in numbers.tolist():
        plan.indices(listed[number])
    print(f"samples of a shard: {1e6 * (time.perf_counter() - start) / len(numbers):,.0f} us")
    start = time.perf_counter()
    shard_engine.generate_shards(synthesizer, store.url, executor=simulated, **options)
    report(f"draw {shards:,} shards", time.perf_counter() - start, shards)
    store.files["dataset.yaml"] = bytes(store.files["dataset.yaml"]).replace(b"complete: true", b"complete: false")
    start = time.perf_counter()
    shard_engine.generate_shards(synthesizer, store.url, executor=simulated, **options)
    report("resume with all shards there", time.perf_counter() - start, shards)
    index = len(bytes(store.files["index.json"]))
    print(json.dumps({"shards": shards, "index_bytes": index, **results}))


if __name__ == "__main__":
    main()
