"""Cut-out teachers predict the alpha of the object in a picture: they remove any background, plain or not."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qumade.errors import RunError
from qumade.extras import needs
from qumade.teachers.segmentation import segmentation_teacher

__all__ = ["DEFAULT_MODEL", "CutoutTeacher", "cutout_teacher"]

DEFAULT_MODEL = "onnx-community/BiRefNet_lite-ONNX"
"""The network of `auto`: BiRefNet (lite), of 224 MB, under the MIT licence."""
_DEFAULT_FILE = "onnx/model.onnx"
_DEFAULT_SETTINGS: Any = {
    "input_size": (1024, 1024),
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "output": "logits",
}
_BACKGROUND = "background"

Picture = NDArray[np.uint8]
Alpha = NDArray[np.uint8]


@dataclass(frozen=True)
class CutoutTeacher:
    """A network that removes backgrounds. `name` is what to call it. `predict` takes a picture uint8 [H, W, 3] and
    gives its alpha uint8 [H, W], 255 the object. The network is loaded at the first call."""

    name: str
    predict: Callable[[Picture], Alpha]


def cutout_teacher(model: str | Path, *, download: bool = False) -> CutoutTeacher:
    """A teacher from `auto`, an .onnx file, a folder, or the name of a model on the hub (ORG/NAME).

    An .onnx file needs a .yaml of equal stem beside it, with input_size, mean and std as for the other teachers (see
    `qumade.teachers.onnx_teacher`), and `output`, probability or logits: its first output is one map of the object.
    Folders and names: networks of the transformers library for semantic segmentation, one of whose classes is
    background; all others are the object. Nothing is fetched unless `download`. Raises QumadeError for anything else
    and, with the command that fetches it, for a model that is not on disk.
    """
    if str(model).lower().endswith(".onnx"):
        with needs("onnx", "the network that cuts out objects"):
            from qumade.teachers import onnx_teacher

        file = Path(model)
        return _of_onnx(file.name, file, onnx_teacher.read_settings(onnx_teacher.CutoutSettings, file))
    if model == "auto":
        with needs("teachers", "the network that cuts out objects"):
            from huggingface_hub import hf_hub_download
        with needs("onnx", "the network that cuts out objects"):
            from qumade.teachers import onnx_teacher

        try:
            found = hf_hub_download(DEFAULT_MODEL, _DEFAULT_FILE, local_files_only=not download)
        except Exception as error:  # the hub's client raises errors of many libraries
            why = f" ({str(error).splitlines()[0]})" if download else ""
            raise RunError(
                f"Invalid model: got {DEFAULT_MODEL}, which is not on disk{why}; fetch it with --download, or with: hf "
                f"download {DEFAULT_MODEL} {_DEFAULT_FILE}"
            ) from error
        return _of_onnx(DEFAULT_MODEL, Path(found), onnx_teacher.CutoutSettings(**_DEFAULT_SETTINGS))
    return _of_segments(model, download)


def _of_onnx(name: str, file: Path, settings: Any) -> CutoutTeacher:
    from qumade.teachers import onnx_teacher

    @once
    def session() -> Any:
        return onnx_teacher.open_session(file, settings)

    def predict(picture: Picture) -> Alpha:
        (values,) = onnx_teacher.run(session(), settings, [picture], 1)
        return _alpha(onnx_teacher.one_channel(values, file), settings.output, picture, file)

    return CutoutTeacher(name, predict)


def _alpha(
    values: NDArray[np.float32], output: Literal["probability", "logits"], picture: Picture, file: Path
) -> Alpha:
    from qumade.teachers import onnx_teacher

    if output == "logits":
        values = (1 / (1 + np.exp(-np.clip(values, -30, 30)))).astype(np.float32)
    if not np.isfinite(values).all() or values.min() < -0.01 or values.max() > 1.01:
        got = f"values from {values.min():.3g} to {values.max():.3g}"
        raise RunError(f"Invalid model: got {got} in {file.absolute()}; must be from 0 to 1, or `output: logits`")
    large = onnx_teacher.resized(values, picture.shape[1], picture.shape[0])
    alpha: Alpha = np.rint(255 * np.clip(large, 0, 1)).astype(np.uint8)
    return alpha


def _of_segments(model: str | Path, download: bool) -> CutoutTeacher:
    teacher = segmentation_teacher(model, download=download)
    background = [id_ for name, ids in teacher.names.items() if name.lower() == _BACKGROUND for id_ in ids]
    if not background:
        raise RunError(
            f"Invalid model: got classes {', '.join(list(teacher.names)[:5])} in {model}; must have one that is called "
            f"{_BACKGROUND}"
        )

    def predict(picture: Picture) -> Alpha:
        (ids,) = teacher.predict([picture], 1)
        return np.where(np.isin(ids, background), np.uint8(0), np.uint8(255))

    return CutoutTeacher(str(model), predict)
