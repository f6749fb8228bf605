"""Whether a training took enough steps to be judged by its scores."""

import math

from qumade.training.config import TrainConfig

__all__ = ["starts_trained", "undertrained"]

ENOUGH = {True: 300, False: 1500}
"""Steps from which scores say something of the data: with a pretrained encoder, and from random weights. On the bundled
samples the mask's IoU still rises steeply before."""


def starts_trained(config: TrainConfig) -> bool:
    """Return whether a run of this config begins with weights of an earlier training."""
    return config.pretrained == "required" or config.start_from is not None


def undertrained(steps: int, seconds: float, *, pretrained: bool) -> str:
    """Return a sentence that says that `steps` in `seconds` were too few, and how many steps and minutes are not; ""
    where they were enough. `pretrained`: whether the weights that the training started from were."""
    enough = ENOUGH[pretrained]
    if not 0 < steps < enough:
        return ""
    text = f"Undertrained: {steps:,} steps are too few to judge the data or the network by"
    minutes = math.ceil(enough * seconds / steps / 60)
    run = f"run --steps {enough} or more"
    return f"{text}; {run}" + (f" (about --minutes {minutes} on this machine)" if minutes else "")
