"""The files of `qumade predict`: mask, depth and views of them for every picture, and one predictions.json."""

import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qumade.depth.codec import encode_depth
from qumade.depth.encoding import DepthEncoding
from qumade.errors import AssetError, RunError
from qumade.io.decode import read_rgb
from qumade.io.encode import png_bytes
from qumade.io.files import only_one, write_bytes
from qumade.io.palette import palette_image
from qumade.io.pictures import UnusablePicture, list_pictures, printable
from qumade.io.progress import progress_bar
from qumade.models.config import TASKS, NetworkConfig, Task
from qumade.models.resizing import resized
from qumade.prediction.folder import (
    OUTPUTS,
    OutputName,
    make_folder,
    one_of_each_stem,
    read_index,
    same_file,
    save_index,
)
from qumade.prediction.predictor import Prediction, Predictor
from qumade.viz.overlay import mask_overlay
from qumade.viz.sheets import coloured_depth, depth_legend

__all__ = [
    "Predicted", "coverage_levels", "depth_levels", "draw", "find_pictures", "meaning_of", "predict_files",
]  # fmt: skip

_TASK_OF: dict[OutputName, Task] = {
    "mask": "mask", "classes": "mask", "depth": "depth", "depth_colour": "depth", "cutout": "mask",
}  # fmt: skip

GROUP_PICTURES, GROUP_PX = 32, 1 << 24  # what is in memory at once, beyond a single picture
SHEET_SIDES = (240, 480)  # px, of the longer side of each cell: enlarged to about that, shrunk to that
SHEET_GAP = 6
PAPER = (250, 250, 248)
FASTEST = 1


@dataclass(frozen=True)
class Predicted:
    """The folder, the number of predicted pictures, and a line for each picture that could not be read."""

    out: Path
    predicted: int
    failed: tuple[str, ...]


def find_pictures(inputs: Sequence[Path]) -> list[Path]:
    """Return the pictures named, and those in the folders named (not below them), each once.

    Raises QumadeError for a path where nothing is, a folder without pictures, a name too long to name predictions
    after, and two pictures of one stem, whose predictions would have the same names.
    """
    return one_of_each_stem(_listed(inputs), "picture")


def _listed(inputs: Sequence[Path]) -> Iterator[Path]:
    for path in map(Path.absolute, inputs):
        if not path.exists():
            raise AssetError(
                f"Invalid picture: got nothing at {printable(path)}; must be a picture or a folder of them"
            )
        pictures = list_pictures(path) if path.is_dir() else [path]
        if not pictures:
            raise AssetError(
                f"Invalid folder: got no picture in {printable(path)}; must hold some, such as JPEG or PNG files"
            )
        yield from pictures


def predict_files(
    predictor: Predictor,
    pictures: Sequence[Path],
    out: Path,
    *,
    only: Sequence[OutputName] | None = None,
    progress: bool = False,
) -> Predicted:
    """Predict pictures, and write STEM_mask.png and the other outputs into a folder.

    `only` selects outputs, by default all that the network was trained on: only masks, for example, where its training
    data had no depth. Files that an earlier call wrote for the same pictures are overwritten, no others. A picture that
    cannot be read is left out and named in the result. Raises QumadeError for outputs that the network was not trained
    on, for names that are taken, and where the folder cannot be written.
    """
    only = _outputs(only, predictor.config)
    network = None if predictor.path is None else str(predictor.path)
    out = out.absolute()
    make_folder(out, pictures)
    with only_one(out, "predicting"):
        index = read_index(out)
        before = {path.stem: index["pictures"].get(path.stem) for path in pictures}
        _claim(out, index, pictures, only)
        unread: dict[str, str] = {}
        with progress_bar(total=len(pictures), unit="picture", disable=not progress) as bar:
            for path, image, outputs in _written(predictor, pictures, out, only, unread, bar):
                entry = index["pictures"][path.stem]
                written = {name: {**values, "network": network} for name, values in outputs.items()}
                index["pictures"][path.stem] = {
                    "source": entry["source"],
                    "width": image.shape[1],
                    "height": image.shape[0],
                    "outputs": entry["outputs"] | written,
                    "unfinished": sorted(set(entry["unfinished"]) - set(only)),
                }
        # Nothing was written for an unreadable picture: its earlier entry still holds.
        index["pictures"] |= {stem: before[stem] for stem in unread}
        index["pictures"] = {stem: entry for stem, entry in index["pictures"].items() if entry is not None}
        index["failed"] = list(unread.values())
        save_index(out, index)
    return Predicted(out, len(pictures) - len(unread), tuple(unread.values()))


