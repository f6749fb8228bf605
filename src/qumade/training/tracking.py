"""Where the figures of a running training go besides its run folder, through the trackers of accelerate.

The run folder stays the truth: a tracker that fails is left out from then on, and the training goes on.
"""

import importlib.util
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from accelerate import PartialState
from accelerate.tracking import GeneralTracker, MLflowTracker, TensorBoardTracker, TrackioTracker, WandBTracker
from torch import Tensor

from qumade.errors import ConfigError

__all__ = ["DEFAULT_TRACKERS", "TrackerName", "Trackers", "parse_trackers"]

_log = logging.getLogger(__name__)

TrackerName = Literal["tensorboard", "mlflow", "wandb", "trackio"]
DEFAULT_TRACKERS: tuple[TrackerName, ...] = ("tensorboard",)
PROJECT = "qumade"
"""The project, or experiment, of all runs. Each start of a training is a run in it, named after the run folder."""
_UNUSUAL = re.compile(r"[^A-Za-z0-9_\-./ ]")  # MLflow refuses other characters in names


def parse_trackers(text: str) -> tuple[TrackerName, ...]:
    """Return the trackers that a text such as "tensorboard,mlflow" names, each once. Raises QumadeError for another
    name, and for one whose package is not installed."""
    names = tuple(dict.fromkeys(text.split(",")))
    known = get_args(TrackerName)
    for name in names:
        if name not in known:
            raise ConfigError(f"Invalid --track: got {name!r}; must be some of {','.join(known)}")
        if importlib.util.find_spec(name) is None:
            raise ConfigError(
                f"Invalid --track: got {name}, whose package is not installed; install it with: pip install {name}"
            )
    return names  # type: ignore[return-value]


class Trackers:
    """The trackers of one start of a training, open until `close`."""

    def __init__(self, names: Sequence[TrackerName], folder: Path, step: int, settings: Mapping[str, Any]) -> None:
        """Open them for the run in `folder`, which is at `step`. `settings` are stored with the run, but not by
        TensorBoard, which would write them into the folder."""
        PartialState()  # accelerate logs nothing without it, and raises instead
        self._open: dict[TrackerName, GeneralTracker] = {}
        for name in names:
            made: list[GeneralTracker] = []

            def start(name: TrackerName = name, made: list[GeneralTracker] = made) -> None:
                made.append(_new_tracker(name, folder, step))
                made[0].start()
                if name != "tensorboard":
                    made[0].store_init_configuration(dict(settings))

            if _works(name, start):
                self._open[name] = made[0]

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers by name."""

        def log(name: TrackerName, tracker: GeneralTracker) -> None:
            plain = name == "tensorboard"
            tracker.log({n if plain else _UNUSUAL.sub("_", n): value for n, value in values.items()}, step=step)

        self._each(log)

    def image(self, name: str, image: Tensor, step: int) -> None:
        """Record a picture, uint8 [3, H, W], where a tracker takes pictures: TensorBoard and Weights & Biases."""

        def log(_: TrackerName, tracker: GeneralTracker) -> None:
            if isinstance(tracker, TensorBoardTracker):
                tracker.log_images({name: image[None].numpy()}, step=step)
            elif isinstance(tracker, WandBTracker):
                tracker.log_images({name: [np.ascontiguousarray(image.permute(1, 2, 0).numpy())]}, step=step)

        self._each(log)

    def flush(self) -> None:
        """Have what was recorded written, where a tracker holds it back."""
        self._each(lambda _, tracker: tracker.writer.flush() if isinstance(tracker, TensorBoardTracker) else None)

    def close(self) -> None:
        """End the runs."""
        self._each(lambda _, tracker: tracker.finish())
        self._open.clear()

    def _each(self, action: Callable[[TrackerName, GeneralTracker], None]) -> None:
        for name, tracker in list(self._open.items()):
            if not _works(name, lambda name=name, tracker=tracker: action(name, tracker)):  # type: ignore[misc]
                del self._open[name]


def _works(name: TrackerName, action: Callable[[], None]) -> bool:
    try:
        action()
    except Exception as error:  # whatever a service, its network or its disk comes up with
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        _log.warning(f"{name} gets no more of this training, which goes on: {reason}")
        return False
    return True


def _new_tracker(name: TrackerName, folder: Path, step: int) -> GeneralTracker:
    if name == "tensorboard":
        # TensorBoard hides earlier events from that step on.
        return TensorBoardTracker("", str(folder), purge_step=step + 1 if step else None)
    if name == "mlflow":
        return MLflowTracker(PROJECT, run_name=folder.name)
    if name == "wandb":
        return WandBTracker(PROJECT, name=folder.name)
    return TrackioTracker(PROJECT, name=folder.name)
