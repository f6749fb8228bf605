"""Depth teachers predict the inverse depth of a picture, for networks with any convention of depth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qumade.depth.encoding import DepthKind
from qumade.errors import ConfigError, RunError
from qumade.extras import needs
from qumade.teachers.cache import cached_maps, file_fingerprint

__all__ = ["DEFAULT_MODEL", "DepthLabels", "DepthTeacher", "depth_teacher", "label_depth"]

DEFAULT_MODEL = "depth-anything/Depth-Anything-V2-Small-hf"
"""The network that `auto` stands for. Its license is Apache-2.0, unlike that of the larger Depth Anything V2."""

_CONVENTION = "1"  # part of the cache's folder: raised when the same network would be read another way

Picture = NDArray[np.uint8]
InverseDepth = NDArray[np.float32]


@dataclass(frozen=True)
class DepthTeacher:
    """A network that labels depth.

    `predict` takes pictures uint8 [H, W, 3] and a batch size, and gives each one's inverse depth float32 [H, W] at its
    own size: larger is nearer; for metric (1/m) and scaled depth never below 0. The network is loaded at the first
    call. `fingerprint` is a hash of all files that decide what it predicts.
    """

    kind: DepthKind
    fingerprint: str
    batch_size: int
    predict: Callable[[Sequence[Picture], int], list[InverseDepth]]
    labels: ClassVar[str] = "depth"  # what it gives, in a word

    @property
    def cache_name(self) -> str:
        """The name of the folder for what it predicts."""
        return f"depth-{_CONVENTION}-{self.fingerprint[:32]}"


@dataclass(frozen=True)
class DepthLabels:
    """Inverse depth of pictures: .npy files, float32 [H, W], in the order of the pictures, and their kind."""

    files: list[Path]
    kind: DepthKind


def label_depth(
    paths: Sequence[Path], model: str | Path, *, cache: Path, batch_size: int | None = None, download: bool = False
) -> DepthLabels:
    """Label pictures with a depth teacher. Labels in the folder `cache` are reused.

    `model` as in `depth_teacher`. Raises QumadeError for a model that cannot be used and a picture that cannot be read.
    """
    teacher = depth_teacher(model, download=download)
    size = teacher.batch_size if batch_size is None else batch_size
    if size < 1:
        raise ConfigError(f"Invalid batch size: got {size}; must be at least 1")
    maps = cache / teacher.cache_name
    files = cached_maps(
        paths, maps, lambda some: list(teacher.predict(some, size)), batch_size=size, what=teacher.labels
    )
    return DepthLabels(files, teacher.kind)


def depth_teacher(model: str | Path, *, download: bool = False) -> DepthTeacher:
    """A teacher from a folder, the name of a model on the hub (ORG/NAME), `auto`, or an .onnx file.

    Folders and names: Depth Anything, DPT (MiDaS), ZoeDepth and Depth Pro of the transformers library. An .onnx file
    needs a .yaml of equal stem beside it (see `qumade.teachers.onnx_teacher`). Nothing is fetched unless `download`.
    Raises QumadeError for anything else and, with the command that fetches it, for a model that is not on disk.
    """
    if str(model).lower().endswith(".onnx"):
        return _onnx_depth_teacher(Path(model))
    with needs("teachers"):
        from qumade.teachers import network

    folder = network.find_model(DEFAULT_MODEL if model == "auto" else model, download=download)
    config = network.read_config(folder)
    kind, is_distance = _convention(config, folder)

    @once
    def loaded() -> tuple[Any, Any]:
        from transformers import AutoModelForDepthEstimation

        return network.load_network(AutoModelForDepthEstimation, folder), network.load_processor(folder)

    def predict(pictures: Sequence[Picture], batch_size: int) -> list[InverseDepth]:
        net, processor = loaded()
        inputs = [_input(config.model_type, processor, picture) for picture in pictures]
        maps: dict[int, InverseDepth] = {}
        for members, output in network.run(net, inputs, batch_size):
            if is_distance:
                # Turned before resizing: between near and far a resized distance overshoots, below zero even.
                output["predicted_depth"] = 1 / output["predicted_depth"].clamp(min=1e-3)
            sizes = [pictures[i].shape[:2] for i in members]
            for i, values in zip(members, _resized(config.model_type, processor, output, sizes), strict=True):
                maps[i] = np.ascontiguousarray(values if kind == "affine" else np.maximum(values, 0), np.float32)
        return [maps[i] for i in range(len(pictures))]

    files = network.model_files(folder)
    return DepthTeacher(kind, file_fingerprint(files), network.default_batch_size(), predict)


def _convention(config: Any, folder: Path) -> tuple[DepthKind, bool]:
    """The kind of depth a network predicts, and whether its `predicted_depth` is a distance (larger is farther)."""
    family = config.model_type
    if family == "depth_anything":
        metric = config.depth_estimation_type == "metric"
        return ("metric", True) if metric else ("affine", False)
    if family == "dpt":
        # MiDaS predicts inverse depth. The DPT heads on DINOv2, which alone have a projection, were trained on metres.
        return ("metric", True) if config.add_projection else ("affine", False)
    if family == "zoedepth":
        return "metric", True
    if family == "depth_pro":
        # Inverse depth in units of focal length over width; metres need the field of view that it estimates as well.
        return ("metric" if config.use_fov_model else "scaled"), False
    raise RunError(
        f"Invalid depth model: got family {family!r} in {folder}; must be depth_anything, dpt, zoedepth or depth_pro"
    )


def _input(family: str, processor: Any, picture: Picture) -> Any:
    def prepared(**options: Any) -> Any:
        done = processor(images=picture, input_data_format="channels_last", return_tensors="pt", **options)
        return done["pixel_values"][0]

    if family != "dpt" or not processor.do_pad:
        return prepared()
    # Its post-processing would stretch a padded frame over the picture: stretch the picture to whole patches instead.
    plain = prepared(do_pad=False)
    step = processor.size_divisor
    size = {"height": -(-plain.shape[1] // step) * step, "width": -(-plain.shape[2] // step) * step}
    return prepared(do_pad=False, do_resize=True, size=size, keep_aspect_ratio=False, ensure_multiple_of=1)


def _resized(family: str, processor: Any, output: Any, sizes: list[tuple[int, ...]]) -> list[NDArray[np.floating]]:
    """A batch's inverse depth at the size of its pictures, by the post-processing of its family."""
    if family == "zoedepth":  # takes off the frame that it puts around a picture
        done = processor.post_process_depth_estimation(output, source_sizes=sizes, target_sizes=sizes)
    else:
        done = processor.post_process_depth_estimation(output, target_sizes=sizes)
    maps = [one["predicted_depth"].numpy().reshape(size) for one, size in zip(done, sizes, strict=True)]
    # Depth Pro's own post-processing ends with metres.
    return [1 / one for one in maps] if family == "depth_pro" else maps


def _onnx_depth_teacher(file: Path) -> DepthTeacher:
    with needs("onnx"):
        from qumade.teachers import onnx_teacher

    settings = onnx_teacher.read_settings(onnx_teacher.DepthSettings, file)

    @once
    def session() -> Any:
        return onnx_teacher.open_session(file, settings)

    def predict(pictures: Sequence[Picture], batch_size: int) -> list[InverseDepth]:
        maps = []
        for picture, values in zip(pictures, onnx_teacher.run(session(), settings, pictures, batch_size), strict=True):
            one = onnx_teacher.one_channel(values, file)
            if settings.direction == "distance":
                one = np.reciprocal(np.maximum(one, np.float32(1e-3)))
            one = onnx_teacher.resized(one, picture.shape[1], picture.shape[0])
            maps.append(one if settings.kind == "affine" else np.maximum(one, np.float32(0)))
        return maps

    return DepthTeacher(settings.kind, onnx_teacher.fingerprint(file), 1, predict)