def _written(
    predictor: Predictor,
    pictures: Sequence[Path],
    out: Path,
    only: Sequence[OutputName],
    unread: dict[str, str],
    bar: Any,
) -> Iterator[tuple[Path, NDArray[np.uint8], dict[str, dict[str, Any]]]]:
    """Predict and write, and yield each readable picture with the entries of its outputs in predictions.json."""
    with ThreadPoolExecutor(2) as pool:
        for paths, images in _groups(pictures, unread, bar):
            predictions = predictor(images)
            jobs = [
                pool.submit(_write, out, path, image, prediction, predictor, only)
                for path, image, prediction in zip(paths, images, predictions, strict=True)
            ]
            for path, image, job in zip(paths, images, jobs, strict=True):
                yield path, image, job.result()
                bar.update()


def _outputs(only: Sequence[OutputName] | None, config: NetworkConfig) -> Sequence[OutputName]:
    possible = [name for name in OUTPUTS if _TASK_OF.get(name) in (None, *config.trained_tasks)]
    if not config.classes:
        possible = [name for name in possible if name != "classes"]
    for name in only or ():
        if name == "classes" and not config.classes:
            raise RunError(
                "Invalid output: got 'classes' of a network for objects of one class; must be some of "
                f"{','.join(possible)}"
            )
        if name not in possible:
            raise RunError(
                f"Invalid output: got {name!r} of a network whose training had no {_TASK_OF[name]}; must be some of "
                f"{','.join(possible)}"
            )
    return possible if only is None else only


def draw(
    image: NDArray[np.uint8],
    prediction: Prediction,
    name: OutputName,
    inverse_depth_limits: tuple[float, float],
    trained_tasks: Sequence[Task] = TASKS,
) -> Image.Image:
    """Return one output as a picture of the image's size (a sheet: up to 480 px a cell).

    mask: 8-bit grey, 255 certainly the object. depth: 16-bit grey, inverse depth linearly over `inverse_depth_limits`.
    depth_colour: from black (far) to bright (near) over the picture's own range. cutout: RGBA, the mask as alpha.
    sheet: image, the mask over it, mask (or classes) and coloured depth side by side; only tasks that the network was
    trained on. classes of a network with several: the number of each pixel's class, 0 for the background, in the
    colours of Pascal VOC.
    """
    if name == "mask":
        return Image.fromarray(coverage_levels(prediction.mask))
    if name == "classes":
        return _labels(prediction)
    if name == "depth":
        return Image.fromarray(depth_levels(prediction.inverse_depth, inverse_depth_limits))
    if name == "depth_colour":
        return Image.fromarray(_colours(prediction.inverse_depth))
    if name == "cutout":
        alpha = coverage_levels(prediction.mask)
        return Image.fromarray(np.dstack([np.where(alpha[..., None] > 0, image, np.uint8(0)), alpha]))
    return _sheet(image, prediction, trained_tasks)


