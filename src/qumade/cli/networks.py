"""The verbs for trained networks: predict, export."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from cyclopts import Parameter

from qumade.cli.common import Json, finish, say
from qumade.errors import AssetError, ConfigError
from qumade.io.listing import counted

__all__: list[str] = []

if TYPE_CHECKING:
    from qumade.prediction.folder import VideoOutput
    from qumade.prediction.predictor import Predictor
    from qumade.prediction.video import PredictedClip


def predict(
    network: Path,
    images: list[Path],
    /,
    *,
    out: Path,
    only: str | None = None,
    strict: Annotated[bool, Parameter(negative="")] = False,
    smooth: float = 0.0,
    device: Literal["cpu", "cuda"] | None = None,
    json: Json = False,
) -> int:
    """Predicts masks and depth of images and clips. What cannot be read is reported and skipped; then it exits with 1.

    Example: `qumade predict RUN photos clip.mp4 --out predictions`

    Parameters
    ----------
    network
        The folder of a training run, or an .onnx file of `qumade export`, which needs no torch.
    images
        Images of any size, folders of images, and clips (.mp4, .mov, .mkv, .webm, .avi, ...).
    out
        Folder for STEM_mask.png (8-bit probability), STEM_classes.png (of a network with several classes: their
        numbers, named in predictions.json), STEM_depth.png (16-bit inverse depth; predictions.json records its
        kind and range), STEM_depth_colour.png, STEM_sheet.png (side by side) and STEM_cutout.png (only the object);
        of a clip STEM_overlay.mp4, and STEM_mask.mkv, STEM_depth.mkv and STEM_classes.mkv, which are lossless.
    only
        Outputs to write, for example mask,depth, or overlay of a clip (default: all that the network was trained for).
    strict
        Refuse a folder that holds anything but pictures, instead of leaving it out and saying so.
    smooth
        For clips: weight of the previous frame's prediction in the running average, from 0 (off) to below 1.
    device
        Device to run on (a GPU if available).
    json
        Print one JSON object as the last line on stdout.
    """
    from qumade.depth.words import KIND_WORDS, learned_from
    from qumade.io.pictures import left_out, printable
    from qumade.models.config import TASKS
    from qumade.prediction.clips import is_clip
    from qumade.prediction.files import find_pictures, predict_files
    from qumade.prediction.folder import INDEX, OUTPUTS, VIDEO_OUTPUTS, OutputName
    from qumade.prediction.predictor import load_predictor
    from qumade.prediction.video import check_clips

    clips = [path for path in images if is_clip(path) and not path.is_dir()]
    others = [path for path in images if path not in clips]
    if smooth and not clips:
        raise ConfigError(f"Invalid --smooth: got {smooth:g} without a clip; must be left out for images")
    names = None if only is None else tuple(only.split(","))
    allowed = tuple(dict.fromkeys((OUTPUTS if others else ()) + (VIDEO_OUTPUTS if clips else ())))
    if names is not None and set(names) - set(allowed):
        raise ConfigError(f"Invalid --only: got {only!r}; must be some of {','.join(allowed)}")
    for kind, there, own in (("images", others, OUTPUTS), ("clips", clips, VIDEO_OUTPUTS)):
        if there and names is not None and not set(names) & set(own):
            raise ConfigError(f"Invalid --only: got {only!r}, nothing of {kind}; must name some of {','.join(own)}")
    pictures = find_pictures(others)
    for folder in filter(Path.is_dir, others):
        found = left_out(folder, pictures)
        if found is not None and strict:
            raise AssetError(f"Invalid folder: {printable(folder)}: {found}; must be none with --strict")
        if found is not None:
            say(f"warning: {printable(folder)}: {found}")
    predictor = load_predictor(network, device)
    videos = None if names is None else cast("tuple[VideoOutput, ...]", tuple(n for n in names if n in VIDEO_OUTPUTS))
    if clips:
        clips = check_clips(clips, out, predictor.config, only=videos, smooth=smooth)
    untrained = [task for task in TASKS if task not in predictor.config.trained_tasks]
    note = f"no {untrained[0]}, which the training had no labels of" if untrained else f"{INDEX} says what depth means"
    result: dict[str, Any] = {"out": out.absolute(), "predicted": 0, "failed": ()}
    lines = []
    if pictures:
        outputs = None if names is None else cast("tuple[OutputName, ...]", tuple(n for n in names if n in OUTPUTS))
        predicted = predict_files(predictor, pictures, out, only=outputs, progress=True)
        result = asdict(predicted)
        lines.append(f"{predicted.predicted:,} of {len(pictures):,} pictures predicted into {predicted.out}; {note}")
    if clips:
        done, failed = _predict_clips(predictor, clips, out, videos, smooth)
        result |= {"clips": [asdict(each) for each in done], "failed": (*result["failed"], *failed)}
        frames = sum(each.frames for each in done)
        read = f"{frames:,} frames of {len(done):,} of {len(clips):,} clips predicted into {out.absolute()}"
        lines.append(f"{read}; {note}" if done else read)
    for line in result["failed"]:
        say(f"Error: {line}")
    config = predictor.config
    depth = learned_from(config.depth_sources) if "depth" in config.trained_tasks else ""
    if depth and (result["predicted"] or result.get("clips")):
        lines.append(f"Depth is {KIND_WORDS[config.depth_kind]}, {depth}")
    finish(json, result, "\n".join(lines))
    return int(bool(result["failed"]))


def _predict_clips(
    predictor: "Predictor", clips: list[Path], out: Path, only: "tuple[VideoOutput, ...] | None", smooth: float
) -> tuple[list["PredictedClip"], list[str]]:
    """Predict each clip, and return those that could be read and a line for each that is damaged."""
    from qumade.prediction.clips import UnusableClip
    from qumade.prediction.video import predict_video

    done, failed = [], []
    for clip in clips:
        try:
            found = predict_video(predictor, clip, out, only=only, smooth=smooth, progress=True)
        except UnusableClip as error:
            failed.append(str(error))
            continue
        done.append(found)
        failed += [found.problem] if found.problem else []
    return done, failed


def adapt(
    run: Path,
    photos: Path,
    /,
    *,
    out: Path,
    alpha: float | None = None,
    strict: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> None:
    """Adapts a network to photos of a place, without labels and without training it: it moves the statistics of the
    network's batch normalisation towards those of the photos.

    Example: `qumade adapt RUN photos --out ADAPTED`

    Parameters
    ----------
    run
        The folder of a training run.
    photos
        A folder of photos such as those that the network is meant for; fifty or more.
    out
        Folder for the adapted run, which predict, evaluate and export take like any other.
    alpha
        How far the statistics move, from 0 (not at all) to 1 (to those of the photos). By default as far as the network
        agrees better with itself on mirrored and recoloured photos.
    strict
        Stop at the first photo or entry of the folder that cannot be used, instead of leaving it out and saying so.
    json
        Print one JSON object as the last line on stdout.
    """
    from qumade.training.adapt import ALPHAS
    from qumade.training.adapt import adapt as adapt_run

    result = adapt_run(run, photos, out, alpha=alpha, strict=strict)
    for line in result.left_out:
        say(line)
    text = ""
    if result.agreement:
        rows = [f"  {each:.1f}    {value:.4f}" for each, value in zip(ALPHAS, result.agreement, strict=True)]
        text = "\n".join(["alpha  agreement with itself on mirrored and recoloured photos", *rows, ""])
    text += f"alpha {result.alpha:g} from {counted(result.photos, 'photo', 'photos')}: {result.run}\n"
    text += f"Look at {result.sheet}"
    if result.alpha == 0:
        found = ": with no other alpha does the network agree better with itself" if result.agreement else ""
        text += f"\nNothing changed, the network is that of the run{found}"
    finish(json, result, text)


def export(run: Path, /, *, out: Path, json: Json = False) -> None:
    """Writes the network of a training run as one .onnx file, after comparing it with PyTorch on bundled images.

    Example: `qumade export RUN --out model.onnx`

    Parameters
    ----------
    run
        The folder of a training run.
    out
        File to write. It accepts any number of images of any size, and `qumade predict` can use it.
    json
        Print one JSON object as the last line on stdout.
    """
    from qumade.prediction.export import export as export_run

    result = export_run(run, out)
    finish(
        json,
        result,
        f"{result.file} ({result.size_bytes / 1e6:.1f} MB): at most {result.max_mask_difference:.1g} in the mask and "
        f"{result.max_depth_difference:.1g} of the depth range from PyTorch in {len(result.shapes)} batches of bundled "
        "images",
    )
