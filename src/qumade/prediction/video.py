"""Clips in, clips out: for each frame the mask, the depth and the classes, and an overlay to look at."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qumade.errors import ConfigError, RunError
from qumade.extras import needs
from qumade.io.files import only_one
from qumade.io.palette import voc_palette
from qumade.io.pictures import printable
from qumade.io.progress import progress_bar
from qumade.models.config import NetworkConfig
from qumade.prediction.clips import FORMATS, ClipReader, ClipWriter, UnusableClip
from qumade.prediction.files import coverage_levels, depth_levels, meaning_of
from qumade.prediction.folder import VideoOutput, make_folder, one_of_each_stem, read_index, same_file, save_index
from qumade.prediction.predictor import Forward, Prediction, Predictor
from qumade.viz.overlay import mask_overlay

__all__ = ["PredictedClip", "check_clips", "overlaid", "predict_video"]

AT_ONCE, AT_ONCE_PX = 8, 1 << 24  # frames and pixels in memory
STRENGTH = 0.55  # of the colour of a class


@dataclass(frozen=True)
class PredictedClip:
    """The number of predicted frames, the files by output, and what is wrong with the clip, "" for nothing."""

    clip: Path
    frames: int
    files: dict[VideoOutput, Path]
    problem: str = ""


def check_clips(
    clips: Sequence[Path],
    out: Path,
    config: NetworkConfig,
    *,
    only: Sequence[VideoOutput] | None = None,
    smooth: float = 0.0,
) -> list[Path]:
    """Return clips, each once, if they can be predicted into a folder as `predict_video` does it; they are not opened.

    Raises QumadeError for two clips of one stem, for `smooth` outside [0, 1), for outputs that the network was not
    trained on, for names that are taken in the folder, and where PyAV is not installed.
    """
    if not 0 <= smooth < 1:
        raise ConfigError(f"Invalid --smooth: got {smooth:g}; must be at least 0 and below 1")
    clips = one_of_each_stem([clip.absolute() for clip in clips], "clip")
    names, out = _outputs(only, config), out.absolute()
    with needs("video", "a clip"):
        import av  # noqa: F401
    index = read_index(out)
    for clip in clips:
        _refuse_taken(index, clip, _files(clip, out, names))
    return clips


def predict_video(
    predictor: Predictor,
    clip: Path,
    out: Path,
    *,
    only: Sequence[VideoOutput] | None = None,
    smooth: float = 0.0,
    progress: bool = False,
) -> PredictedClip:
    """Predict each frame of a clip, upright, and write STEM_overlay.mp4, STEM_mask.mkv and so on into a folder.

    mask: 8-bit grey, 255 certainly the object; depth: 16-bit grey, inverse depth over the network's range; classes:
    8-bit numbers; all three lossless (FFV1). A few frames are in memory at a time. `smooth` in [0, 1): the share of the
    earlier frames in what the network says of a frame, an exponential mean; 0 for none. Files appear when they are
    whole; those of an earlier call for the same clip are written again. A damaged clip gives what can be read of it.

    Raises UnusableClip for a clip that cannot be opened or has no frame, and QumadeError as `check_clips`, and for a
    file that cannot be written, as on a full disk.
    """
    clip, out = clip.absolute(), out.absolute()
    check_clips([clip], out, predictor.config, only=only, smooth=smooth)
    files = _files(clip, out, _outputs(only, predictor.config))
    source = ClipReader(clip)
    make_folder(out, [clip])
    if smooth:
        predictor = replace(predictor, forward=smoothed(predictor.forward, smooth))
    with only_one(out, "predicting"):
        index = read_index(out)
        _refuse_taken(index, clip, files)
        clips: dict[str, Any] = index.setdefault("clips", {})
        before = clips.get(clip.stem)
        entry = before or {"outputs": {}}
        kept = {name: value for name, value in entry["outputs"].items() if name not in files}
        # Until they are whole, files of an earlier call may be of another network.
        clips[clip.stem] = {"source": str(clip), "complete": False, "outputs": kept, "unfinished": sorted(files)}
        save_index(out, index)
        try:
            frames = _write(predictor, source, files, progress)
        except UnusableClip:  # nothing was written: the entry of an earlier call still holds
            index["clips"] = {stem: value for stem, value in {**clips, clip.stem: before}.items() if value is not None}
            save_index(out, index)
            raise
        network = None if predictor.path is None else str(predictor.path)
        written = {
            name: {"file": path.name, "network": network, "smooth": smooth, **meaning_of(name, predictor.config)}
            for name, path in files.items()
        }
        problem = source.problem
        clips[clip.stem] = {
            "source": str(clip), "complete": not problem, "frames": frames, "problem": problem,
            "outputs": kept | written, "unfinished": [],
        }  # fmt: skip
        save_index(out, index)
    return PredictedClip(clip, frames, files, problem)


def smoothed(forward: Forward, share: float) -> Forward:
    """Return a network for consecutive frames that mixes what it says of each with `share` of what it said before."""
    before: list[NDArray[np.float32]] = []

    def smooth(batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        masks, depths = (maps.copy() for maps in forward(batch))
        for frame in zip(masks, depths, strict=True):
            if before and before[0].shape == frame[0].shape:  # a stream may change its size
                for now, earlier in zip(frame, before, strict=True):
                    now *= np.float32(1 - share)
                    now += np.float32(share) * earlier
            before[:] = frame
        return masks, depths

    return smooth


def overlaid(image: NDArray[np.uint8], prediction: Prediction) -> NDArray[np.uint8]:
    """Return a picture uint8 [H, W, 3] with its objects tinted and outlined, or each class in its VOC colour."""
    if prediction.class_map is None:
        return mask_overlay(image, prediction.mask)
    share = np.float32(STRENGTH) * (prediction.class_map > 0)[..., None]
    tint = voc_palette()[prediction.class_map].astype(np.float32)
    mixed: NDArray[np.uint8] = np.clip(image + share * (tint - image) + 0.5, 0, 255).astype(np.uint8)
    return mixed


def _outputs(only: Sequence[VideoOutput] | None, config: NetworkConfig) -> Sequence[VideoOutput]:
    possible: list[VideoOutput] = []
    if "mask" in config.trained_tasks:
        possible += ["overlay", "mask"]
    if "depth" in config.trained_tasks:
        possible.append("depth")
    if config.classes:
        possible.append("classes")
    for name in only or ():
        if name not in possible:
            raise RunError(
                f"Invalid output: got {name!r} of a clip; must be some of {','.join(possible)} for this network"
            )
    return possible if only is None else only


def _files(clip: Path, out: Path, names: Sequence[VideoOutput]) -> dict[VideoOutput, Path]:
    return {name: out / f"{clip.stem}_{name}{FORMATS[name].suffix}" for name in names}


def _refuse_taken(index: dict[str, Any], clip: Path, files: dict[VideoOutput, Path]) -> None:
    entry = index.get("clips", {}).get(clip.stem, {"source": str(clip), "outputs": {}, "unfinished": []})
    if not same_file(Path(entry["source"]), clip):
        raise RunError(
            f"Invalid --out: got predictions of {entry['source']} in it, which those of {printable(clip)} would "
            "overwrite; must be another folder"
        )
    for name, path in files.items():
        if name not in {*entry["outputs"], *entry["unfinished"]} and os.path.lexists(path):
            raise RunError(f"Invalid --out: got {printable(path)}, which no earlier run wrote; must be another folder")


def _write(predictor: Predictor, source: ClipReader, files: dict[VideoOutput, Path], progress: bool) -> int:
    """Predict the frames and write all files; return the number of frames. Nothing appears where there are none."""
    with ExitStack() as stack, progress_bar(total=source.expected, unit="frame", disable=not progress) as bar:
        writers: dict[VideoOutput, Callable[[NDArray[Any], int], None]] = {}
        size = None
        for images, times in _groups(iter(source)):
            if size is None:
                size = images[0].shape[1::-1]
                writers |= {name: stack.enter_context(ClipWriter(path, name, source)) for name, path in files.items()}
            for image, time, prediction in zip(images, times, predictor(images), strict=True):
                if image.shape[1::-1] != size:
                    raise UnusableClip(
                        f"Invalid clip: got frames of {size[0]}x{size[1]} and {image.shape[1]}x{image.shape[0]} in "
                        f"{printable(source.clip)}; must be of one size"
                    )
                for name, write in writers.items():
                    write(_pixels(name, image, prediction, predictor.config), time)
                bar.update()
        if not source.frames:
            raise UnusableClip(
                f"Invalid clip: got no frame of {printable(source.clip)} that can be read; must have some"
            )
    return source.frames


def _groups(frames: Iterator[tuple[NDArray[np.uint8], int]]) -> Iterator[tuple[list[NDArray[np.uint8]], list[int]]]:
    images: list[NDArray[np.uint8]] = []
    times: list[int] = []
    for image, time in frames:
        images.append(image)
        times.append(time)
        if len(images) == AT_ONCE or sum(one.size for one in images) > 3 * AT_ONCE_PX:
            yield images, times
            images, times = [], []
    if images:
        yield images, times


def _pixels(
    name: VideoOutput, image: NDArray[np.uint8], prediction: Prediction, config: NetworkConfig
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    if name == "mask":
        return coverage_levels(prediction.mask)
    if name == "depth":
        return depth_levels(prediction.inverse_depth, config.inverse_depth_limits)
    if name == "classes" and prediction.class_map is not None:
        return prediction.class_map
    drawn = overlaid(image, prediction)
    # H.264 halves the colours: sides must be even.
    return np.pad(drawn, ((0, drawn.shape[0] % 2), (0, drawn.shape[1] % 2), (0, 0)), mode="edge")
