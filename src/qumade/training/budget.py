"""From minutes to a number of steps: speed is measured once and the number is then fixed, so that resuming is exact."""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from qumade.data.loader import Batch
from qumade.training.data_setup import VALIDATIONS
from qumade.training.trainer import Trainer

__all__ = ["Pace", "steps_in"]

# The first steps also allocate memory, choose kernels and decode assets: only the later half of the steps counts, and
# the second of two validations.
LEAST, SHARE, MOST_S = 8, 0.02, 20.0  # steps to take at least; share of the time to measure for, and its limit
RESERVE = 0.97  # of the time: checkpoints and pictures take the rest
VALIDATING = 0.15  # of the time at most, where that leaves one validation


class Pace(NamedTuple):
    """How many steps fit into the time, and how many validations among them."""

    steps: int
    validations: int


def steps_in(
    seconds: float,
    trainer: Trainer,
    batches: Iterable[Batch],
    validate: Callable[[], object] | None = None,
    agreed: Callable[[bool], bool] = bool,
) -> Pace:
    """Return how many steps fit into `seconds`, at least 1, and with how many validations, at most 20.

    Measures the speed of a few steps, which are undone afterwards. Several processes have a clock each, but must take
    the same steps: `agreed` turns the decision of one into that of all.
    """
    began = time.monotonic()
    budget = min(SHARE * seconds, MOST_S)
    ends = [began]
    with trainer.restoring_state():
        trainer.network.train()
        for batch in batches:
            float(trainer.step(batch, 0.0)["loss"])  # waits for the device
            ends.append(time.monotonic())
            if len(ends) > LEAST and agreed(ends[-1] - began >= budget):
                break
        middle = (len(ends) - 1) // 2
        per_step = (ends[-1] - ends[middle]) / max(len(ends) - 1 - middle, 1)
        validating = 0.0
        if validate is not None:
            validating = _seconds(validate)
            if agreed(validating < budget):
                validating = _seconds(validate)
    validations = max(1, min(VALIDATIONS, int(VALIDATING * seconds / max(validating, 1e-9))))
    left = RESERVE * seconds - validations * validating - (time.monotonic() - began)
    between = max(1, int(left / per_step) // validations)  # whole, so that no epoch is shorter than the others
    return Pace(between * validations, validations) if left >= validations * per_step else Pace(1, 1)


def _seconds(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began
