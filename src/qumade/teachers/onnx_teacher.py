"""Any network in an .onnx file, with a small .yaml of equal stem beside it that says how to read it.

For depth:

    input_size: [518, 518]        # width, height in pixels
    mean: [0.485, 0.456, 0.406]   # of red, green, blue in 0..1
    std: [0.229, 0.224, 0.225]
    kind: affine                  # metric, scaled or affine
    direction: inverse            # inverse: larger is nearer; distance: larger is farther

For segmentation `names` (a list from id 0, or ids and names) takes the place of `kind` and `direction`, and for
cut-outs `output: probability` or `output: logits`. The network has one input, float32 [N, 3, H, W]; its first output is
a map [N, H, W] or [N, C, H, W]: depth, scores of classes, whole ids, or the object's probability.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from qumade.depth.encoding import DepthKind
from qumade.errors import ConfigError, RunError
from qumade.io.config import parse_model, read_yaml, wrong_field
from qumade.teachers.cache import file_fingerprint

__all__ = [
    "CutoutSettings",
    "DepthSettings",
    "SegmentationSettings",
    "class_ids",
    "fingerprint",
    "one_channel",
    "open_session",
    "read_settings",
    "resized",
    "run",
]

Picture = NDArray[np.uint8]
Settings = TypeVar("Settings", bound="InputSettings")


class InputSettings(BaseModel):
    """What a network expects of its input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_size: tuple[Annotated[PositiveInt, Field(le=8192)], Annotated[PositiveInt, Field(le=8192)]]
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]


class DepthSettings(InputSettings):
    """How to read the output of a depth network."""

    kind: DepthKind
    direction: Literal["inverse", "distance"]

    @model_validator(mode="after")
    def _invertible(self) -> "DepthSettings":
        if self.kind == "affine" and self.direction == "distance":
            raise wrong_field("kind", "metric or scaled where direction is distance: affine distance has no inverse")
        return self


class SegmentationSettings(InputSettings):
    """How to read the output of a segmentation network: the names of its ids."""

    names: dict[int, str] | list[str]


class CutoutSettings(InputSettings):
    """How to read the output of a network that cuts out objects: its map holds probabilities, or their logits."""

    output: Literal["probability", "logits"]


def settings_file(file: Path) -> Path:
    """The .yaml that belongs to an .onnx file."""
    return file.absolute().with_suffix(".yaml")


def read_settings(kind: type[Settings], file: Path) -> Settings:
    """The settings beside an .onnx file. Raises QumadeError when they are missing or wrong."""
    beside = settings_file(file)
    if not file.is_file():
        raise RunError(f"Invalid model: got {file.absolute()}; must be an .onnx file that exists")
    if not beside.is_file():
        fields = ", ".join(kind.model_fields)
        raise ConfigError(f"Invalid model settings: got no file {beside}; must be YAML with {fields}")
    return parse_model(kind, read_yaml(beside, "model settings"), str(beside), what="model settings")


def fingerprint(file: Path) -> str:
    """One hash of an .onnx file, its settings, and weights that lie beside it."""
    beside = [*file.parent.glob(f"{file.name}*"), *file.parent.glob(f"{file.stem}.data"), settings_file(file)]
    return file_fingerprint(beside)


def open_session(file: Path, settings: InputSettings) -> onnxruntime.InferenceSession:
    """The network, on the GPU where ONNX Runtime has one. Raises QumadeError for a file that it cannot use."""
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    try:
        session = onnxruntime.InferenceSession(str(file.absolute()), providers=providers)
    except Exception as error:  # ONNX Runtime has no common class of errors
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RunError(f"Invalid model: got {reason!r} in {file.absolute()}; must be an ONNX network") from error
    inputs = session.get_inputs()
    shape = [node.shape for node in inputs]
    wanted_shape = (None, 3, settings.input_size[1], settings.input_size[0])
    fits = len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(shape[0]) == 4
    if not fits or any(
        isinstance(n, int) and w is not None and n != w for n, w in zip(shape[0], wanted_shape, strict=True)
    ):
        raise RunError(
            f"Invalid model: got inputs {[(node.type, node.shape) for node in inputs]} in {file.absolute()}; must be "
            f"one float32 input [N, 3, {wanted_shape[2]}, {wanted_shape[3]}], the input_size of {settings_file(file)}"
        )
    return session


def run(
    session: onnxruntime.InferenceSession, settings: InputSettings, pictures: Sequence[Picture], batch_size: int
) -> list[NDArray[Any]]:
    """The first output for each picture uint8 [H, W, 3], at the size that the network gives it."""
    node = session.get_inputs()[0]
    fixed = node.shape[0]
    step = fixed if isinstance(fixed, int) else batch_size
    maps: list[NDArray[Any]] = []
    for start in range(0, len(pictures), step):
        some = [_input(settings, picture) for picture in pictures[start : start + step]]
        wanted = len(some)
        some += [some[-1]] * (step - wanted if isinstance(fixed, int) else 0)
        output = session.run([session.get_outputs()[0].name], {node.name: np.stack(some)})[0]
        maps += list(output[:wanted])
    return maps


def _input(settings: InputSettings, picture: Picture) -> NDArray[np.float32]:
    small = Image.fromarray(picture).resize(settings.input_size, Image.Resampling.BICUBIC)
    scaled = np.asarray(small, np.float32) / 255
    normal = (scaled - np.array(settings.mean, np.float32)) / np.array(settings.std, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1))


def one_channel(values: NDArray[Any], file: Path) -> NDArray[np.float32]:
    """A depth output [H, W] or [1, H, W] as float32 [H, W]. Raises QumadeError for another shape."""
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 2:
        raise RunError(f"Invalid model: got an output of shape {values.shape} in {file.absolute()}; must be one map")
    return values.astype(np.float32)


def resized(values: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """A map [H, W], resized bilinearly."""
    return np.array(Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR))


def class_ids(values: NDArray[Any], width: int, height: int, file: Path) -> NDArray[np.uint16]:
    """Ids uint16 [height, width] from scores [C, H, W], resized before the best is taken, or from whole ids [H, W]."""
    if np.issubdtype(values.dtype, np.integer):
        ids = values[0] if values.ndim == 3 and values.shape[0] == 1 else values
        if ids.ndim == 2 and ids.min() >= 0 and ids.max() < 2**16:
            rows = ((np.arange(height) + 0.5) * ids.shape[0] / height).astype(np.intp)
            columns = ((np.arange(width) + 0.5) * ids.shape[1] / width).astype(np.intp)
            nearest: NDArray[np.uint16] = ids[rows[:, None], columns].astype(np.uint16)
            return nearest
    elif values.ndim == 3 and values.shape[0] > 1:
        # Class by class: all scores at the picture's size would be gigabytes.
        best = np.full((height, width), -np.inf, np.float32)
        winner = np.zeros((height, width), np.uint16)
        for i, scores in enumerate(values.astype(np.float32)):
            large = resized(scores, width, height)
            better = large > best
            best[better] = large[better]
            winner[better] = i
        return winner
    raise RunError(
        f"Invalid model: got an output {values.dtype} of shape {values.shape} in {file.absolute()}; must be "
        "scores [C, H, W] or ids [H, W]"
    )
