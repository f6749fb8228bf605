"""From minutes to a number of steps: speed is measured once and the number fixed, so that resuming stays exact."""

import time
from collections.abc import Callable, Iterable

from qumade.data.batches import Batch
from qumade.train.learning_rate import as_it_was
from qumade.train.setup import VALIDATIONS
from qumade.train.step import Stepper

__all__ = ["steps_in"]

WARM_UP = 3  # steps: memory is laid out and kernels are chosen in the first ones
LEAST, SHARE, MOST_S = 5, 0.02, 20.0  # steps to measure at least; share of the time to spend on it, and its end
RESERVE = 0.98  # of the time: checkpoints and pictures take the rest


def steps_in(
    seconds: float, stepper: Stepper, batches: Iterable[Batch], validate: Callable[[], object] | None = None
) -> int:
    """Return how many steps fit into `seconds` with their validations, at least 1, from the speed of a few steps that
    are undone afterwards."""
    began = time.monotonic()
    budget = min(SHARE * seconds, MOST_S)
    taken, since = 0, began
    with as_it_was(stepper.learner):
        stepper.learner.network.train()
        for batch in batches:
            float(stepper(batch, 0.0)["loss"])  # waits for the device
            taken += 1
            now = time.monotonic()
            if taken == WARM_UP:
                since = now
            if taken >= WARM_UP + LEAST and now - since >= budget:
                break
        per_step = (time.monotonic() - since) / max(taken - WARM_UP, 1)
        before = time.monotonic()
        if validate is not None:
            validate()
        judging = (time.monotonic() - before) * VALIDATIONS
    left = RESERVE * seconds - judging - (time.monotonic() - began)
    return max(1, int(left / per_step))
