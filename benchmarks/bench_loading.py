"""Measure the speed of data loading: samples drawn or decoded, augmented, batched, and sent by worker processes.

    python benchmarks/bench_loading.py RECIPE_or_DATA_PATH [--size 224] [--batch-size 32] [--workers 2]

Each step of a sample is measured in microseconds of CPU time on one core. The minimum of several runs is printed,
because other processes can only slow them down. The throughput of the loader with workers is measured in wall-clock
time. The first pass, which decodes the assets, is reported separately.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from qumade.data.augment import augment, fitted
from qumade.data.augmentation import Augmentation
from qumade.data.loader import training_batches
from qumade.data.mixture import Ingredient, Mixture
from qumade.data.opening import open_dataset
from qumade.data.synthetic import SyntheticDataset

RUNS = 7


def least_us(work: Callable[[], object], samples: int) -> float:
    """Return the CPU microseconds per sample of the fastest run."""
    seconds = []
    for _ in range(RUNS):
        begin_s = time.process_time()
        work()
        seconds.append(time.process_time() - begin_s)
    return min(seconds) / samples * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="default: that of the samples")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--samples", type=int, default=4096)
    parser.add_argument("--limit", type=int, help="of a recipe")
    options = parser.parse_args()
    torch.set_num_threads(1)
    dataset = open_dataset(options.data, resample_placements=True, limit=options.limit)
    height, width = dataset[0].image.shape[:2]
    size = options.size or (width, height)
    rng = np.random.default_rng(0)
    positions = rng.permutation(len(dataset))[: options.samples]
    groups = np.array_split(positions, max(1, len(positions) // options.batch_size))
    print(f"{len(dataset):,} samples of {width}x{height} in {options.data}, batches of {size[0]}x{size[1]}")

    begin_s = time.process_time()
    for group in groups:
        dataset.read_many(group.tolist())
    print(
        f"first pass over {len(positions):,} samples: {(time.process_time() - begin_s) / len(positions) * 1e6:,.0f} us"
    )

    some = groups[:16]
    read_us = least_us(lambda: [dataset.read_many(group.tolist()) for group in some], sum(map(len, some)))
    print(f"read, warm: {read_us:,.0f} us a sample: {1e6 / read_us:,.0f} samples/s a core")
    if isinstance(dataset, SyntheticDataset):
        one_us = least_us(lambda: [dataset.read(position) for position in groups[0].tolist()], len(groups[0]))
        print(f"read one by one, warm: {one_us:,.0f} us")
    triples = dataset.read_many(positions[:256].tolist())
    print(f"resized only: {least_us(lambda: [fitted(triple, size) for triple in triples], len(triples)):,.0f} us")
    steps = {"crop": {"crop": (0.8, 0.999)}} | {
        name: {name: 1.0} for name in ("mirror", "rotate", "colour", "blur", "noise", "jpeg")
    }
    chosen = {"nothing": Augmentation.none()}
    chosen |= {name: Augmentation.none().model_copy(update=update) for name, update in steps.items()}
    for name, augmentation in (chosen | {"all by default": Augmentation()}).items():

        def work(augmentation: Augmentation = augmentation) -> None:
            for n, triple in enumerate(triples):
                augment(triple, size, augmentation, np.random.Philox(key=0, counter=n << 64))

        print(f"augment, {name}: {least_us(work, len(triples)):,.0f} us")

    mix = Mixture([Ingredient(dataset, np.sort(positions))])
    batches = len(positions) // options.batch_size
    for workers in (0, options.workers):
        made = training_batches(
            mix, size=size, batch_size=options.batch_size, seed=0, stop=batches, augmentation=Augmentation(),
            workers=workers,
        )  # fmt: skip
        for turn in ("first", "second"):
            begin_s, cpu_s = time.perf_counter(), time.process_time()
            for _ in made:
                pass
            seconds, used_s = time.perf_counter() - begin_s, time.process_time() - cpu_s
            rate = batches * options.batch_size / seconds
            us = used_s / batches / options.batch_size * 1e6
            print(f"{workers} workers, {turn} pass: {rate:,.0f} samples/s, {us:,.0f} us of this process a sample")
        made.close()


if __name__ == "__main__":
    main()
