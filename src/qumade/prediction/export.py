"""A trained network as one .onnx file, for batches of any number and size, compared with PyTorch before it is there."""

import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from qumade.assets.bundled import bundled_folder
from qumade.errors import RunError
from qumade.extras import needs
from qumade.io.decode import read_rgb
from qumade.io.files import write_bytes
from qumade.io.pictures import list_pictures
from qumade.models.network import MaskDepthNetwork, probabilities
from qumade.prediction.onnx_digest import ONNX_DIGEST_KEY, UNSEALED, sealed
from qumade.prediction.predictor import ONNX_CONFIG_KEY, ONNX_INPUT, ONNX_OUTPUTS, onnx_predictor, torch_predictor
from qumade.training.run_folder import load_network

__all__ = ["Export", "export", "export_onnx"]

ONNX_CLASSES_KEY = "classes"
"""The metadata that holds the names of the mask's channels as JSON, for other tools."""
TOLERANCE = 1e-3
"""Of probability, and of inverse depth as a share of the network's range: a quarter of a level of 8 bits."""


@dataclass(frozen=True)
class Export:
    """A file that was written, and how far it is from PyTorch: the largest difference over all pixels of all pictures
    compared, of the probability and of inverse depth as a share of its range. `shapes`: the batches, N x H x W."""

    file: Path
    size_bytes: int
    max_mask_difference: float
    max_depth_difference: float
    shapes: tuple[tuple[int, int, int], ...]


class _Exported(nn.Module):
    """The network with the outputs of the file: a probability in place of logits."""

    def __init__(self, network: MaskDepthNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        output = self.network(image)
        return probabilities(output.mask_logits), output.inverse_depth


def export(run: Path | str, file: Path | str) -> Export:
    """Write the network of a run as one .onnx file, see `export_onnx`."""
    return export_onnx(load_network(Path(run)), Path(file))


def export_onnx(network: MaskDepthNetwork, file: Path) -> Export:
    """Write a network as .onnx, with its NetworkConfig as JSON in the metadata, and with several classes their names.

    Input `image`: float32 [N, 3, H, W] in 0..1, sides multiples of the stride; outputs `mask`, the probability of each
    class, float32 [N, K, H, W], and `inverse_depth`, float32 [N, 1, H, W]. The file appears once ONNX Runtime and
    PyTorch agree on bundled pictures, in batches of several sizes. Raises QumadeError where they do not, or where the
    file cannot be written. The network comes back on the CPU, set to predicting.
    """
    file = file.absolute()
    if file.suffix.lower() != ".onnx" or not file.parent.is_dir() or file.is_dir():
        raise RunError(f"Invalid --out: got {file}; must be a file that ends in .onnx, in a folder that exists")
    network = network.to("cpu").eval()
    content = _onnx_bytes(network)
    written = _compared(network, content, file)
    worst = max(written.max_mask_difference, written.max_depth_difference)
    if not worst <= TOLERANCE:
        raise RunError(
            f"Invalid export: got a difference of {worst:.2g} between ONNX Runtime and PyTorch for {file}, which was "
            f"not written; must be at most {TOLERANCE:g}"
        )
    write_bytes(file, content)
    return written


def _onnx_bytes(network: MaskDepthNetwork) -> bytes:
    with needs("onnx", "an .onnx file"):
        import onnx
        import onnxruntime  # noqa: F401 - told before the work is done
        import onnxscript  # noqa: F401
    stride = network.stride
    batch, rows, columns = (torch.export.Dim(name) for name in ("batch", "rows", "columns"))
    example = torch.rand(2, 3, 2 * stride, 3 * stride)  # sides of 1 would be taken for constants
    heard = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own making
            program = torch.onnx.export(
                _Exported(network),
                (example,),
                input_names=[ONNX_INPUT],
                output_names=list(ONNX_OUTPUTS),
                dynamic_shapes={"image": {0: batch, 2: stride * rows, 3: stride * columns}},
                dynamo=True,
                verbose=False,
            )
    finally:
        logging.getLogger("torch.onnx").setLevel(heard)
    if program is None:
        raise RunError("Invalid export: got nothing from torch.onnx.export; must be a program")
    model = program.model_proto
    properties = {ONNX_CONFIG_KEY: network.config.model_dump_json(), ONNX_DIGEST_KEY: UNSEALED}
    if network.config.classes:
        properties[ONNX_CLASSES_KEY] = json.dumps(network.config.classes)
    onnx.helper.set_model_props(model, properties)
    onnx.checker.check_model(model)
    return sealed(model.SerializeToString())


def _compared(network: MaskDepthNetwork, content: bytes, file: Path) -> Export:
    """Run both on bundled pictures in batches of several sizes."""
    theirs = onnx_predictor(file, "cpu", content)
    ours = torch_predictor(network, "cpu")
    far, near = network.config.inverse_depth_limits
    mask_difference = depth_difference = 0.0
    shapes = []
    for batch in _pictures(network):
        (mask_a, depth_a), (mask_b, depth_b) = ours.forward(batch), theirs.forward(batch)
        # a maximum passes over NaN, a sum of differences does not
        mask_difference = max(mask_difference, float(np.nan_to_num(np.abs(mask_a - mask_b), nan=np.inf).max()))
        depth_difference = max(
            depth_difference, float(np.nan_to_num(np.abs(depth_a - depth_b), nan=np.inf).max()) / (near - far)
        )
        shapes.append((len(batch), batch.shape[2], batch.shape[3]))
    return Export(file, len(content), mask_difference, depth_difference, tuple(shapes))


def _pictures(network: MaskDepthNetwork) -> list[NDArray[np.float32]]:
    """Return batches [N, 3, H, W] of bundled pictures: of the size trained at, of one stride, lying and upright."""
    stride = network.stride
    width, height = (max(1, round(side / stride)) * stride for side in network.config.size)
    files = list_pictures(bundled_folder() / "backgrounds")
    batches = []
    for count, size in ((1, (width, height)), (3, (stride, stride)), (2, (width + stride, height)), (1, (160, 320))):
        pictures = [Image.fromarray(read_rgb(path)).resize(size) for path in files[:count]]
        batches.append(np.stack([np.asarray(one, np.float32).transpose(2, 0, 1) / np.float32(255) for one in pictures]))
        files = files[count:]
    return batches
