"""The training loop: kill it anywhere, start it again with the same config, and the weights are the same.

On a CPU they are the same to the bit, for the same number of threads and the same versions: batch k is a pure function
of the seed and k, the learning rate is one of the step, and the checkpoint holds everything else that changes.
"""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from torch import Tensor

from qumade.data.loader import to_batch
from qumade.errors import ConfigError, QumadeError, RunError
from qumade.io.files import only_one, remove_temporary_files
from qumade.training.best import is_best, is_stale, weights_note, write_best
from qumade.training.budget import steps_in
from qumade.training.checkpoint import latest_checkpoint, read_latest, write_checkpoint
from qumade.training.config import BUDGET, TrainConfig, differences, load_config, save_config
from qumade.training.data_setup import Setup, open_setup, with_steps
from qumade.training.ema import ema_decay_for, update_ema
from qumade.training.enough import undertrained
from qumade.training.fine_tuning import write_start_note
from qumade.training.lr_finder import find_learning_rate
from qumade.training.lr_schedule import one_cycle
from qumade.training.report import AfterEpoch, Report
from qumade.training.run_folder import RunFolder, environment, write_encoder_note, write_weights
from qumade.training.runtime import deterministic_mode, held_signals, new_accelerator
from qumade.training.tracking import DEFAULT_TRACKERS, TrackerName
from qumade.training.trainer import Trainer, new_trainer
from qumade.training.validation import validate
from qumade.viz.curves import draw_learning_rates

__all__ = ["train"]

_log = logging.getLogger(__name__)

Row = dict[str, Any]
Value = TypeVar("Value")

_LONGER = (
    ". A run cannot be made longer, since its learning rate falls to 0 at its last step: `qumade train {} --from {} "
    "--out OTHER` trains its weights further"
)
SHOWN = 12  # samples in a picture
CHECKS = 20  # of the losses, between two validations
FINDER_STEPS = 100
MEASURED_BATCHES = 10_000  # at most, to measure speed


@dataclass
class _Progress:
    """How far a training has come; `sums` are those of the losses since the last row."""

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
    track: Sequence[TrackerName] = DEFAULT_TRACKERS,
) -> Path:
    """Train a network into the run folder `out` and return it. An interrupted run resumes; a finished one is kept.

    `workers` processes read ahead, `threads` threads compute. A checkpoint is written at least every `checkpoint_s`
    seconds and after every epoch. `after_epoch(run, rows)` is called with the rows of results.csv. `track` names the
    trackers that get its figures too.

    Raises QumadeError where the folder holds a run of another config or something else, and where the loss becomes
    non-finite, naming the last good checkpoint. Raises KeyboardInterrupt after Ctrl-C or SIGTERM, with all progress
    saved.
    """
    folder = RunFolder(out)
    accelerator = new_accelerator()
    main = accelerator.is_main_process
    with (
        only_one(folder.root, "training") if main else contextlib.nullcontext(),
        deterministic_mode(threads, accelerator.device),
        held_signals(accelerator.num_processes == 1) as stopped,
    ):
        accelerator.wait_for_everyone()  # until the folder exists
        if main:
            remove_temporary_files(folder.weights("last").parent)
        checkpoint, tensors, state = read_latest(folder.checkpoints) or (None, {}, {})
        if checkpoint is not None and not state.keys() >= _Progress.__dataclass_fields__.keys():
            raise RunError(f"Invalid checkpoint: got other keys in {checkpoint}; must be those of this version")
        setup = open_setup(_config_of(folder, config), accelerator, workers=workers, resumed=checkpoint is not None)
        if checkpoint is not None and setup.fingerprint != state["data"]:
            raise RunError(f"Invalid data: got other data than {checkpoint} was trained on; must be the same")
        if checkpoint is not None and main:
            average = {name.removeprefix("average."): tensors[name] for name in tensors if name.startswith("average.")}
            write_best(folder, setup.network_config(), average, state["step"], state["rows"])
        if state.get("finished"):
            return folder.root
        trainer = new_trainer(setup)
        accelerator.wait_for_everyone()  # no process writes before all have read
        if checkpoint is None:
            if main:
                for note in setup.notes:
                    _log.warning(note)
            setup = _with_rate_and_steps(setup, trainer, folder)
            if main:
                _log.info(_headline(setup))
                if few := _few_steps(setup.config):
                    _log.warning(few)
            so_far = _Progress(setup.fingerprint)
            if main:
                write_encoder_note(folder, setup.config.encoder, setup.encoder_weights)
                if setup.earlier is not None:
                    write_start_note(folder, setup.config, setup.earlier)
                _save(folder, trainer, so_far)
        else:
            so_far = _Progress(**{name: state[name] for name in _Progress.__dataclass_fields__})
            trainer.load_state_dict(tensors, str(checkpoint))
        report = _report(folder, setup, so_far, progress, after_epoch, track) if main else None
        try:
            _run(setup, trainer, folder, so_far, report, checkpoint_s=checkpoint_s, stopped=stopped)
        finally:
            if report is not None:
                report.close()
        accelerator.wait_for_everyone()  # the first process writes, and the others may read next
    return folder.root


