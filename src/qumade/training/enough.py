"""Whether a training took enough steps to be judged by its scores."""

import math

from qumade.training.config import TrainConfig

__all__ = ["undertrained"]

ENOUGH = {True: 300, False: 1500}
"""Steps from which scores say something of the data: with a pretrained encoder, and from random weights. On the bundled
samples the mask's IoU still rises steeply before."""


def undertrained(config: TrainConfig, steps: int, seconds: float) -> str:
    """Return a sentence that says that `steps` in `seconds` were too few, and how many steps and minutes are not; ""
    where they were enough, and for a training that starts from an earlier run, which may be as short as it likes."""
    enough = ENOUGH[config.pretrained == "required"]
    if config.start_from is not None or not 0 < steps < enough:
        return ""
    text = f"Undertrained: {steps:,} steps are too few to judge the data or the network by"
    minutes = math.ceil(enough * seconds / steps / 60)
    run = f"run --steps {enough} or more"
    return f"{text}; {run}" + (f" (about --minutes {minutes} on this machine)" if minutes else "")
