"""The work that executors run: it plans, draws, encodes and writes the samples of a chunk of indices."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qumade.compose.boxes import visible_boxes
from qumade.data.encode import encode_sample
from qumade.generation.journal import Results
from qumade.generation.writers import Writer
from qumade.synth.synthesizer import Synthesizer

__all__ = ["DrawSamples", "Stopped", "Work"]


class Stopped(Exception):
    """Raised when the work is asked to stop between two samples."""


class Work(Protocol):
    """The work on each chunk of indices. It can be pickled; each process opens its own copy."""

    @property
    def objects(self) -> int:
        """The number of columns of visible_fraction: the most objects in a sample; 0 if the work draws none."""

    def open(self) -> None:
        """Is called once in each process, before the first chunk."""

    def close(self) -> None:
        """Is called after the last chunk, if that ran in this process; worker processes end without it."""

    def __call__(self, indices: NDArray[np.int64], stopped: Callable[[], bool]) -> Results:
        """Processes one chunk. Raises Stopped if `stopped()` returns true between two samples."""


@dataclass
class DrawSamples:
    """Draws samples and passes their files to a writer."""

    synthesizer: Synthesizer
    writer: Writer

    @property
    def objects(self) -> int:
        return self.synthesizer.recipe.objects[1]

    def open(self) -> None:
        self.writer.open()

    def close(self) -> None:
        self.writer.close()

    def __call__(self, indices: NDArray[np.int64], stopped: Callable[[], bool]) -> Results:
        recipe = self.synthesizer.recipe
        plans = self.synthesizer.plan(indices)
        results = Results.empty(len(indices), self.objects)
        results.indices[:] = indices
        instances = self.synthesizer.writes_instances
        for n, index in enumerate(indices.tolist()):
            if stopped():
                raise Stopped
            sample = self.synthesizer.render(plans[n])
            encoded = encode_sample(sample, self.synthesizer.depth_encoding, recipe.encoding, instances=instances)
            self.writer.write(self.synthesizer.stem(index), encoded)
            results.visible_fraction[n, : len(sample.visible_fraction)] = sample.visible_fraction
            if instances:
                boxes = visible_boxes(sample.owner, len(sample.visible_fraction))
                results.visible_box[n, : len(boxes)] = boxes
            results.depth_clipped_px[n] = encoded.depth_clipped_px
        return results
