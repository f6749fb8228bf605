"""How many samples a second a network learns from: steps of training, from a batch in memory to changed weights.

    python benchmarks/bench_train.py [--model tiny] [--sizes 96 128 224] [--batch-size 16] [--cores 2] [--seconds 10]

A step is what `qumade train` takes: forward, losses of mask and depth, backward, clipping, AdamW, averaged weights.
What reading costs, bench_loading.py measures. Sizes and numbers of threads (1 and --cores) take turns, and the median
and the best of the rounds are printed, for neighbours on a machine only ever slow down.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", choices=("tiny", "small", "base"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 128, 224], help="sides of square pictures")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each case, in all rounds together")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # libraries count the cores when they are imported
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    measure(options)


def measure(options: argparse.Namespace) -> None:
    import torch

    cases = [(size, threads) for size in options.sizes for threads in sorted({1, options.cores})]
    steps = {size: stepping(options.model, size, options.batch_size) for size in options.sizes}
    rates: dict[tuple[int, int], list[float]] = {case: [] for case in cases}
    for number in range(options.rounds + 1):
        for size, threads in cases:
            torch.set_num_threads(threads)
            taken, begin_s = 0, time.perf_counter()
            while (seconds := time.perf_counter() - begin_s) < options.seconds / options.rounds:
                steps[size]()
                taken += 1
            if number:  # memory is laid out in the first one
                rates[size, threads].append(taken * options.batch_size / seconds)
    print(f"{options.model}, batches of {options.batch_size}: samples/s, median of {options.rounds} rounds and best")
    for (size, threads), measured in rates.items():
        threads_text = "1 thread" if threads == 1 else f"{threads} threads"
        print(f"{size:4}x{size:<4} {threads_text:10} {statistics.median(measured):7.1f} {max(measured):7.1f}")


def stepping(model: str, size: int, batch_size: int) -> Callable[[], object]:
    """Return a function that takes one step on a batch of random pictures."""
    import torch

    from qumade.data.batches import Batch
    from qumade.models.config import NetworkConfig
    from qumade.models.network import build_network
    from qumade.train.ema import ema_copy, update_ema
    from qumade.train.losses import Objective
    from qumade.train.state import Learner
    from qumade.train.step import Stepper, new_optimizer

    torch.manual_seed(0)
    network = build_network(NetworkConfig(model=model)).to(memory_format=torch.channels_last).train()
    objective = Objective()
    average = ema_copy(network)
    learner = Learner(network, objective, new_optimizer(network, objective, weight_decay=0.01), average)
    stepper = Stepper(learner, network)
    square = (torch.rand(batch_size, 1, size, size) > 0.9).float()
    batch = Batch(torch.rand(batch_size, 3, size, size), square, 0.05 + 0.9 * torch.rand(batch_size, 1, size, size))

    def step() -> None:
        stepper(batch, 1e-3)
        update_ema(average, network, 0.99, 1000)

    return step


if __name__ == "__main__":
    main()
