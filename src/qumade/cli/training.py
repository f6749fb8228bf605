"""Verbs of training: train."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from qumade.cli.common import Json, Switch, app, finish, range_of, say, size_of
from qumade.errors import QumadeError

__all__: list[str] = []


@app.command
def train(
    data: Path | None = None,
    /,
    *,
    out: Path,
    config: Path | None = None,
    with_: Annotated[list[str] | None, Parameter(name="--with")] = None,
    resample_placements: Switch = None,
    limit: int | None = None,
    val_limit: int | None = None,
    augment: Switch = None,
    model: Literal["tiny", "small", "base"] | None = None,
    pretrained: Switch = None,
    size: str | None = None,
    inverse_depth_limits: str | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    epoch_steps: int | None = None,
    patience: int | None = None,
    batch_size: int | None = None,
    optimizer: Literal["muon", "adamw"] | None = None,
    lr: str | None = None,
    weight_decay: float | None = None,
    l1: float | None = None,
    clip: float | None = None,
    ema_decay: float | None = None,
    loss: Literal["ms_ssim_l1"] | None = None,
    mask_loss: Literal["bce_dice", "ms_ssim_l1"] | None = None,
    depth_loss: Literal["silog_ssi", "silog", "ssi", "ms_ssim_l1"] | None = None,
    mask_weight: float | None = None,
    task_weights: Literal["fixed", "uncertainty"] | None = None,
    precision: Literal["auto", "fp32", "bf16"] | None = None,
    seed: int | None = None,
    workers: int | None = None,
    threads: int | None = None,
    json: Json = False,
) -> None:
    """Trains one network for mask and depth. The same command finishes a training that was interrupted.

    Example: `qumade train DATA_PATH --out RUN --minutes 10`

    Several GPUs: `accelerate launch -m qumade train DATA_PATH --out RUN`.

    Parameters
    ----------
    data
        The folder of a dataset, or a recipe: then samples are drawn when they are needed, and nothing lies on disk.
    out
        RUN, the folder of the training: new, empty, or begun with the same settings.
    config
        YAML file with any of these settings, as RUN/config.yaml. Flags win over it, and what that run found for other
        data, another network or batch size is found again.
    with_
        A further dataset or recipe and its share of every batch, as PATH:0.1; PATH:0.1:mask or :depth for these labels
        only. May be given several times.
    resample_placements
        From a recipe: new placements of the same pairs in every pass (yes).
    limit
        Train on that many samples only, spread evenly.
    val_limit
        Validate on that many samples at most, spread evenly (256).
    augment
        Vary the training samples (yes).
    model
        tiny for a CPU, small and base for a GPU (tiny).
    pretrained
        Begin with weights of the encoder trained on ImageNet, downloaded where they are not at hand; small and base.
    size
        Size to train at, in multiples of 32: a side, or WIDTHxHEIGHT (by the samples' shape and the model).
    inverse_depth_limits
        Inverse depth that the network can say: FAR,NEAR (the dataset's; measured where that says none).
    epochs
        Passes over the training samples (20).
    minutes
        Instead: about how long to train. Speed is measured first, and the number of steps fixed.
    steps
        Instead: number of batches.
    epoch_steps
        Batches between two validations (a pass; a twentieth with --minutes or --steps).
    patience
        Stop after that many validations that are no better (never).
    batch_size
        Samples in a batch (32).
    optimizer
        What takes the steps (muon for tiny, adamw for the others).
    lr
        Peak of the learning rate, or `find` to look for it first (by model and optimizer).
    weight_decay
        Share of the weights that a step takes away, times the learning rate (0.01).
    l1
        Weight of the sum of absolute weights (0).
    clip
        Largest norm of the gradient (1); 0 does not clip.
    ema_decay
        Decay of the average of the weights in a step (by the number of steps).
    loss
        original: for mask and depth.
    mask_loss
        Loss of the mask (bce_dice).
    depth_loss
        Loss of the depth (silog_ssi, the sum of silog and half of ssi; ssi where depth is affine or of unknown kind).
    mask_weight
        Weight of the mask's loss, the depth's being 1 (2).
    task_weights
        uncertainty: the two weights are learned (fixed).
    precision
        bf16, or fp32 (auto: bf16 where the GPU or CPU has units for it, else fp32).
    seed
        Another seed gives other weights, batches and augmentation (0).
    workers
        Processes that read ahead (by the cores).
    threads
        Threads that compute (all cores).
    json
        One JSON object as the last line on stdout.
    """
    if config is None and data is None:
        say("Error: qumade train needs a dataset or a recipe, or a --config that names one")
        raise SystemExit(2)
    if sum(budget is not None for budget in (epochs, minutes, steps)) > 1:
        say("Error: qumade train takes one of --epochs, --minutes and --steps")
        raise SystemExit(2)
    for flag, count, least in (("--workers", workers, 0), ("--threads", threads, 1)):
        if count is not None and count < least:
            raise QumadeError(f"Invalid {flag}: got {count}; must be at least {least}")
    from accelerate import PartialState

    from qumade.data.augment import Augmentation
    from qumade.data.mixture import parse_share
    from qumade.train.config import config_from_dict, left_open, load_config, with_changes
    from qumade.train.loop import train as run
    from qumade.train.run_folder import RunFolder, read_weights_note

    flags: dict[str, Any] = {
        "data": data,
        "extra_datasets": with_
        and [{"data": p, "share": share, "parts": parts} for p, share, parts in map(parse_share, with_)],
        "resample_placements": resample_placements,
        "limit": limit,
        "val_limit": val_limit,
        "augmentation": None if augment is None else Augmentation() if augment else Augmentation.none(),
        "model": model,
        "pretrained": pretrained,
        "size": size and size_of(size),
        "inverse_depth_limits": inverse_depth_limits and range_of("--inverse-depth-limits", inverse_depth_limits),
        "epochs": epochs,
        "minutes": minutes,
        "steps": steps,
        "epoch_steps": epoch_steps,
        "patience": patience,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "lr": _rate(lr),
        "weight_decay": weight_decay,
        "l1": l1,
        "clip": clip or None,
        "ema_decay": ema_decay,
        "mask_loss": mask_loss or loss,
        "depth_loss": depth_loss or loss,
        "mask_weight": mask_weight,
        "task_weights": task_weights,
        "precision": precision,
        "seed": seed,
    }
    given = {name: value for name, value in flags.items() if value is not None}
    if clip == 0:
        given["clip"] = None
    if config is None:
        plan = config_from_dict(given, "the command line", Path.cwd())
    else:
        stored = load_config(config)
        plan = with_changes(stored, given, "the command line", Path.cwd())
        again = [name for name in left_open(plan) if name in stored.found and name not in left_open(stored)]
        if again:
            say(f"Note: found anew, since {config.absolute()} has them for other settings: {', '.join(again)}")
    folder = RunFolder(run(plan, out, workers=workers, threads=threads))
    if not PartialState().is_main_process:
        return
    note = read_weights_note(folder.root)
    metrics = note["metrics"]
    scores = [("val IoU", metrics["val_iou"]), ("val delta1", metrics["val_delta1"]), ("loss", metrics["loss"])]
    told = ", ".join(f"{name} {value:.3f}" for name, value in scores if value is not None)
    text = f"Best after epoch {note['epoch']}: {told}\n"
    text += f"Look at\n  {folder.val_pred if folder.val_pred.is_file() else folder.train_batch}\n  {folder.curves}\n"
    text += f"Next: qumade predict {out} PICTURES --out DIR"
    finish(json, {"run": folder.root, "step": note["step"], "epoch": note["epoch"], **metrics}, text)


def _rate(text: str | None) -> float | str | None:
    if text is None or text == "find":
        return text
    try:
        return float(text)
    except ValueError:
        raise QumadeError(f"Invalid --lr: got {text!r}; must be a number, or find") from None
