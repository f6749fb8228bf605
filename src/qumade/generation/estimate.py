"""What a dataset will take, before it is written: a few samples are drawn and measured."""

import time
from dataclasses import dataclass

from qumade.data.encode import encode_sample
from qumade.plan.indices import stratified_indices
from qumade.synth.synthesizer import Synthesizer

__all__ = ["Estimate", "estimate"]

_DRAWN = 24


@dataclass(frozen=True)
class Estimate:
    """About how many bytes the files of `samples` samples take, and how many seconds drawing them takes."""

    samples: int
    bytes: int
    seconds: float

    def __str__(self) -> str:
        size = f"{self.bytes / 1e9:.1f} GB" if self.bytes >= 1e9 else f"{max(1, round(self.bytes / 1e6)):,} MB"
        minutes = round(self.seconds / 60)
        return f"{self.samples:,} samples, about {size} in {minutes:,} minutes" if minutes else (
            f"{self.samples:,} samples, about {size} in less than a minute"
        )  # fmt: skip


def estimate(synthesizer: Synthesizer, count: int, workers: int) -> Estimate:
    """Return what `count` samples of a synthesizer take with so many worker processes. Draws a few of its samples and
    writes nothing. Depth that a network predicts from the composites is not counted."""
    chosen = stratified_indices(len(synthesizer), _DRAWN)
    synthesizer[int(chosen[0])]  # compiles
    size, start = 0, time.perf_counter()
    plans = synthesizer.plan(chosen)
    for number in range(len(chosen)):
        sample = synthesizer.render(plans[number], compress=False)
        encoded = encode_sample(sample, synthesizer.depth_encoding, synthesizer.recipe.encoding)
        size += sum(map(len, encoded.files.values()))
    seconds = time.perf_counter() - start
    return Estimate(count, size * count // len(chosen), seconds * count / len(chosen) / workers)