def coverage_levels(mask: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a probability [H, W] as 8-bit grey, 255 for 1."""
    return (np.clip(mask, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def _labels(prediction: Prediction) -> Image.Image:
    if prediction.class_map is None:
        raise ValueError("classes of a network for objects of one class")
    return palette_image(prediction.class_map)


def depth_levels(inverse_depth: NDArray[np.float32], inverse_depth_limits: tuple[float, float]) -> NDArray[np.uint16]:
    """Return inverse depth [H, W] as 16-bit grey, linearly over `inverse_depth_limits`."""
    encoding = DepthEncoding(kind="affine", code="inverse", bits=16, range=inverse_depth_limits)
    levels: NDArray[np.uint16] = encode_depth(inverse_depth, encoding)[0]
    return levels


def _colours(inverse_depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return colours through a lookup table: a photo of many megapixels would otherwise need gigabytes of memory."""
    far, near = float(inverse_depth.min()), float(inverse_depth.max())
    share = (inverse_depth - np.float32(far)) * np.float32(255 / max(near - far, 1e-12))
    colours: NDArray[np.uint8] = _colour_table()[(share + np.float32(0.5)).astype(np.uint8)]
    return colours


@functools.cache
def _colour_table() -> NDArray[np.uint8]:
    table: NDArray[np.uint8] = coloured_depth(np.linspace(0, 1, 256, dtype=np.float32)[None], (0.0, 1.0))[0]
    return table


def _sheet(image: NDArray[np.uint8], prediction: Prediction, trained_tasks: Sequence[Task]) -> Image.Image:
    height, width = image.shape[:2]
    longer = max(height, width)
    factor = max(1, SHEET_SIDES[0] // longer) * min(1.0, SHEET_SIDES[1] / longer)  # whole pixels stay whole
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    resample = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.BOX
    cells = [Image.fromarray(image)]
    if "mask" in trained_tasks:
        small = np.asarray(cells[0].resize(size, resample).convert("RGB"))
        cells.append(Image.fromarray(mask_overlay(small, resized(prediction.mask, size))))
        one = prediction.class_map is None
        cells.append(Image.fromarray(coverage_levels(prediction.mask)) if one else _labels(prediction))
    if "depth" in trained_tasks:
        cells.append(Image.fromarray(_colours(prediction.inverse_depth)))
    upright = size[0] <= 4 * size[1]  # a panorama's cells stand below each other
    step = size[0] + SHEET_GAP if upright else size[1] + SHEET_GAP
    length = len(cells) * step - SHEET_GAP
    whole = (length, size[1]) if upright else (size[0], length)
    sheet = Image.new("RGB", whole, PAPER)
    for position, cell in enumerate(cells):
        place = (position * step, 0) if upright else (0, position * step)
        sheet.paste(cell.resize(size, resample).convert("RGB"), place)
    return sheet


def _groups(
    pictures: Sequence[Path], unread: dict[str, str], bar: Any
) -> Iterator[tuple[list[Path], list[NDArray[np.uint8]]]]:
    """Read pictures and yield them in groups that fit into memory; `unread` receives the reason for unreadable ones."""
    paths: list[Path] = []
    images: list[NDArray[np.uint8]] = []
    for path in pictures:
        try:
            image = read_rgb(path)
        except UnusablePicture as error:
            unread[path.stem] = error.message
            bar.update()
            continue
        if paths and sum(one.size for one in images) + image.size > 3 * GROUP_PX:
            yield paths, images
            paths, images = [], []
        paths.append(path)
        images.append(image)
        if len(paths) == GROUP_PICTURES:
            yield paths, images
            paths, images = [], []
    if paths:
        yield paths, images


def _write(
    out: Path,
    path: Path,
    image: NDArray[np.uint8],
    prediction: Prediction,
    predictor: Predictor,
    only: Sequence[OutputName],
) -> dict[str, dict[str, Any]]:
    """Write the outputs of one picture, and return their entries in predictions.json."""
    config = predictor.config
    entries: dict[str, dict[str, Any]] = {}
    for name in only:
        drawn = draw(image, prediction, name, config.inverse_depth_limits, config.trained_tasks)
        file = f"{path.stem}_{name}.png"
        write_bytes(out / file, png_bytes(drawn, FASTEST))
        entries[name] = {"file": file}
        entries[name] |= meaning_of(name, config)
    return entries


def meaning_of(name: str, config: NetworkConfig) -> dict[str, Any]:
    """Return what the values of an output mean, as predictions.json says it."""
    if name == "classes":
        return {"names": ["background", *config.classes], "code": "value = position in names"}
    if name == "depth":
        return {
            "kind": config.depth_kind,
            "meaning": depth_legend(config.depth_kind),
            "learned_from": list(config.depth_sources),
            "range": list(config.inverse_depth_limits),
            "code": "inverse depth = range[0] + (range[1] - range[0]) * value / 65535; larger is nearer",
        }
    return {}


def _claim(out: Path, index: dict[str, Any], pictures: Sequence[Path], only: Sequence[OutputName]) -> None:
    """Record in the folder's predictions.json, before anything is predicted, which files are about to change.

    They stay `unfinished` until they are written: their old entries no longer hold, and the files of an interrupted run
    can be distinguished from those of others.
    """
    for path in pictures:
        earlier = index["pictures"].get(path.stem, {"source": str(path), "outputs": {}, "unfinished": []})
        if not same_file(Path(earlier["source"]), path):
            raise RunError(
                f"Invalid --out: got predictions of {earlier['source']} in {printable(out)}, which those of "
                f"{printable(path)} would overwrite; must be another folder"
            )
        ours = {*earlier["outputs"], *earlier["unfinished"]}
        for name in only:
            file = out / f"{path.stem}_{name}.png"
            if name not in ours and file.exists():
                raise RunError(
                    f"Invalid --out: got {printable(file)}, which no earlier run wrote; must be another folder"
                )
        outputs = {name: output for name, output in earlier["outputs"].items() if name not in only}
        index["pictures"][path.stem] = {
            **earlier, "outputs": outputs, "unfinished": sorted({*earlier["unfinished"], *only})
        }  # fmt: skip
    save_index(out, index)
