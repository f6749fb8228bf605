"""The learning-rate finder: what the loss does while the rate grows from next to nothing until training diverges.

L. N. Smith, "Cyclical learning rates for training neural networks", WACV 2017.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qumade.data.loader import Batch
from qumade.errors import QumadeError
from qumade.train.state import Learner, restore, snapshot
from qumade.train.step import Stepper

__all__ = ["LearningRates", "find_learning_rate", "restoring_state", "suggested_rate"]

SMOOTHING = 0.9
DIVERGED = 4.0  # times the lowest smoothed loss
FEWEST = 10


@dataclass(frozen=True, eq=False)
class LearningRates:
    """The rates tried, ascending, and the smoothed loss at each, float64 [n]; and the peak that is suggested."""

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    suggestion: float


def find_learning_rate(
    stepper: Stepper, batches: Iterable[Batch], *, steps: int = 100, lowest: float = 1e-6, highest: float = 1.0
) -> LearningRates:
    """Train on up to `steps` batches with rates from `lowest` to `highest`, each a constant factor above the last,
    until the smoothed loss is four times its lowest or no number. Several processes stop at the same step, since the
    loss is that of them all.

    Afterwards, also after an exception, the learner and all global random numbers are exactly what they were.
    QumadeError where too little was seen for a suggestion.
    """
    if not 0 < lowest < highest or steps < FEWEST:
        raise QumadeError(
            f"Invalid rates: got {lowest} to {highest} in {steps} steps; must ascend from above 0 in at least {FEWEST}"
        )
    rates, losses, average, least = [], [], 0.0, math.inf
    with restoring_state(stepper.learner):
        stepper.learner.network.train()
        for number, batch in zip(range(steps), batches, strict=False):
            rate = lowest * (highest / lowest) ** (number / (steps - 1))
            loss = float(stepper(batch, rate)["loss"])
            average = SMOOTHING * average + (1 - SMOOTHING) * loss
            smooth = average / (1 - SMOOTHING ** (number + 1))
            least = min(least, smooth)
            if not math.isfinite(loss) or (smooth > DIVERGED * least and number >= FEWEST):
                break
            rates.append(rate)
            losses.append(smooth)
    if len(rates) < FEWEST:
        raise QumadeError(f"Invalid rates: got {len(rates)} finite losses from {lowest} on; must be at least {FEWEST}")
    found = np.array(rates), np.array(losses)
    return LearningRates(*found, suggested_rate(*found))


def suggested_rate(rates: NDArray[np.float64], losses: NDArray[np.float64]) -> float:
    """Return the rate at which the loss falls most steeply over the logarithm of the rate, before its minimum; a tenth
    of the rate at the minimum where it falls nowhere."""
    lowest = int(np.argmin(losses))
    slopes = np.gradient(losses, np.log(rates))[: lowest + 1]
    if lowest < 2 or slopes.min() >= 0:
        return float(rates[lowest] / 10)
    return float(rates[int(np.argmin(slopes))])


@contextmanager
def restoring_state(learner: Learner) -> Iterator[None]:
    """On leaving, in whatever way, the learner and all global random numbers are exactly what they were."""
    tensors = snapshot(learner)
    groups = [{k: v for k, v in group.items() if k != "params"} for group in learner.optimizer.param_groups]
    modes = [(module, module.training) for part in learner.modules.values() for module in part.modules()]
    try:
        yield
    finally:
        restore(learner, tensors)
        learner.optimizer.zero_grad(set_to_none=True)
        for group, values in zip(learner.optimizer.param_groups, groups, strict=True):
            group.update(values)
        for module, mode in modes:
            module.training = mode
