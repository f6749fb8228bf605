"""From minutes to a number of steps: speed is measured once and the number fixed, so that resuming stays exact."""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from qumade.data.loader import Batch
from qumade.train.data_setup import VALIDATIONS
from qumade.train.learning_rate import restoring_state
from qumade.train.step import Stepper

__all__ = ["Pace", "steps_in"]

# Memory is laid out, kernels are chosen and assets decoded at first: the later half of the steps counts, and the second
# of two validations.
LEAST, SHARE, MOST_S = 8, 0.02, 20.0  # steps to take at least; share of the time to spend on it, and its end
RESERVE = 0.97  # of the time: checkpoints and pictures take the rest
JUDGING = 0.15  # of the time at most, where that leaves one validation


class Pace(NamedTuple):
    """How many steps there is time for, and how many validations among them."""

    steps: int
    validations: int


def steps_in(
    seconds: float,
    stepper: Stepper,
    batches: Iterable[Batch],
    validate: Callable[[], object] | None = None,
    agreed: Callable[[bool], bool] = bool,
) -> Pace:
    """Return how many steps fit into `seconds`, at least 1, and with how many validations, at most 20, from the speed
    of a few steps that are undone afterwards.

    Of several processes each has its own clock, and none can take a step alone: `agreed` turns what one thinks into
    what all do.
    """
    began = time.monotonic()
    budget = min(SHARE * seconds, MOST_S)
    ends = [began]
    with restoring_state(stepper.learner):
        stepper.learner.network.train()
        for batch in batches:
            float(stepper(batch, 0.0)["loss"])  # waits for the device
            ends.append(time.monotonic())
            if len(ends) > LEAST and agreed(ends[-1] - began >= budget):
                break
        middle = (len(ends) - 1) // 2
        per_step = (ends[-1] - ends[middle]) / max(len(ends) - 1 - middle, 1)
        judging = 0.0
        if validate is not None:
            judging = _seconds(validate)
            if agreed(judging < budget):
                judging = _seconds(validate)
    validations = max(1, min(VALIDATIONS, int(JUDGING * seconds / max(judging, 1e-9))))
    left = RESERVE * seconds - validations * judging - (time.monotonic() - began)
    between = max(1, int(left / per_step) // validations)  # whole, so that no epoch is shorter than the others
    return Pace(between * validations, validations) if left >= validations * per_step else Pace(1, 1)


def _seconds(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began
