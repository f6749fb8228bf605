"""Clips in, clips out: for each frame the mask, the depth and the classes, and an overlay to look at."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from qumade.errors import ConfigError, RunError
from qumade.extras import needs
from qumade.io.files import new_file, only_one
from qumade.io.palette import voc_palette
from qumade.io.pictures import printable
from qumade.io.progress import progress_bar
from qumade.models.config import NetworkConfig
from qumade.prediction.files import (
    coverage_levels,
    depth_levels,
    make_folder,
    meaning_of,
    read_index,
    same_file,
    save_index,
)
from qumade.prediction.predictor import Forward, Prediction, Predictor
from qumade.viz.overlay import mask_overlay

__all__ = [
    "CLIP_SUFFIXES",
    "VIDEO_OUTPUTS",
    "PredictedClip",
    "UnusableClip",
    "VideoOutput",
    "is_clip",
    "overlaid",
    "predict_video",
]

VideoOutput = Literal["overlay", "mask", "depth", "classes"]
VIDEO_OUTPUTS: tuple[VideoOutput, ...] = get_args(VideoOutput)
CLIP_SUFFIXES = frozenset((".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts"))

# A clip may come from anybody: nothing else is opened, no playlist, no address.
OPENED = {"protocol_whitelist": "file", "format_whitelist": "mov,mp4,matroska,webm,avi,mpeg,mpegts,mpegvideo"}
MOST_PX = 100_000_000  # of a frame
AT_ONCE, AT_ONCE_PX = 8, 1 << 24  # frames and pixels in memory
USUAL_RATE = 25
OVERLAY_CODECS = ("libx264", "libopenh264", "mpeg4")
STRENGTH = 0.55  # of the colour of a class


class _Format(NamedTuple):
    suffix: str
    pixels: str


# Masks and depth are lossless: what is read from the files is what was predicted.
_FORMATS: dict[VideoOutput, _Format] = {
    "overlay": _Format(".mp4", "rgb24"),
    "mask": _Format(".mkv", "gray"),
    "depth": _Format(".mkv", "gray16le"),
    "classes": _Format(".mkv", "gray"),
}


class UnusableClip(RunError):
    """A clip that cannot be opened or has no frame."""


@dataclass(frozen=True)
class PredictedClip:
    """The number of predicted frames, the files by output, and what is wrong with the clip, "" for nothing."""

    clip: Path
    frames: int
    files: dict[VideoOutput, Path]
    problem: str = ""


def is_clip(path: Path) -> bool:
    """Return whether a path is named as a clip is."""
    return path.suffix.lower() in CLIP_SUFFIXES


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

    Raises UnusableClip for a clip that cannot be opened or has no frame, and QumadeError for outputs that the network
    was not trained on, and for names that are taken.
    """
    if not 0 <= smooth < 1:
        raise ConfigError(f"Invalid --smooth: got {smooth:g}; must be at least 0 and below 1")
    with needs("video", "a clip"):
        import av  # noqa: F401 - told before the work is done
    clip, out = clip.absolute(), out.absolute()
    names = _outputs(only, predictor.config)
    files = {name: out / f"{clip.stem}_{name}{_FORMATS[name].suffix}" for name in names}
    source = _Source(clip)
    make_folder(out, [clip])
    if smooth:
        predictor = replace(predictor, forward=smoothed(predictor.forward, smooth))
    with only_one(out, "predicting"):
        index = read_index(out)
        clips: dict[str, Any] = index.setdefault("clips", {})
        entry = clips.get(clip.stem, {"source": str(clip), "outputs": {}})
        _refuse_taken(entry, clip, files)
        kept = {name: value for name, value in entry["outputs"].items() if name not in files}
        # Until they are whole, files of an earlier call may be of another network.
        clips[clip.stem] = {"source": str(clip), "complete": False, "outputs": kept, "unfinished": sorted(files)}
        save_index(out, index)
        frames = _write(predictor, source, files, progress)
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


def _refuse_taken(entry: dict[str, Any], clip: Path, files: dict[VideoOutput, Path]) -> None:
    if not same_file(Path(entry["source"]), clip):
        raise RunError(
            f"Invalid --out: got predictions of {entry['source']} in it, which those of {printable(clip)} would "
            "overwrite; must be another folder"
        )
    for name, path in files.items():
        if name not in {*entry["outputs"], *entry.get("unfinished", ())} and os.path.lexists(path):
            raise RunError(f"Invalid --out: got {printable(path)}, which no earlier run wrote; must be another folder")


