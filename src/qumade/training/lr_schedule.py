"""The learning-rate schedule: one cycle, a pure function of the step without state."""

import math

from qumade.errors import ConfigError

__all__ = ["one_cycle"]

WARM_UP = 0.25  # share of the steps on the way up
START, END = 1 / 25, 1 / 25e4  # of the peak


def one_cycle(step: int, steps: int, peak: float) -> float:
    """Return the learning rate of a step in 0 .. steps - 1: it rises to `peak` over the first quarter of the steps and
    then falls to almost 0, both along half a cosine. The only step of a training has the peak.

    L. N. Smith, N. Topin, "Super-convergence: very fast training of neural networks using large learning rates", 2018,
    with the cosine of fast.ai.
    """
    if not 0 <= step < steps:
        raise ConfigError(f"Invalid step: got {step}; must be from 0 to {steps - 1}")
    if steps == 1:
        return peak  # the cycle would begin and end in it, and train nothing
    top = WARM_UP * steps - 1
    if step <= top:
        low, share = START, 1 - step / top if top > 0 else 0.0
    else:
        low, share = END, (step - top) / (steps - 1 - top) if steps - 1 > top else 0.0
    return peak * (low + (1 - low) * (1 + math.cos(math.pi * share)) / 2)
