"""Measure training speed in samples per second: steps from a batch in memory to updated weights.

    python benchmarks/bench_train.py [--model tiny] [--sizes 96 128 224] [--batch-size 32] [--cores 2] [--seconds 10]
    python benchmarks/bench_train.py --encoder tf_efficientnet_lite0 --frozen 5

A step is that of `qumade train`: forward, mask and depth losses, backward, clipping, Muon, averaged weights.
Weights are random: they do not change the speed.
bench_loading.py measures the cost of reading. With --cores threads, a batch is computed in parallel micro-batches of
16, which is the default, and as a whole; in fp32 and, if the processor supports it, in bf16. The cases alternate, and
the median and the best of the rounds are printed, because other processes can only slow a run down.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", choices=("tiny", "small", "base"))
    parser.add_argument("--encoder", help="by default the model's encoder without pretrained weights")
    parser.add_argument("--frozen", type=int, default=0, help="levels of the encoder that are not trained (0)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 128, 224], help="sides of square images")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0, help="per case, over all rounds")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # libraries count the cores when they are imported
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    measure(options)


def measure(options: argparse.Namespace) -> None:
    import torch

    from qumade.training.data_setup import MICRO_BATCH

    units = bool(torch.cpu.get_capabilities().get("amx_bf16"))
    cases = [
        (size, threads, samples, bf16)
        for size in options.sizes
        for bf16 in ((False, True) if units else (False,))
        for threads, samples in sorted(
            {(1, MICRO_BATCH), (options.cores, options.batch_size), (options.cores, MICRO_BATCH)}
        )
    ]
    steps = {case: stepping(*case, options=options) for case in cases}
    rates: dict[tuple[int, int, int, bool], list[float]] = {case: [] for case in cases}
    for number in range(options.rounds + 1):
        for case in cases:
            torch.set_num_threads(case[1])
            taken, begin_s = 0, time.perf_counter()
            while (seconds := time.perf_counter() - begin_s) < options.seconds / options.rounds:
                steps[case]()
                taken += 1
            if number:  # the first step allocates memory
                rates[case].append(taken * options.batch_size / seconds)
    print(f"{options.model}, batches of {options.batch_size}: samples/s, median of {options.rounds} rounds and best")
    for (size, threads, samples, bf16), measured in rates.items():
        text = f"{size:4}x{size:<4} threads: {threads}, together: {samples:2}, {'bf16' if bf16 else 'fp32'}"
        print(f"{text} {statistics.median(measured):7.1f} {max(measured):7.1f}")


def stepping(size: int, threads: int, samples: int, bf16: bool, *, options: argparse.Namespace) -> Callable[[], object]:
    """Return a function that takes one step on a batch of random images."""
    import torch

    from qumade.data.loader import Batch
    from qumade.models.config import NetworkConfig
    from qumade.models.network import build_network
    from qumade.training.ema import ema_copy, update_ema
    from qumade.training.gradient import MicroBatches
    from qumade.training.losses import Objective
    from qumade.training.optimizers import new_optimizer
    from qumade.training.trainer import Trainer

    torch.manual_seed(0)
    given = {} if options.encoder is None else {"encoder": options.encoder}
    network = build_network(NetworkConfig(model=options.model, **given)).to(memory_format=torch.channels_last)
    network.freeze(options.frozen)
    network.train()
    objective = Objective()
    average = ema_copy(network)
    optimizer = new_optimizer("muon" if options.model == "tiny" else "adamw", network, objective, weight_decay=0.01)
    gradient = MicroBatches(network, objective, samples=samples, threads=threads, bf16=bf16)
    trainer = Trainer(network, average, objective, optimizer, gradient)
    shape = options.batch_size, 1, size, size
    square = (torch.rand(shape) > 0.9).float()
    batch = Batch(torch.rand(options.batch_size, 3, size, size), square, 0.05 + 0.9 * torch.rand(shape))

    def step() -> None:
        trainer.step(batch, 1e-3)
        update_ema(average, network, 0.99, 1000)

    return step


if __name__ == "__main__":
    main()
