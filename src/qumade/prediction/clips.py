"""Reading clips and writing those of predictions, with PyAV."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qumade.errors import RunError
from qumade.io.files import new_file
from qumade.io.listing import counted
from qumade.io.pictures import printable
from qumade.prediction.folder import VideoOutput

__all__ = ["CLIP_SUFFIXES", "FORMATS", "ClipReader", "ClipWriter", "UnusableClip", "is_clip"]

CLIP_SUFFIXES = frozenset((".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts"))


# A clip may come from anybody: nothing else is opened, no playlist, no address.
OPENED = {"protocol_whitelist": "file", "format_whitelist": "mov,mp4,matroska,webm,avi,mpeg,mpegts,mpegvideo"}
MOST_PX = 100_000_000  # of a frame
USUAL_RATE = 25
OVERLAY_CODECS = ("libx264", "libopenh264", "mpeg4")


class _Format(NamedTuple):
    suffix: str
    pixels: str


# Masks and depth are lossless: what is read from the files is what was predicted.
FORMATS: dict[VideoOutput, _Format] = {
    "overlay": _Format(".mp4", "rgb24"),
    "mask": _Format(".mkv", "gray"),
    "depth": _Format(".mkv", "gray16le"),
    "classes": _Format(".mkv", "gray"),
}


class UnusableClip(RunError):
    """A clip that cannot be opened or has no frame."""


def is_clip(path: Path) -> bool:
    """Return whether a path is named as a clip is."""
    return path.suffix.lower() in CLIP_SUFFIXES


class ClipReader:
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
        count = f"{self.frames:,} of {told:,} frames" if told else counted(self.frames, "frame", "frames")
        more = f", {counted(self.damaged, 'place is', 'places are')} damaged" if self.damaged else ""
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


class ClipWriter:
    """Writes one clip; the file appears at the end of the block. Raises RunError where it cannot be written."""

    def __init__(self, path: Path, name: VideoOutput, source: ClipReader) -> None:
        self._path, self._format, self._source, self._overlay = path, FORMATS[name], source, name == "overlay"
        self._stack = ExitStack()
        self._stream: Any = None

    def __enter__(self) -> "ClipWriter":
        import av

        self._file = _Sink(self._stack.enter_context(new_file(self._path, error_class=RunError)))
        self._stack.enter_context(self._told())
        container_format = "mp4" if self._overlay else "matroska"
        self._container = self._stack.enter_context(av.open(self._file, "w", format=container_format))
        return self

    def __call__(self, pixels: NDArray[Any], time: int) -> None:
        import av

        with self._told():
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
        if kind is None and self._stream is not None:
            self._stack.push(self._flush)
        self._stack.__exit__(kind, error, trace)

    def _flush(self, *_: object) -> None:
        """Write the frames that the encoder still holds; the stack then closes the file, or removes it."""
        self._container.mux(self._stream.encode(None))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Name the file where PyAV, or the file below it, fails."""
        import av

        try:
            yield
            if self._file.error is not None:
                raise self._file.error
        except (av.FFmpegError, OSError) as error:
            reason = _reason(self._file.error or error)
            raise RunError(f"Invalid output: cannot write {printable(self._path)}: {reason}") from error


class _Sink:
    """The file that PyAV writes to. It never raises but keeps the first error: PyAV raises those of its callbacks late,
    as its own, or prints them."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        return self._tried(lambda: self._file.write(data), len(data))

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._tried(lambda: self._file.seek(offset, whence), offset)

    def tell(self) -> int:
        return self._tried(self._file.tell, 0)

    def _tried(self, call: Callable[[], int], otherwise: int) -> int:
        if self.error is None:
            try:
                return call()
            except OSError as error:
                self.error = error
        return otherwise


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
