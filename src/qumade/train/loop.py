"""The training loop: kill it anywhere, start it again with the same config, and the weights come out the same.

On a CPU they are the same to the bit, with the same number of threads and versions: batch k is a pure function of the
seed and k, the learning rate one of the step, and everything else that changes is in the checkpoint.
"""

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from torch import Tensor

from qumade.data.loader import to_batch
from qumade.errors import QumadeError
from qumade.io.files import only_one
from qumade.train.budget import steps_in
from qumade.train.checkpoint import latest_checkpoint, read_checkpoint, write_checkpoint
from qumade.train.config import TrainConfig, differences, load_config, save_config
from qumade.train.data_setup import Setup, open_setup, with_steps
from qumade.train.ema import ema_decay_for, update_ema
from qumade.train.report import AfterEpoch, Report
from qumade.train.run_folder import RunFolder, environment, write_weights
from qumade.train.runtime import console, deterministic_mode, held_signals
from qumade.train.schedule import one_cycle
from qumade.train.state import restore, snapshot
from qumade.train.training import Training, new_accelerator, new_training
from qumade.viz.curves import draw_learning_rates

__all__ = ["train"]

Row = dict[str, Any]
Value = TypeVar("Value")

SHOWN = 12  # samples in a picture
LOOKS = 20  # at the losses, between two validations
MEASURED_BATCHES = 10_000  # at most, to measure speed


@dataclass
class _Progress:
    """How far a training has come; `sums` are of the losses since the last row."""

    data: str
    step: int = 0
    rows: list[Row] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    finished: bool = False


def train(
    config: TrainConfig,
    out: Path | str,
    *,
    workers: int | None = None,
    threads: int | None = None,
    checkpoint_s: float = 60.0,
    progress: bool = True,
    after_epoch: AfterEpoch | None = None,
) -> Path:
    """Train a network into the run folder `out` and return it; a run that was broken off goes on, one that is finished
    is left alone.

    `workers` processes read ahead, `threads` compute; a checkpoint is written at least every `checkpoint_s` seconds and
    after every epoch; `after_epoch(run, rows)` is called with the rows of results.csv. QumadeError where the folder
    holds a run of another config or something else, and where the loss is no number any more: it names the last good
    checkpoint. KeyboardInterrupt after Ctrl-C or SIGTERM, with everything saved.
    """
    folder = RunFolder(out)
    accelerator = new_accelerator()
    main = accelerator.is_main_process
    if main:
        folder.root.mkdir(parents=True, exist_ok=True)
    accelerator.wait_for_everyone()
    with (
        only_one(folder.root, "training") if main else contextlib.nullcontext(),
        deterministic_mode(threads, accelerator.device),
        held_signals(accelerator.num_processes == 1) as stopped,
    ):
        config, resumed = _config_of(folder, config), latest_checkpoint(folder.checkpoints)
        tensors, state = ({}, {}) if resumed is None else read_checkpoint(resumed)
        if state.get("finished"):
            _refuse_other_data(open_setup(config), state["data"], resumed)
            return folder.root
        training = new_training(config, workers=workers, resumed=resumed is not None)
        accelerator.wait_for_everyone()  # nobody writes before all have read
        if resumed is None:
            if progress and main:
                print(*training.setup.notes, sep="\n", file=console(), flush=True)
            training = _with_rate_and_steps(training, folder)
            if progress and main:
                plan, samples = training.setup.config, len(training.setup.mixture.ingredients[0].positions)
                width, height = training.setup.network_config().size
                print(
                    f"{plan.model} at {width}x{height} on {training.accelerator.device}: {plan.steps:,} steps of "
                    f"{plan.batch_size}, {samples:,} training samples, learning rate {plan.lr:.2g}",
                    file=console(),
                    flush=True,
                )
            so_far = _Progress(training.setup.fingerprint)
            if main:
                _save(folder, training, so_far)
        else:
            so_far = _Progress(**{name: state[name] for name in _Progress.__dataclass_fields__})
            _refuse_other_data(training.setup, so_far.data, resumed)
            restore(training.learner, tensors, str(resumed))
        report = _report(folder, training, so_far, progress, after_epoch) if main else None
        try:
            _run(training, folder, so_far, report, checkpoint_s=checkpoint_s, stopped=stopped)
        finally:
            if report is not None:
                report.close()
        accelerator.wait_for_everyone()  # the first process writes, and others may go on to read
    return folder.root