def _config_of(folder: RunFolder, given: TrainConfig) -> TrainConfig:
    """Return the config of the run that the folder already holds, or else the given one."""
    if folder.adapted.is_file():
        raise RunError(f"Invalid --out: got {folder.root}, a run that `qumade adapt` wrote; must be another folder")
    if not folder.config.is_file():
        strangers = sorted(path for path in folder.root.iterdir() if not path.name.startswith("."))
        if strangers:
            raise RunError(f"Invalid --out: got {strangers[0]}; must be a new or empty folder, or one of a training")
        return given
    stored = load_config(folder.config)
    unlike = differences(given, stored)
    if unlike:
        longer = all(line.split()[0] in BUDGET for line in unlike)
        raise ConfigError(
            f"Invalid config: got {', '.join(unlike)} in {folder.config}; must be the same, or another --out"
            + (_LONGER.format(quote(str(given.data)), quote(str(folder.root))) if longer else "")
        )
    return stored


def _with_rate_and_steps(setup: Setup, trainer: Trainer, folder: RunFolder) -> Setup:
    """Find the fields that only the running network can show, and write the complete config."""
    config, rates = setup.config, None
    if config.lr == "find":
        with contextlib.closing(setup.batches(0, FINDER_STEPS)) as batches:
            rates = find_learning_rate(trainer, batches, steps=FINDER_STEPS)
        config = config.model_copy(update={"lr": rates.suggestion})
    if config.steps is None and config.minutes is not None:
        with contextlib.closing(setup.batches(0, MEASURED_BATCHES)) as batches:
            pace = steps_in(60 * config.minutes, trainer, batches, lambda: validate(setup, trainer), _of_first_process)
        config = with_steps(config, *pace)
    if config.ema_decay is None:
        config = config.model_copy(update={"ema_decay": ema_decay_for(config.steps or 1)})
    config = _of_first_process(config)
    if setup.accelerator.is_main_process:
        save_config(config, folder.config)
        if rates is not None:
            draw_learning_rates(rates.rates, rates.losses, rates.suggestion, folder.learning_rates)
    return replace(setup, config=config)


def _of_first_process(value: Value) -> Value:
    """Return the first process's value in every process: their clocks differ."""
    first: Value = broadcast_object_list([value])[0]
    return first


def _headline(setup: Setup) -> str:
    config, (width, height) = setup.config, setup.network_config().size
    samples = len(setup.mixture.ingredients[0].positions)
    return (
        f"{config.model} at {width}x{height} on {setup.accelerator.device}: {config.steps:,} steps of "
        f"{config.batch_size}, {samples:,} training samples, learning rate {config.lr:.2g}"
    )


def _few_steps(config: TrainConfig) -> str:
    return undertrained(config, config.steps or 0, 60 * (config.minutes or 0.0))


