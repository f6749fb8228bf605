"""Measure the speed of `qumade generate --format shards` next to a floor and to folders, measured in turn.

    python benchmarks/bench_shards.py --backgrounds D --foregrounds D --out SCRATCH

All run in this process, on one core. The floor encodes three ready arrays for each sample and writes nothing. Other
processes are noisy, so the three alternate, and the medians of the ratios to the floor of the same round are printed:
1 is as fast as the floor. Each sample of the floor is one that the recipe draws. All written files are removed.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from qumade.data.encode import encode_sample
from qumade.generation.engine import generate
from qumade.generation.shard_engine import generate_shards
from qumade.recipe import Recipe
from qumade.synth.synthesizer import Synthesizer

READY_SAMPLES = 32


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def floor(synthesizer: Synthesizer, samples: int) -> Callable[[], None]:
    plans = synthesizer.plan(synthesizer.indices(READY_SAMPLES))
    ready = [synthesizer.render(plans[n]) for n in range(len(plans))]

    def encode() -> None:
        for n in range(samples):
            encode_sample(ready[n % len(ready)], synthesizer.depth_encoding, synthesizer.recipe.encoding)

    return encode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backgrounds", type=Path, required=True)
    parser.add_argument("--foregrounds", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="scratch folder")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    synthesizer = Synthesizer.from_recipe(Recipe(backgrounds=args.backgrounds, foregrounds=args.foregrounds))
    samples = min(args.samples, len(synthesizer))
    encode = floor(synthesizer, samples)
    ratios: dict[str, list[float]] = {"folders": [], "shards": []}
    for _ in range(args.rounds):
        floor_s = timed(encode)
        for name, run in (("folders", generate), ("shards", generate_shards)):
            folder = Path(tempfile.mkdtemp(prefix="bench-", dir=args.out))
            try:
                seconds = timed(
                    lambda run=run, folder=folder: run(synthesizer, folder, limit=samples, workers=1, progress=False)
                )
            finally:
                shutil.rmtree(folder)
            ratios[name].append(floor_s / seconds)
            print(f"{name}: {samples / seconds:,.0f} samples/s, {floor_s / seconds:.2f} of the floor", flush=True)
    for name, found in ratios.items():
        print(f"{name}: {statistics.median(found):.2f} of the floor (median of {len(found)})")


if __name__ == "__main__":
    main()