def _config_of(folder: RunFolder, given: TrainConfig) -> TrainConfig:
    """The config of the run that is in the folder already, or else the given one."""
    if not folder.config.is_file():
        strangers = sorted(path for path in folder.root.iterdir() if not path.name.startswith("."))
        if strangers:
            raise QumadeError(f"Invalid --out: got {strangers[0]}; must be a new or empty folder, or one of a training")
        return given
    stored = load_config(folder.config)
    unlike = differences(given, stored)
    if unlike:
        raise QumadeError(
            f"Invalid config: got {', '.join(unlike)} in {folder.config}; must be the same, or another --out"
        )
    return stored


def _refuse_other_data(setup: Setup, fingerprint: str, checkpoint: Path | None) -> None:
    if setup.fingerprint != fingerprint:
        raise QumadeError(f"Invalid data: got others than {checkpoint} was trained on; must be the same")


def _with_rate_and_steps(training: Training, folder: RunFolder) -> Training:
    """Find what only the network at work can tell, and write the complete config."""
    config, rates = training.setup.config, None
    if config.lr == "find":
        rates = training.find_learning_rate()
        config = config.model_copy(update={"lr": rates.suggestion})
    if config.steps is None and config.minutes is not None:
        batches = training.batches(0, MEASURED_BATCHES)
        try:
            pace = steps_in(60 * config.minutes, training.stepper, batches, training.validate, _as_the_first)
            config = with_steps(config, *pace)
        finally:
            batches.close()
    if config.ema_decay is None:
        config = config.model_copy(update={"ema_decay": ema_decay_for(config.steps or 1)})
    config = _as_the_first(config)
    if training.accelerator.is_main_process:
        save_config(config, folder.config)
        if rates is not None:
            draw_learning_rates(rates, folder.learning_rates)
    return replace(training, setup=replace(training.setup, config=config))


def _as_the_first(value: Value) -> Value:
    """What the first process has, in all of them: clocks differ."""
    first: Value = broadcast_object_list([value])[0]
    return first


