"""Pictures in, masks and depth out: with a trained run through torch, or with its .onnx through ONNX Runtime alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from qumade.errors import ConfigError, QumadeError, RunError
from qumade.extras import needs
from qumade.io.files import read_bytes
from qumade.models.config import NetworkConfig
from qumade.models.resizing import STRIDE, most_probable_class, object_probability, resized, shrunk, working_size
from qumade.prediction.onnx_digest import is_intact

if TYPE_CHECKING:
    from qumade.models.network import MaskDepthNetwork

__all__ = [
    "ONNX_CONFIG_KEY",
    "ONNX_INPUT",
    "ONNX_OUTPUTS",
    "Prediction",
    "Predictor",
    "load_predictor",
    "onnx_predictor",
    "torch_predictor",
]

MAX_ONNX_BYTES = 1 << 31  # protobuf allows no more
ONNX_CONFIG_KEY = "qumade.network"
ONNX_INPUT = "image"
ONNX_OUTPUTS = ("mask", "inverse_depth")

MAX_WORKING_PX = 1 << 24  # 4096 x 4096: a file of metadata must not take all memory

Forward = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]


class Prediction(NamedTuple):
    """What a network says of one picture, at the picture's size.

    `mask`: float32 [H, W], the probability in 0..1 that a pixel shows the object, or one of any class.
    `inverse_depth`: float32 [H, W], larger is nearer; in 1/m where the network's `depth_kind` is metric, else in no
    unit of length. `class_map`: uint8 [H, W] of a network with several classes, 0 for the background, k for the k-th.
    """

    mask: NDArray[np.float32]
    inverse_depth: NDArray[np.float32]
    class_map: NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class Predictor:
    """A network ready to predict. `forward` takes float32 [N, 3, H, W] in 0..1, sides multiples of 32, and gives the
    probability of each class, float32 [N, K, H, W], and inverse depth, float32 [N, 1, H, W]. `path`: where the network
    was read from."""

    config: NetworkConfig
    forward: Forward
    batch_size: int = 8
    path: Path | None = None

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
        """Predict pictures uint8 [H, W, 3] of any sizes, in their order.

        Each is resized to about the area that the network was trained at, its shape kept, and its prediction is resized
        back. Pictures that come to the same size share batches. Raises QumadeError for an array that is no picture.
        """
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
                raise RunError(f"Invalid picture: got {image.dtype} {list(image.shape)}; must be uint8 [H, W, 3]")
        groups: dict[tuple[int, int], list[int]] = {}
        for position, image in enumerate(images):
            size = working_size((image.shape[1], image.shape[0]), self.config.size)
            groups.setdefault(size, []).append(position)
        predictions: dict[int, Prediction] = {}
        for size, positions in groups.items():
            for start in range(0, len(positions), self.batch_size):
                some = positions[start : start + self.batch_size]
                batch = np.stack([shrunk(images[position], size) for position in some])
                masks, depths = self.forward(np.ascontiguousarray(batch.transpose(0, 3, 1, 2)))
                if not (np.isfinite(masks).all() and np.isfinite(depths).all()):
                    where = "" if self.path is None else f" from {self.path}"
                    raise RunError(f"Invalid network: got NaN or infinity as prediction{where}; must be trained again")
                for position, mask, depth in zip(some, masks, depths, strict=True):
                    height, width = images[position].shape[:2]
                    predictions[position] = Prediction(
                        resized(object_probability(mask), (width, height)),
                        resized(depth[0], (width, height)),
                        most_probable_class(mask, (width, height)) if self.config.classes else None,
                    )
        return [predictions[position] for position in range(len(images))]


def load_predictor(path: Path | str, device: str | None = None) -> Predictor:
    """Return a predictor: a run folder through PyTorch, or an .onnx file through ONNX Runtime, without torch.

    `device`: "cpu" or "cuda"; by default the GPU where there is one. Raises QumadeError for anything else, for a run
    without weights, and for an .onnx that `qumade export` did not write.
    """
    path = Path(path).absolute()
    if device not in (None, "cpu", "cuda"):
        raise ConfigError(f"Invalid device: got {device!r}; must be cpu or cuda")
    if path.suffix.lower() == ".onnx" and path.is_file():
        return onnx_predictor(path, device)
    if not path.is_dir():
        found = "a file" if path.exists() else "nothing"
        raise RunError(f"Invalid network: got {found} at {path}; must be the folder of a run, or an .onnx file")
    _refuse_other_folders(path)
    from qumade.training.run_folder import load_network

    return replace(torch_predictor(load_network(path), device), path=path)


def _refuse_other_folders(path: Path) -> None:
    """Raise RunError if a folder is certainly no run, and say what it seems to be."""
    if (path / "config.yaml").exists() or (path / "weights").exists():
        return
    found = "a dataset" if (path / "dataset.yaml").exists() or (path / "images").is_dir() else "no config.yaml"
    raise RunError(
        f"Invalid network: got {found} in {path}; must be the folder of a run, as `qumade train DATA_PATH --out RUN` "
        "makes it, or an .onnx file"
    )


def torch_predictor(network: "MaskDepthNetwork", device: str | None = None) -> Predictor:
    """Return the predictor of a network in memory, which is moved to the device and set to evaluation mode."""
    import torch

    from qumade.models.network import probabilities

    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("Invalid device: got cuda, which torch does not find; must be cpu here")
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    network = network.eval().to(where).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward(batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        image = torch.from_numpy(batch).to(where, memory_format=torch.channels_last)
        output = network(image)
        return probabilities(output.mask_logits).cpu().numpy(), output.inverse_depth.cpu().numpy()

    return Predictor(network.config, forward, batch_size=8 if where.type == "cpu" else 64)


def onnx_predictor(file: Path, device: str | None = None, content: bytes | None = None) -> Predictor:
    """Return the predictor of an .onnx file, or of `content`, which is to become that file."""
    with needs("onnx", "an .onnx file"):
        import onnxruntime

    wanted = ["CPUExecutionProvider"] if device == "cpu" else ["CUDAExecutionProvider", "CPUExecutionProvider"]
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    if device == "cuda" and wanted[0] not in providers:
        raise ConfigError("Invalid device: got cuda, which ONNX Runtime does not find; must be cpu here")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its warnings are of no use to who predicts
    content = read_bytes(file, MAX_ONNX_BYTES, RunError) if content is None else content
    if not is_intact(content):
        raise _unusable(file, "a damaged file (its content is not that of its SHA-256)")
    try:
        session = onnxruntime.InferenceSession(content, options, providers=providers)
        config_json = session.get_modelmeta().custom_metadata_map.get(ONNX_CONFIG_KEY)
    except Exception as error:  # ONNX Runtime has no common class of errors
        raise _unusable(file, _first_line(error)) from error
    if config_json is None:
        raise _unusable(file, f"no {ONNX_CONFIG_KEY} in its metadata")
    config = _checked_config(config_json, file)
    inputs = [(node.name, node.type, len(node.shape)) for node in session.get_inputs()]
    outputs = [(node.name, node.type) for node in session.get_outputs()]
    if inputs != [(ONNX_INPUT, "tensor(float)", 4)]:
        raise _unusable(file, f"inputs {inputs}")
    if outputs != [(name, "tensor(float)") for name in ONNX_OUTPUTS]:
        raise _unusable(file, f"outputs {outputs}")

    def forward(batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        try:
            mask, depth = session.run(list(ONNX_OUTPUTS), {ONNX_INPUT: batch})
        except Exception as error:
            raise _unusable(file, _first_line(error)) from error
        wanted_shape = (len(batch), config.mask_channels, *batch.shape[2:])
        if mask.shape != wanted_shape or depth.shape != (len(batch), 1, *batch.shape[2:]):
            raise _unusable(file, f"outputs of shape {mask.shape} and {depth.shape} for {wanted_shape}")
        return mask, depth

    forward(np.zeros((1, 3, STRIDE, STRIDE), np.float32))  # what cannot run is told now, not after reading pictures
    return Predictor(config, forward, path=file)


def _checked_config(text: str, file: Path) -> NetworkConfig:
    try:
        config = NetworkConfig.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or ONNX_CONFIG_KEY
        raise _unusable(file, f"metadata with a wrong {where[:100]} ({first['msg'][:200]})") from error
    if config.size[0] * config.size[1] > MAX_WORKING_PX:
        raise _unusable(file, f"a size of {config.size[0]}x{config.size[1]} pixels in its metadata")
    return config


def _unusable(file: Path, got: str) -> QumadeError:
    return RunError(f"Invalid network: got {got} in {file}; must be an .onnx file that `qumade export` wrote")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
