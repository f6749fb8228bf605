"""The verb for training: train."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from qumade.cli.common import Json, Switch, finish, say
from qumade.cli.model_flags import flag_of, flag_values, flags_of
from qumade.errors import ConfigError
from qumade.training.config import TrainConfig

__all__ = ["train"]

if TYPE_CHECKING:
    TrainFlags = Any
else:
    _OTHERS = {"data", "extra_datasets", "unlabelled", "augmentation", "start_from", "found"}
    TrainFlags = flags_of(TrainConfig, "Training fields", without=_OTHERS)
_NO_FIELDS = TrainFlags()


def train(
    data: str | None = None,
    /,
    *,
    out: Path,
    config: Path | None = None,
    from_: Annotated[Path | None, Parameter(name="--from")] = None,
    with_: Annotated[list[str] | None, Parameter(name="--with")] = None,
    unlabelled: str | None = None,
    augment: Switch = None,
    loss: Literal["ms_ssim_l1"] | None = None,
    track: str = "tensorboard",
    workers: int | None = None,
    threads: int | None = None,
    json: Json = False,
    fields: TrainFlags = _NO_FIELDS,
) -> None:
    """Trains one network for mask and depth. After an interruption, the same command resumes.

    Example: `qumade train DATA_PATH --out RUN --minutes 10`

    Several GPUs: `accelerate launch -m qumade train DATA_PATH --out RUN`.

    Parameters
    ----------
    data
        The folder or the URL of a dataset, or a recipe file. Samples of a recipe are drawn on the fly and not written
        to disk.
    out
        RUN, the folder of the training run: new, empty, or started with the same settings.
    config
        YAML file with any of these settings, such as RUN/config.yaml. Flags override it. Settings that an earlier run
        determined for other data, another network or another batch size are determined again.
    from_
        RUN, a finished run whose weights the network starts from: fine-tuning, for example with real photos by --with.
    with_
        A further dataset or recipe and its share of every batch, as PATH:0.1; PATH:0.1:mask or PATH:0.1:depth uses only
        these labels. May be repeated.
    unlabelled
        A folder of photos without labels, and its share of every batch, as PHOTOS or PHOTOS:0.5 (half, by default). The
        averaged network pseudo-labels them; only pixels it is confident about count. How confident it must be can be
        set in a config file only.
    augment
        Augment the training samples (yes); a config file can change the settings of augmentation.
    loss
        The loss of both mask and depth.
    track
        Where the figures go besides the run folder: a list such as tensorboard,wandb, of tensorboard, mlflow, wandb and
        trackio. It replaces the default. The package of each must be installed.
    workers
        Worker processes that read ahead (by default depends on the number of cores).
    threads
        Compute threads (default: all cores).
    json
        Print one JSON object as the last line on stdout.
    """
    if config is None and data is None:
        say("Error: qumade train needs a dataset or a recipe, or a --config that names one")
        raise SystemExit(2)
    given = flag_values(fields, TrainConfig)
    if len(given.keys() & {"epochs", "minutes", "steps"}) > 1:
        say("Error: qumade train takes one of --epochs, --minutes and --steps")
        raise SystemExit(2)
    for flag, count, least in (("--workers", workers, 0), ("--threads", threads, 1)):
        if count is not None and count < least:
            raise ConfigError(f"Invalid {flag}: got {count}; must be at least {least}")
    from accelerate import PartialState

    from qumade.data.augmentation import Augmentation
    from qumade.data.mixture import parse_share
    from qumade.evaluation.cards import training_note
    from qumade.training.config import config_from_dict, left_open, load_config, with_changes
    from qumade.training.loop import train as run
    from qumade.training.run_folder import RunFolder, read_weights_note
    from qumade.training.tracking import parse_trackers

    trackers = parse_trackers(track)
    if data is not None:
        given["data"] = data
    if from_ is not None:
        given["start_from"] = from_
    if with_:
        shares = [parse_share(text) for text in with_]
        given["extra_datasets"] = [{"data": path, "share": share, "parts": parts} for path, share, parts in shares]
    if unlabelled is not None:
        given["unlabelled"] = _photos(unlabelled)
    if augment is not None:
        given["augmentation"] = Augmentation() if augment else Augmentation.none()
    if loss is not None:
        given = {"mask_loss": loss, "depth_loss": loss} | given
    if config is None:
        full_config = config_from_dict(given, "the command line", Path.cwd(), name_field=flag_of)
    else:
        stored = load_config(config)
        full_config = with_changes(stored, given, "the command line", Path.cwd(), name_field=flag_of)
        again = [name for name in left_open(full_config) if name in stored.found and name not in left_open(stored)]
        if again:
            say(f"Note: determined again, since {config.absolute()} has them for other settings: {', '.join(again)}")
    folder = RunFolder(run(full_config, out, workers=workers, threads=threads, track=trackers))
    if not PartialState().is_main_process:
        return
    note = read_weights_note(folder.root)
    metrics = note["metrics"]
    scores = [("val IoU", metrics["val_iou"]), ("val delta1", metrics["val_delta1"]), ("loss", metrics["loss"])]
    best = ", ".join(f"{name} {value:.3f}" for name, value in scores if value is not None)
    text = f"Best after epoch {note['epoch']}: {best}\n"
    if few := training_note(folder.root):
        text += f"{few}\n"
    text += f"Look at\n  {folder.val_pred if folder.val_pred.is_file() else folder.train_batch}\n  {folder.curves}\n"
    text += f"Next: qumade predict {quote(str(out))} PICTURES --out DIR"
    finish(json, {"run": folder.root, "step": note["step"], "epoch": note["epoch"], **metrics}, text)


def _photos(text: str) -> dict[str, Any]:
    """Return the fields of a value of --unlabelled: PHOTOS or PHOTOS:SHARE."""
    path, colon, share = text.rpartition(":")
    if not colon or Path(text).is_dir():
        return {"photos": text}
    return {"photos": path, "share": share}