class _Source:
    """The frames of a clip, upright, and what was wrong with them. Raises QumadeError where it cannot be opened."""

    def __init__(self, clip: Path) -> None:
        import av

        self.clip, self.frames, self.damaged, self._ended = clip, 0, 0, ""
        self._packets = self._told = 0
        try:
            self._container = av.open(str(clip), options=OPENED)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise UnusableClip(f"Invalid clip: cannot read {printable(clip)}: {_reason(error)}") from error
        if not self._container.streams.video:
            self._container.close()
            raise UnusableClip(f"Invalid clip: got no pictures in {printable(clip)}; must be a video")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        width, height = self._stream.width, self._stream.height
        if not 0 < width * height <= MOST_PX:
            self._container.close()
            raise UnusableClip(
                f"Invalid clip: got frames of {width}x{height} in {printable(clip)}; must have at most {MOST_PX:,} "
                "pixels"
            )
        self._told = int(self._stream.frames)  # 0 where the clip does not say
        self.rate = self._stream.average_rate or Fraction(USUAL_RATE)
        self.time_base = self._stream.time_base or 1 / self.rate

    @property
    def expected(self) -> int | None:
        """The number of frames that the clip says it has, None where it does not."""
        if self._told:
            return self._told
        duration = self._container.duration  # microseconds
        return None if not duration else max(1, round(float(duration * self.rate) / 1e6))

    @property
    def problem(self) -> str:
        """What is wrong with the clip, "" for nothing. Known when all frames were read."""
        told = self._told
        if not (self._ended or self.damaged or self._packets < told):
            return ""
        count = f"{self.frames:,} of {told:,} frames" if told else f"{self.frames:,} frames"
        more = f", {self.damaged:,} places are damaged" if self.damaged else ""
        ended = f" ({self._ended})" if self._ended else ""
        return f"Invalid clip: {printable(self.clip)} is damaged: {count} could be read{more}{ended}"

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], int]]:
        """Yield frames uint8 [H, W, 3] with their time in units of `time_base`, which grows."""
        import av

        last = -1
        with self._container as container:
            packets = container.demux(self._stream)
            while True:
                try:
                    packet = next(packets, None)
                except av.FFmpegError as error:
                    self._ended = _reason(error)
                    return
                if packet is None:
                    return
                self._packets += packet.size > 0
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    self.damaged += 1
                    continue
                for frame in frames:
                    self.frames += 1
                    self.damaged += bool(frame.is_corrupt)
                    last = max(last + 1, frame.pts or 0)
                    turns = round(frame.rotation / 90)
                    yield np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns)), last


def _write(predictor: Predictor, source: _Source, files: dict[VideoOutput, Path], progress: bool) -> int:
    """Predict the frames and write all files; return the number of frames. Nothing appears where there are none."""
    with ExitStack() as stack, progress_bar(total=source.expected, unit="frame", disable=not progress) as bar:
        writers: dict[VideoOutput, Callable[[NDArray[Any], int], None]] = {}
        size = None
        for images, times in _groups(iter(source)):
            if size is None:
                size = images[0].shape[1::-1]
                writers |= {name: stack.enter_context(_Writer(path, name, source)) for name, path in files.items()}
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


class _Writer:
    """Writes one clip; the file appears at the end of the block."""

    def __init__(self, path: Path, name: VideoOutput, source: _Source) -> None:
        self._path, self._format, self._source, self._overlay = path, _FORMATS[name], source, name == "overlay"
        self._stack = ExitStack()
        self._stream: Any = None

    def __enter__(self) -> "_Writer":
        import av

        file = self._stack.enter_context(new_file(self._path))
        container_format = "mp4" if self._overlay else "matroska"
        self._container = self._stack.enter_context(av.open(file, "w", format=container_format))
        return self

    def __call__(self, pixels: NDArray[Any], time: int) -> None:
        import av

        if self._stream is None:
            codec = "ffv1"
            if self._overlay:
                codec = next(name for name in OVERLAY_CODECS if name in av.codec.codecs_available)
            self._stream = self._container.add_stream(codec, rate=self._source.rate)
            self._stream.height, self._stream.width = pixels.shape[:2]
            self._stream.pix_fmt = "yuv420p" if self._overlay else self._format.pixels
            self._stream.codec_context.time_base = self._source.time_base
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=self._format.pixels)
        frame.pts, frame.time_base = time, self._source.time_base
        self._container.mux(self._stream.encode(frame))

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            if kind is None and self._stream is not None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._stack.__exit__(kind, error, trace)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
