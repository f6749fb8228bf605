"""The report of a running training: results.csv, curves, pictures, trackers, a progress bar, a line per epoch."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from qumade.data.loader import Batch
from qumade.io.files import read_bytes, write_bytes
from qumade.io.progress import progress_bar
from qumade.models.config import NetworkConfig
from qumade.training.run_folder import RunFolder, write_results
from qumade.training.runtime import console
from qumade.training.tracking import DEFAULT_TRACKERS, TrackerName, Trackers
from qumade.viz.batch_sheet import batch_sheet, predicted, sheet_tensor
from qumade.viz.curves import draw_curves
from qumade.viz.sheets import save_sheet

__all__ = ["Report", "epoch_line"]

Row = dict[str, Any]
AfterEpoch = Callable[[Path, Sequence[Row]], None]

PICTURES_EVERY_S = 15.0  # else quick epochs would spend their time on drawing
MAX_BYTES = 1 << 24
_COUNTS = ("epoch", "step", "samples")


class Report:
    """Reports and changes nothing: the weights are the same without it."""

    def __init__(
        self, folder: RunFolder, config: NetworkConfig, *, steps: int, step: int, rows: Sequence[Row], progress: bool,
        after_epoch: AfterEpoch | None, track: Sequence[TrackerName] = DEFAULT_TRACKERS,
        settings: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """A resumed run is at `step` and has these rows; entries of later steps, which a kill undid, are removed. The
        trackers `track` get the `settings` of the run."""
        self._folder, self._config, self._after_epoch = folder, config, after_epoch
        write_results(folder.results, rows)
        self._trackers = Trackers(track, folder.root, step, settings or {})
        self._bar = progress_bar(total=steps, initial=step, unit=" steps", desc="training", disable=not progress)
        self._progress = progress
        self._pictures_at = -math.inf
        self._shown: Batch | None = None

    def environment(self, content: Row) -> None:
        """Add this start to environment.json."""
        path, starts = self._folder.environment, []
        if path.is_file():
            try:
                starts = json.loads(read_bytes(path, MAX_BYTES))["starts"]
            except (ValueError, TypeError, KeyError):
                starts = []  # a damaged note must not stop a training
        write_bytes(path, (json.dumps({"starts": [*starts, content]}, indent=2) + "\n").encode())

    def training_batch(self, batch: Batch) -> None:
        """Show a batch exactly as the network sees it."""
        sheet = batch_sheet(batch, self._config, "A training batch, as the network sees it")
        save_sheet(sheet, self._folder.train_batch)
        self._trackers.image("train/batch", sheet_tensor(sheet), 0)

    def validation_batch(self, batch: Batch) -> None:
        """Show the labels of the samples whose predictions are shown after each epoch."""
        self._shown = batch
        sheet = batch_sheet(batch, self._config, "Validation: labels")
        save_sheet(sheet, self._folder.val_labels)
        self._trackers.image("val/labels", sheet_tensor(sheet), 0)

    def step(self, step: int, losses: dict[str, Tensor] | None, lr: float) -> None:
        """Advance the progress bar, and record the losses of a step where they are given."""
        self._bar.update()
        if losses is not None:
            self._bar.set_postfix(loss=f"{float(losses['loss']):.3f}", refresh=False)
            scalars = {f"step/{name}": float(value) for name, value in losses.items()}
            self._trackers.scalars(scalars | {"step/lr": lr}, step)

    def epoch(self, rows: Sequence[Row], epochs: int, network: nn.Module, *, final: bool) -> None:
        """Record the last row. Draw pictures at most every few seconds, and always after the final epoch."""
        row = rows[-1]
        write_results(self._folder.results, rows)
        told = {f"epoch/{name}": value for name, value in row.items() if value is not None and name not in _COUNTS}
        self._trackers.scalars(told, row["step"])
        if self._progress:
            self._bar.write(epoch_line(row, epochs), file=console())
        if final or time.monotonic() - self._pictures_at > PICTURES_EVERY_S:
            self._draw(rows, network)
            self._pictures_at = time.monotonic()
        self._trackers.flush()
        if self._after_epoch is not None:
            self._after_epoch(self._folder.root, rows)

    def close(self) -> None:
        """Close the bar and the trackers."""
        self._bar.close()
        self._trackers.close()

    def _draw(self, rows: Sequence[Row], network: nn.Module) -> None:
        draw_curves(rows, self._folder.curves)
        if self._shown is not None:
            title = f"Validation: predictions after epoch {rows[-1]['epoch']}"
            sheet = batch_sheet(predicted(network, self._shown, self._config.trained_tasks), self._config, title)
            save_sheet(sheet, self._folder.val_pred)
            self._trackers.image("val/predictions", sheet_tensor(sheet), rows[-1]["step"])


def epoch_line(row: Row, epochs: int) -> str:
    """Return the row of an epoch as a readable line."""
    parts = [f"epoch {row['epoch']}/{epochs}", f"loss {row['loss']:.4f}"]
    for name, label in (("val_loss", "val loss"), ("val_iou", "val IoU"), ("val_delta1", "val delta1")):
        if row[name] is not None:
            parts.append(f"{label} {row[name]:.3f}")
    parts += [
        f"lr {row['lr']:.1e}",
        f"{row['samples_per_s']:.1f} samples/s",
        f"{row['wait_share']:.0%} waiting for data",
    ]
    return "   ".join(parts + (["best"] if row["best"] else []))
