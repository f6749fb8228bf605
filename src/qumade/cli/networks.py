"""The verbs for trained networks: predict, export."""

from pathlib import Path
from typing import Annotated, Literal, cast

from cyclopts import Parameter

from qumade.cli.common import Json, finish, say
from qumade.errors import AssetError, ConfigError

__all__: list[str] = []


def predict(
    network: Path,
    images: list[Path],
    /,
    *,
    out: Path,
    only: str | None = None,
    strict: Annotated[bool, Parameter(negative="")] = False,
    device: Literal["cpu", "cuda"] | None = None,
    json: Json = False,
) -> int:
    """Predicts masks and depth of images. Images that cannot be read are reported and skipped; then it exits with 1.

    Example: `qumade predict RUN photos --out predictions`

    Parameters
    ----------
    network
        The folder of a training run, or an .onnx file of `qumade export`, which needs no torch.
    images
        Images of any size, and folders of images.
    out
        Folder for STEM_mask.png (8-bit probability), STEM_classes.png (of a network with several classes: their
        numbers, named in predictions.json), STEM_depth.png (16-bit inverse depth; predictions.json records its
        kind and range), STEM_depth_colour.png, STEM_sheet.png (side by side) and STEM_cutout.png (only the object).
    only
        Outputs to write, for example mask,depth (default: all that the network was trained for).
    strict
        Refuse a folder that holds anything but pictures, instead of leaving it out and saying so.
    device
        Device to run on (a GPU if available).
    json
        Print one JSON object as the last line on stdout.
    """
    from qumade.depth.words import KIND_WORDS, learnt_from
    from qumade.io.pictures import left_out, printable
    from qumade.models.config import TASKS
    from qumade.prediction.files import INDEX, OUTPUTS, OutputName, find_pictures, predict_files
    from qumade.prediction.predictor import load_predictor

    names = None if only is None else tuple(only.split(","))
    if names is not None and set(names) - set(OUTPUTS):
        raise ConfigError(f"Invalid --only: got {only!r}; must be some of {','.join(OUTPUTS)}")
    pictures = find_pictures(images)
    for folder in filter(Path.is_dir, images):
        others = left_out(folder, pictures)
        if others is not None and strict:
            raise AssetError(f"Invalid folder: {printable(folder)}: {others}; must be none with --strict")
        if others is not None:
            say(f"warning: {printable(folder)}: {others}")
    predictor = load_predictor(network, device)
    outputs = cast("tuple[OutputName, ...] | None", names)
    result = predict_files(predictor, pictures, out, only=outputs, progress=True)
    for line in result.failed:
        say(f"Error: {line}")
    config = predictor.config
    depth = "" if "depth" not in config.trained_tasks else learnt_from(config.depth_sources)
    untrained = [task for task in TASKS if task not in predictor.config.trained_tasks]
    note = f"no {untrained[0]}, which the training had no labels of" if untrained else f"{INDEX} says what depth means"
    text = f"{result.predicted:,} of {len(pictures):,} pictures predicted into {result.out}; {note}"
    if depth:
        text += f"\nDepth is {KIND_WORDS[config.depth_kind]}, {depth}"
    finish(json, result, text)
    return int(bool(result.failed))


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
    text += f"alpha {result.alpha:g} from {result.photos:,} photos: {result.run}\nLook at {result.sheet}"
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
