"""Segmentation teachers predict a map of class ids for a picture, with the class names of the network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qumade.assets.label_names import LabelTable, table_of_names
from qumade.errors import ConfigError, RunError
from qumade.extras import needs
from qumade.teachers.cache import cached_maps, file_fingerprint

__all__ = ["DEFAULT_MODEL", "SegmentLabels", "SegmentationTeacher", "label_segments", "segmentation_teacher"]

DEFAULT_MODEL = "openmmlab/upernet-convnext-tiny"
"""The network of `auto`: UperNet with the 150 classes of ADE20K, of 241 MB, under the MIT licence."""
_CONVENTION = "1"  # part of the cache's folder: raised when the same network would be read another way

Picture = NDArray[np.uint8]
Ids = NDArray[np.uint16]


@dataclass(frozen=True)
class SegmentationTeacher:
    """A network that labels segments.

    `predict` takes pictures uint8 [H, W, 3] and a batch size, and gives each one's ids uint16 [H, W] at its own size.
    The network is loaded at the first call. `fingerprint` is a hash of all files that decide what it predicts.
    """

    names: LabelTable
    fingerprint: str
    batch_size: int
    predict: Callable[[Sequence[Picture], int], list[Ids]]
    labels: ClassVar[str] = "segments"  # what it gives, in a word

    @property
    def cache_name(self) -> str:
        """The name of the folder for what it predicts."""
        return f"segments-{_CONVENTION}-{self.fingerprint[:32]}"


@dataclass(frozen=True)
class SegmentLabels:
    """Label maps of pictures: .npy files, uint16 [H, W], in the order of the pictures, and the names of their ids."""

    files: list[Path]
    names: LabelTable


def label_segments(
    paths: Sequence[Path], model: str | Path, *, cache: Path, batch_size: int | None = None, download: bool = False
) -> SegmentLabels:
    """Label pictures with a segmentation teacher. Labels in the folder `cache` are reused.

    `model` as in `segmentation_teacher`. Raises QumadeError for a model that cannot be used and a picture that cannot
    be read.
    """
    teacher = segmentation_teacher(model, download=download)
    size = teacher.batch_size if batch_size is None else batch_size
    if size < 1:
        raise ConfigError(f"Invalid batch size: got {size}; must be at least 1")
    maps = cache / teacher.cache_name
    files = cached_maps(
        paths, maps, lambda some: list(teacher.predict(some, size)), batch_size=size, what=teacher.labels
    )
    return SegmentLabels(files, teacher.names)


def segmentation_teacher(model: str | Path, *, download: bool = False) -> SegmentationTeacher:
    """A teacher from a folder, the name of a model on the hub (ORG/NAME), `auto`, or an .onnx file.

    Folders and names: networks of the transformers library for semantic segmentation (SegFormer, UperNet, ...),
    Mask2Former and MaskFormer. An .onnx file needs a .yaml of equal stem beside it (see
    `qumade.teachers.onnx_teacher`). Nothing is fetched unless `download`. Raises QumadeError for anything else and,
    with the command that fetches it, for a model that is not on disk.
    """
    if str(model).lower().endswith(".onnx"):
        return _onnx_segmentation_teacher(Path(model))
    with needs("teachers"):
        from qumade.teachers import network

    folder = network.find_model(DEFAULT_MODEL if model == "auto" else model, download=download)
    config = network.read_config(folder)
    auto_class = _auto_class(config, folder)

    @once
    def loaded() -> tuple[Any, Any]:
        return network.load_network(auto_class, folder), network.load_processor(folder)

    def predict(pictures: Sequence[Picture], batch_size: int) -> list[Ids]:
        net, processor = loaded()
        inputs = [_input(processor, picture) for picture in pictures]
        maps: dict[int, Ids] = {}
        for members, output in network.run(net, inputs, batch_size):
            sizes = [pictures[i].shape[:2] for i in members]
            done = processor.post_process_semantic_segmentation(output, target_sizes=sizes)
            for i, ids in zip(members, done, strict=True):
                maps[i] = ids.numpy().astype(np.uint16)
        return [maps[i] for i in range(len(pictures))]

    names = table_of_names({int(i): str(name) for i, name in config.id2label.items()})
    files = network.model_files(folder)
    return SegmentationTeacher(names, file_fingerprint(files), network.default_batch_size(), predict)


def _auto_class(config: Any, folder: Path) -> Any:
    from transformers import (
        MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING,
        AutoModelForSemanticSegmentation,
        AutoModelForUniversalSegmentation,
    )

    if type(config) in MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING:
        return AutoModelForSemanticSegmentation
    # The others need more than a picture (OneFormer: a task in words) or give no class for every pixel (DETR).
    if config.model_type in ("mask2former", "maskformer"):
        return AutoModelForUniversalSegmentation
    raise RunError(
        f"Invalid segmentation model: got family {config.model_type!r} in {folder}; must be one for semantic "
        "segmentation, mask2former or maskformer"
    )


def _input(processor: Any, picture: Picture) -> Any:
    # A crop would be stretched over the whole picture afterwards.
    whole = {"do_center_crop": False} if getattr(processor, "do_center_crop", None) else {}
    done = processor(images=picture, input_data_format="channels_last", return_tensors="pt", **whole)
    return done["pixel_values"][0]


def _onnx_segmentation_teacher(file: Path) -> SegmentationTeacher:
    with needs("onnx"):
        from qumade.teachers import onnx_teacher

    settings = onnx_teacher.read_settings(onnx_teacher.SegmentationSettings, file)

    @once
    def session() -> Any:
        return onnx_teacher.open_session(file, settings)

    def predict(pictures: Sequence[Picture], batch_size: int) -> list[Ids]:
        maps = []
        for picture, values in zip(pictures, onnx_teacher.run(session(), settings, pictures, batch_size), strict=True):
            maps.append(onnx_teacher.class_ids(values, picture.shape[1], picture.shape[0], file))
        return maps

    names = settings.names if isinstance(settings.names, dict) else dict(enumerate(settings.names))
    return SegmentationTeacher(table_of_names(names), onnx_teacher.fingerprint(file), 1, predict)
