"""What a dataset will take, before it is written: a few samples are drawn and measured."""

import time
from dataclasses import dataclass

from qumade.data.shard_files import json_member, sample_members
from qumade.generation.shards import draw_rows
from qumade.io.listing import counted
from qumade.plan.indices import stratified_indices
from qumade.synth.synthesizer import Synthesizer

__all__ = ["Estimate", "estimate"]

_DRAWN = 24


@dataclass(frozen=True)
class Estimate:
    """About how many bytes the files of `samples` samples take, and how many seconds drawing them takes with so many
    worker processes as were asked for."""

    samples: int
    bytes: int
    seconds: float

    def __str__(self) -> str:
        size = f"{self.bytes / 1e9:,.1f} GB" if self.bytes >= 1e9 else f"{max(1, round(self.bytes / 1e6)):,} MB"
        minutes = round(self.seconds / 60)
        time_ = counted(minutes, "minute", "minutes") if minutes else "less than a minute"
        return f"{counted(self.samples, 'sample', 'samples')}, about {size} in {time_}"


def estimate(
    synthesizer: Synthesizer, count: int, workers: int, *, drawn: int = _DRAWN, in_shards: bool = False
) -> Estimate:
    """Return what `count` samples of a synthesizer take with so many worker processes, in a folder or in shards. Draws
    `drawn` of its samples and writes nothing. Depth that a network predicts from the composites is not counted."""
    chosen = stratified_indices(len(synthesizer), drawn)
    synthesizer[int(chosen[0])]  # compiles
    start = time.perf_counter()
    rows, parts, _ = draw_rows(synthesizer, chosen, lambda: False)
    seconds = time.perf_counter() - start
    size = sum(len(content) for files in parts for _, content in files)
    if in_shards:
        size = sum(
            len(sample_members(row["stem"], [*files, ("json", json_member(row))]))
            for row, files in zip(rows.to_pylist(), parts, strict=True)
        )
    return Estimate(count, size * count // len(chosen), seconds * count / len(chosen) / workers)
