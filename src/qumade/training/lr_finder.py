"""The learning-rate finder: records the loss while the rate grows from almost zero until training diverges.

L. N. Smith, "Cyclical learning rates for training neural networks", WACV 2017.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qumade.data.loader import Batch
from qumade.errors import ConfigError
from qumade.training.trainer import Trainer

__all__ = ["LearningRates", "find_learning_rate", "suggested_rate"]

SMOOTHING = 0.9
DIVERGED = 4.0  # times the lowest smoothed loss
FEWEST = 10


@dataclass(frozen=True, eq=False)
class LearningRates:
    """The rates tried, ascending, with the smoothed loss at each, both float64 [n], and the suggested peak rate."""

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    suggestion: float


def find_learning_rate(
    trainer: Trainer, batches: Iterable[Batch], *, steps: int = 100, lowest: float = 1e-6, highest: float = 1.0
) -> LearningRates:
    """Train on up to `steps` batches while the rate grows from `lowest` to `highest` by a constant factor per step.

    Stops where the smoothed loss is four times its lowest value or not finite. Several processes stop at the same step,
    since they share the loss. Afterwards, also after an exception, the trainer and all global random numbers are
    exactly as before. QumadeError where there are too few finite losses for a suggestion.
    """
    if not 0 < lowest < highest or steps < FEWEST:
        raise ConfigError(
            f"Invalid rates: got {lowest} to {highest} in {steps} steps; must ascend from above 0 in at least {FEWEST}"
        )
    rates, losses, average, least = [], [], 0.0, math.inf
    with trainer.restoring_state():
        trainer.network.train()
        for number, batch in zip(range(steps), batches, strict=False):
            rate = lowest * (highest / lowest) ** (number / (steps - 1))
            loss = float(trainer.step(batch, rate, 0.0)["loss"])
            average = SMOOTHING * average + (1 - SMOOTHING) * loss
            smooth = average / (1 - SMOOTHING ** (number + 1))
            least = min(least, smooth)
            if not math.isfinite(loss) or (smooth > DIVERGED * least and number >= FEWEST):
                break
            rates.append(rate)
            losses.append(smooth)
    if len(rates) < FEWEST:
        raise ConfigError(f"Invalid rates: got {len(rates)} finite losses from {lowest} on; must be at least {FEWEST}")
    found = np.array(rates), np.array(losses)
    return LearningRates(*found, suggested_rate(*found))


def suggested_rate(rates: NDArray[np.float64], losses: NDArray[np.float64]) -> float:
    """Return the rate at which the loss falls most steeply over the logarithm of the rate, before its minimum. Where
    the loss only rises, return a tenth of the rate at the minimum."""
    lowest = int(np.argmin(losses))
    slopes = np.gradient(losses, np.log(rates))[: lowest + 1]
    if lowest < 2 or slopes.min() >= 0:
        return float(rates[lowest] / 10)
    return float(rates[int(np.argmin(slopes))])
