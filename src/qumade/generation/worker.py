"""The work that executors run: it plans, draws, encodes and writes the samples of a chunk of indices."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from qumade.compose.boxes import visible_boxes
from qumade.data.encode import Encoded, encode_sample
from qumade.generation.journal import Results
from qumade.generation.writers import Writer
from qumade.plan.planner import Plans
from qumade.synth.synthesizer import Synthesizer

__all__ = ["DrawSamples", "SharesParts", "Stopped", "Task", "Work", "draw_samples"]

Unit = TypeVar("Unit", contravariant=True)
Result = TypeVar("Result", covariant=True)


class Stopped(Exception):
    """Raised when the work is asked to stop between two samples."""


class Task(Protocol[Unit, Result]):
    """The work on each unit. It can be pickled; each process opens its own copy."""

    def open(self) -> None:
        """Is called once in each process, before the first chunk."""

    def close(self) -> None:
        """Is called after the last chunk, if that ran in this process; worker processes end without it."""

    def __call__(self, unit: Unit, stopped: Callable[[], bool], /) -> Result:
        """Processes one unit. Raises Stopped if `stopped()` returns true between two samples."""


@runtime_checkable
class SharesParts(Protocol):
    """A task whose processes need the same parts, such as decoded cut-outs, which one process of a cluster may make for
    all."""

    def shared_parts(self) -> tuple[int, int]:
        """Returns how many parts are worth sharing, and about how many bytes they take."""

    def make_part(self, number: int) -> Any:
        """Makes a part, in a process where the task is open."""

    def take_parts(self, get: Callable[[int], Any]) -> None:
        """Is called once in each process that shall not make them, after `open`."""


class Work(Task[NDArray[np.int64], Results], Protocol):
    """The work on each chunk of indices."""

    @property
    def objects(self) -> int:
        """The number of columns of visible_fraction: the most objects in a sample; 0 if the work draws none."""


def draw_samples(
    synthesizer: Synthesizer,
    indices: NDArray[np.int64],
    stopped: Callable[[], bool],
    store: Callable[[str, Encoded], None],
) -> tuple[Plans, Results]:
    """Draws samples, calls `store` with the stem and the files of each, and returns their plans and results. Raises
    Stopped if `stopped()` returns true between two samples."""
    plans = synthesizer.plan(indices)
    results = Results.empty(len(indices), synthesizer.recipe.objects[1])
    results.indices[:] = indices
    instances, encoding = synthesizer.writes_instances, synthesizer.recipe.encoding
    for n, index in enumerate(indices.tolist()):
        if stopped():
            raise Stopped
        sample = synthesizer.render(plans[n])
        encoded = encode_sample(sample, synthesizer.depth_encoding, encoding, instances=instances)
        store(synthesizer.stem(index), encoded)
        results.visible_fraction[n, : len(sample.visible_fraction)] = sample.visible_fraction
        if instances:
            boxes = visible_boxes(sample.owner, len(sample.visible_fraction))
            results.visible_box[n, : len(boxes)] = boxes
        results.depth_clipped_px[n] = encoded.depth_clipped_px
    return plans, results


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
        return draw_samples(self.synthesizer, indices, stopped, self.writer.write)[1]