def _run(
    training: Training, folder: RunFolder, so_far: _Progress, report: Report | None, *,
    checkpoint_s: float, stopped: Callable[[], bool],
) -> None:  # fmt: skip
    """Take the steps that are left."""
    config, learner, budget = training.setup.config, training.learner, _budget(training.setup.config)
    sums = _Sums(so_far.sums, training.accelerator.device)
    look_every = max(1, budget.epoch_steps // LOOKS)
    batches = training.batches(so_far.step, budget.steps)
    earlier_s, began = so_far.seconds, time.monotonic()
    saved = epoch_began = began
    epoch_step, epoch_waited_s = so_far.step, 0.0
    learner.network.train()
    try:
        for batch in batches:
            if report is not None and so_far.step == 0:
                report.training_batch(batch)
            lr = one_cycle(so_far.step, budget.steps, budget.peak)
            losses = training.stepper(batch, lr)
            update_ema(training.average, learner.network, budget.ema_decay, so_far.step)
            sums.add(losses)
            so_far.step += 1
            over = so_far.step % budget.epoch_steps == 0 or so_far.step == budget.steps
            look = over or so_far.step % look_every == 0
            # On a GPU a look waits for all that was asked of it.
            if (look or sums.device.type == "cpu") and not sums.are_finite():
                raise _lost(folder, float(losses["loss"]), so_far.step, lr)
            if report is not None:
                report.step(so_far.step, losses if look else None, lr)
            if over:
                now = time.monotonic()
                so_far.seconds, spent = earlier_s + now - began, now - epoch_began
                samples = (so_far.step - epoch_step) * config.batch_size
                speed = {"samples_per_s": samples / spent, "wait_share": (batches.waited_s - epoch_waited_s) / spent}
                _end_epoch(training, folder, so_far, sums, report, lr, speed)
                epoch_began, epoch_step, epoch_waited_s = time.monotonic(), so_far.step, batches.waited_s
            stop = stopped()
            if over or stop or time.monotonic() - saved >= checkpoint_s:
                so_far.sums, so_far.seconds = sums.values(), earlier_s + time.monotonic() - began
                if training.accelerator.is_main_process:
                    _save(folder, training, so_far)
                saved = time.monotonic()
            if so_far.finished:
                return
            if stop:
                raise KeyboardInterrupt
    finally:
        batches.close()


def _end_epoch(
    training: Training, folder: RunFolder, so_far: _Progress, sums: "_Sums", report: Report | None, lr: float,
    speed: Row,
) -> None:  # fmt: skip
    """Judge, add a row, decide whether it was the last, and write weights, results and pictures. The checkpoint comes
    after them, so that what a kill leaves undone is done again."""
    budget = _budget(training.setup.config)
    scores = training.validate()
    before = [row["score"] for row in so_far.rows if row["score"] is not None]
    best = scores.score is None or scores.score > max(before, default=-math.inf)
    steps = so_far.step - (so_far.rows[-1]["step"] if so_far.rows else 0)
    metrics = {
        **{name: value / steps for name, value in sums.values().items()},
        "val_loss": scores.loss,
        "val_iou": scores.iou,
        "val_delta1": scores.delta1,
        "score": scores.score,
    }
    samples = so_far.step * training.setup.config.batch_size
    row = {"epoch": len(so_far.rows) + 1, "step": so_far.step, "samples": samples, "lr": lr, **metrics}
    so_far.rows.append(row | {"best": int(best), **speed, "seconds": so_far.seconds})
    so_far.finished = so_far.step == budget.steps or _is_stale(so_far.rows, training.setup.config.patience)
    sums.clear()
    if report is None:
        return
    note = {"step": so_far.step, "epoch": row["epoch"], "metrics": metrics}
    for which in ("best", "last"):
        if best or which == "last":
            write_weights(folder, which, training.average, training.setup.network_config(), note)
    report.epoch(so_far.rows, budget.epochs, training.average, final=so_far.finished)


def _is_stale(rows: list[Row], patience: int | None) -> bool:
    """Whether the last `patience` validations were no better than the best before them."""
    bests = [number for number, row in enumerate(rows) if row["best"]]
    return patience is not None and len(rows) - 1 - bests[-1] >= patience


def _save(folder: RunFolder, training: Training, so_far: _Progress) -> None:
    tensors = snapshot(training.learner)
    for name, value in tensors.items():
        if value.is_floating_point() and not name.startswith("random.") and not bool(value.isfinite().all()):
            raise _lost(folder, math.nan, so_far.step, math.nan)
    write_checkpoint(folder.checkpoints, so_far.step, tensors, vars(so_far))


def _lost(folder: RunFolder, loss: float, step: int, lr: float) -> QumadeError:
    good = latest_checkpoint(folder.checkpoints)
    return QumadeError(
        f"Invalid loss: got {loss} (or a gradient or weights like it) at step {step}, learning rate {lr:.2g}; must be "
        f"finite, as it was in the last good checkpoint {good}: train into another folder with a smaller --lr"
    )


def _report(
    folder: RunFolder, training: Training, so_far: _Progress, progress: bool, after_epoch: AfterEpoch | None
) -> Report:
    """Begin to tell; also what was not told yet when the run was broken off."""
    setup, device = training.setup, training.accelerator.device
    network, steps = setup.network_config(), _budget(setup.config).steps
    report = Report(
        folder, network, steps=steps, step=so_far.step, rows=so_far.rows, progress=progress, after_epoch=after_epoch
    )
    processes = training.accelerator.num_processes
    running = {"processes": processes, "threads": torch.get_num_threads(), "workers": training.workers}
    report.environment(environment(device, **running))
    if len(setup.validation):
        chosen = setup.validation[np.linspace(0, len(setup.validation) - 1, SHOWN).round().astype(int)]
        triples = setup.main.read_many(sorted(set(chosen.tolist())))
        report.validation_batch(to_batch(triples, network.size).to(device))
    return report


class _Budget(NamedTuple):
    steps: int
    epoch_steps: int
    peak: float
    ema_decay: float

    @property
    def epochs(self) -> int:
        return math.ceil(self.steps / self.epoch_steps)


def _budget(config: TrainConfig) -> _Budget:
    if (
        config.steps is None
        or config.epoch_steps is None
        or config.ema_decay is None
        or not isinstance(config.lr, float)
    ):
        raise QumadeError("Invalid config: got steps, epoch_steps, ema_decay or lr open; must be found before training")
    return _Budget(config.steps, config.epoch_steps, config.lr, config.ema_decay)


class _Sums:
    """Sums of losses by name, kept on a GPU of CUDA so that no step waits for it; others have no 64 bits."""

    def __init__(self, sums: dict[str, float], device: torch.device) -> None:
        self.device, self._names = device if device.type == "cuda" else torch.device("cpu"), list(sums)
        self._totals = torch.tensor(list(sums.values()), dtype=torch.float64, device=self.device)

    def add(self, losses: dict[str, Tensor]) -> None:
        values = torch.stack(list(losses.values())).to(self.device).double()
        self._totals = self._totals + values if self._names else values
        self._names = list(losses)

    def clear(self) -> None:
        self.__init__({}, self.device)  # type: ignore[misc]

    def are_finite(self) -> bool:
        return bool(self._totals.isfinite().all())

    def values(self) -> dict[str, float]:
        return dict(zip(self._names, self._totals.tolist(), strict=True))
