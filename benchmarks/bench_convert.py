"""Speed of `qumade convert`, and the cost of instance maps: benchmarks/bench_convert.py [--samples N]

Conversions of one generated dataset, in two processes: samples per second by the clock, and as two idle cores would
give by the processor time spent. Generation with and without instance maps runs in turn; the ratio of processor times
is printed.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from qumade.assets.bundled import write_samples
from qumade.compose.boxes import visible_boxes
from qumade.convert.exporters.conversion import convert
from qumade.data.encode import encode_sample
from qumade.generation.engine import generate
from qumade.recipe import Recipe
from qumade.synth.synthesizer import Synthesizer

REPEATS = 5


def seconds_per_sample(synthesizer: Synthesizer, samples: int, *, instances: bool) -> float:
    """The time to draw and encode a sample, as a worker does."""
    plans = synthesizer.plan(range(samples))
    start = time.process_time()
    for n in range(samples):
        sample = synthesizer.render(plans[n])
        encode_sample(sample, synthesizer.depth_encoding, synthesizer.recipe.encoding, instances=instances)
        if instances:
            visible_boxes(sample.owner, len(sample.visible_fraction))
    return (time.process_time() - start) / samples


def used_s() -> float:
    """The processor time of this process and of its processes that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=4000)
    samples = parser.parse_args().samples
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_samples(root)
        recipe = Recipe(
            backgrounds=root / "backgrounds", foregrounds=root / "foregrounds", objects=(1, 4), instances=True,
            min_visible=0.3, split=(0.5, 0.3, 0.2), per_pair=100,
        )  # fmt: skip
        synthesizer = Synthesizer.from_recipe(recipe)
        few = min(samples, 300)
        seconds_per_sample(synthesizer, 20, instances=True)  # compiles, and decodes the first assets
        pairs = [
            [seconds_per_sample(synthesizer, few, instances=instances) for instances in (False, True)]
            for _ in range(REPEATS)
        ]
        ratio = statistics.median(with_maps / without for without, with_maps in pairs)
        print(f"instance maps: {ratio:.3f} times the time of a sample without them (median of {REPEATS})")
        generate(synthesizer, root / "dataset", limit=samples, progress=False)
        for to in ("coco", "yolo", "yolo-detect", "voc"):
            start, before = time.perf_counter(), used_s()
            convert(root / "dataset", to, root / to, workers=2, progress=False)
            clock, used = time.perf_counter() - start, used_s() - before
            print(f"{to}: {samples / clock:,.0f} samples/s; on two idle cores {2 * samples / used:,.0f}")


if __name__ == "__main__":
    main()