def _run(
    setup: Setup, trainer: Trainer, folder: RunFolder, so_far: _Progress, report: Report | None, *,
    checkpoint_s: float, stopped: Callable[[], bool],
) -> None:  # fmt: skip
    """Take the remaining steps."""
    config, budget = setup.config, _budget(setup.config)
    sums = _Sums(so_far.sums, setup.accelerator.device)
    check_every = max(1, budget.epoch_steps // CHECKS)
    batches = setup.batches(so_far.step, budget.steps)
    earlier_s, began = so_far.seconds, time.monotonic()
    saved = epoch_began = began
    epoch_step, epoch_waited_s = so_far.step, 0.0
    trainer.network.train()
    try:
        for batch in batches:
            if report is not None and so_far.step == 0:
                report.training_batch(batch)
            lr = one_cycle(so_far.step, budget.steps, budget.peak)
            losses = trainer.step(batch, lr, so_far.step / budget.steps, so_far.step)
            update_ema(trainer.average, trainer.network, budget.ema_decay, so_far.step)
            if trainer.self_training is not None:
                done = (so_far.step / budget.steps, (so_far.step + 1) / budget.steps)
                trainer.self_training.begin_round(*done)
            sums.add(losses)
            so_far.step += 1
            over = so_far.step % budget.epoch_steps == 0 or so_far.step == budget.steps
            check = over or so_far.step % check_every == 0
            # On a GPU a check waits for all work in its queue.
            if (check or sums.device.type == "cpu") and not sums.are_finite():
                raise _non_finite(folder, float(losses["loss"]), so_far.step, lr)
            if report is not None:
                report.step(so_far.step, losses if check else None, lr)
            if over:
                now = time.monotonic()
                so_far.seconds, spent = earlier_s + now - began, now - epoch_began
                samples = (so_far.step - epoch_step) * config.batch_size
                speed = {"samples_per_s": samples / spent, "wait_share": (batches.waited_s - epoch_waited_s) / spent}
                _end_epoch(setup, trainer, folder, so_far, sums, report, lr, speed)
                epoch_began, epoch_step, epoch_waited_s = time.monotonic(), so_far.step, batches.waited_s
            stop = stopped()
            if over or stop or time.monotonic() - saved >= checkpoint_s:
                so_far.sums, so_far.seconds = sums.values(), earlier_s + time.monotonic() - began
                if setup.accelerator.is_main_process:
                    _save(folder, trainer, so_far)
                    write_best(folder, setup.network_config(), trainer.average, so_far.step, so_far.rows)
                saved = time.monotonic()
            if so_far.finished:
                return
            if stop:
                raise KeyboardInterrupt
    finally:
        batches.close()


def _end_epoch(
    setup: Setup, trainer: Trainer, folder: RunFolder, so_far: _Progress, sums: "_Sums", report: Report | None,
    lr: float, speed: Row,
) -> None:  # fmt: skip
    """Validate, add a row, decide whether the training ends, and write the last weights, results and pictures.

    The checkpoint is written after them, so that whatever a kill interrupts is done again.
    """
    budget = _budget(setup.config)
    scores = validate(setup, trainer)
    best = is_best(scores.score, [row["score"] for row in so_far.rows])
    steps = so_far.step - (so_far.rows[-1]["step"] if so_far.rows else 0)
    metrics = {
        **{name: value / steps for name, value in sums.values().items()},
        "val_loss": scores.loss,
        "val_iou": scores.iou,
        "val_delta1": scores.delta1,
        "score": scores.score,
    }
    classes = setup.mixture.classes
    metrics |= {f"val_iou_{name}": iou for name, iou in zip(classes, scores.class_ious, strict=True)}
    if not so_far.rows and setup.accelerator.is_main_process:
        for name, iou in zip(classes, scores.class_ious, strict=True):
            if iou is None and scores.iou is not None:
                _log.warning(f"No val sample shows {name}: its IoU is unknown, and val_iou is the mean of the others")
    samples = so_far.step * setup.config.batch_size
    row = {"epoch": len(so_far.rows) + 1, "step": so_far.step, "samples": samples, "lr": lr, **metrics}
    so_far.rows.append(row | {"best": int(best), **speed, "seconds": so_far.seconds})
    so_far.finished = so_far.step == budget.steps or is_stale(so_far.rows, setup.config.patience)
    sums.clear()
    if report is None:
        return
    write_weights(folder, "last", trainer.average, setup.network_config(), weights_note(so_far.rows[-1]))
    report.epoch(so_far.rows, budget.epochs, trainer.average, final=so_far.finished)


def _save(folder: RunFolder, trainer: Trainer, so_far: _Progress) -> None:
    tensors = trainer.state_dict()
    for name, value in tensors.items():
        if value.is_floating_point() and not name.startswith("random.") and not bool(value.isfinite().all()):
            raise _non_finite(folder, math.nan, so_far.step, math.nan)
    write_checkpoint(folder.checkpoints, so_far.step, tensors, vars(so_far))


def _non_finite(folder: RunFolder, loss: float, step: int, lr: float) -> QumadeError:
    good = latest_checkpoint(folder.checkpoints)
    return RunError(
        f"Invalid loss: got {loss} (or a non-finite gradient or weight) at step {step}, learning rate {lr:.2g}; must "
        f"be finite, as in the last good checkpoint {good}: train into another folder with a smaller --lr"
    )


def _report(
    folder: RunFolder, setup: Setup, so_far: _Progress, progress: bool, after_epoch: AfterEpoch | None,
    track: Sequence[TrackerName],
) -> Report:  # fmt: skip
    """Open the report, and bring it up to date with the checkpoint of an interrupted run."""
    accelerator = setup.accelerator
    network, steps = setup.network_config(), _budget(setup.config).steps
    settings = {name: value for name, value in setup.config.model_dump(mode="json").items() if value is not None}
    report = Report(
        folder, network, steps=steps, step=so_far.step, rows=so_far.rows, progress=progress, after_epoch=after_epoch,
        track=track, settings={name: v if isinstance(v, int | float) else str(v) for name, v in settings.items()},
    )  # fmt: skip
    running = {
        "processes": accelerator.num_processes, "threads": torch.get_num_threads(), "workers": setup.workers
    }  # fmt: skip
    report.environment(environment(accelerator.device, **running))
    if len(setup.validation):
        chosen = setup.validation[np.linspace(0, len(setup.validation) - 1, SHOWN).round().astype(int)]
        samples = setup.main.read_many(sorted(set(chosen.tolist())))
        report.validation_batch(to_batch(samples, network.size).to(accelerator.device))
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
        raise ConfigError("Invalid config: got open steps, epoch_steps, ema_decay or lr; must be found before training")
    return _Budget(config.steps, config.epoch_steps, config.lr, config.ema_decay)


class _Sums:
    """Sums of losses by name. A CUDA GPU keeps them, so that no step waits for it; other GPUs lack 64-bit floats."""

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
