"""Which epoch of a training is the best one, and its weights."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from qumade.models.config import NetworkConfig
from qumade.training.run_folder import RunFolder, write_weights

__all__ = ["is_best", "is_stale", "weights_note", "write_best"]

Row = dict[str, Any]

_NO_METRICS = ("epoch", "step", "samples", "lr", "best", "samples_per_s", "wait_share", "seconds")  # columns of a row


def is_best(score: float | None, before: Sequence[float | None]) -> bool:
    """Return whether a validation is the best so far. One without a score is: nothing was there to find, and nothing
    was found, while a score of 0 then means false alarms."""
    return score is None or all(other is not None and score > other for other in before)


def is_stale(rows: Sequence[Row], patience: int | None) -> bool:
    """Return whether the last `patience` validations were no better than the best before them."""
    bests = [number for number, row in enumerate(rows) if row["best"]]
    return patience is not None and len(rows) - 1 - bests[-1] >= patience


def weights_note(row: Row) -> Row:
    """Return the note of the weights of an epoch from its row."""
    metrics = {name: value for name, value in row.items() if name not in _NO_METRICS}
    return {"step": row["step"], "epoch": row["epoch"], "metrics": metrics}


def write_best(
    folder: RunFolder, config: NetworkConfig, average: nn.Module | dict[str, Tensor], step: int, rows: Sequence[Row]
) -> None:
    """Write the best weights if they are those of the epoch that ended at `step`.

    This comes after the checkpoint, and again from it when a run resumes. An epoch that a kill undoes may end with
    another score on a GPU, and the best weights before it would be lost.
    """
    if rows and rows[-1]["best"] and rows[-1]["step"] == step:
        write_weights(folder, "best", average, config, weights_note(rows[-1]))
