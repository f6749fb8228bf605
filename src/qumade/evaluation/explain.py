"""Grad-CAM: which parts of a picture support the mask, or nearness at a point.

R. R. Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via gradient-based localization", ICCV 2017:
the sum of the maps of one layer, each weighted by the mean of its gradient, with negative values set to 0. For outputs
that are maps, K. Vinogradova et al., "Towards interpretable semantic segmentation via gradient-weighted class
activation mapping", AAAI 2020: the gradient is that of a sum over the pixels in question.
"""

from typing import Any

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from qumade.errors import ConfigError, DatasetError
from qumade.extras import needs
from qumade.models.network import MaskDepthNetwork
from qumade.models.resizing import resized, working_size

__all__ = ["explain_depth", "explain_mask", "heat_overlay"]

COLOURS = "turbo"


def explain_mask(network: MaskDepthNetwork, image: NDArray[np.uint8], *, level: int = -1) -> NDArray[np.float32]:
    """Return how much each pixel supports the object's mask, float32 [H, W]: 0 not at all, 1 the most in this picture.

    The target is the sum of the mask's logits over the pixels predicted as object, or over all pixels where there are
    none. `image`: uint8 [H, W, 3]. `level`: the layer, a level of the encoder's features; -1 is the coarsest. Computed
    on the network's device; the network, its gradients included, is left as it was.
    """

    def target(mask_logits: Tensor, inverse_depth: Tensor) -> Tensor:
        inside = mask_logits.detach() > 0
        return (mask_logits * inside).sum() if bool(inside.any()) else mask_logits.sum()

    return _grad_cam(network, image, target, level)


def explain_depth(
    network: MaskDepthNetwork, image: NDArray[np.uint8], point: tuple[int, int], *, level: int = -1
) -> NDArray[np.float32]:
    """Return how much each pixel supports nearness at `point` (column, row), float32 [H, W] as from `explain_mask`.

    The target is the inverse depth of that pixel at the size at which the network sees the picture. Raises QumadeError
    for a point outside the picture.
    """
    height, width = image.shape[:2]
    column, row = point
    if not (0 <= column < width and 0 <= row < height):
        raise ConfigError(
            f"Invalid point: got {point} in a picture of {width}x{height}; must be (column, row) inside it"
        )

    def target(mask_logits: Tensor, inverse_depth: Tensor) -> Tensor:
        rows, columns = inverse_depth.shape[-2:]
        return inverse_depth[0, 0, (2 * row + 1) * rows // (2 * height), (2 * column + 1) * columns // (2 * width)]

    return _grad_cam(network, image, target, level)


def heat_overlay(image: NDArray[np.uint8], heat: NDArray[np.float32], *, opacity: float = 0.55) -> NDArray[np.uint8]:
    """Return a picture uint8 [H, W, 3] in grey under the colours of a map [H, W] in 0..1, blue 0 and red 1."""
    if heat.shape != image.shape[:2]:
        raise DatasetError(f"Invalid map: got shape {heat.shape}; must be {image.shape[:2]}, the picture's")
    grey = np.asarray(Image.fromarray(image).convert("L").convert("RGB"), np.float32)
    colours = matplotlib.colormaps[COLOURS](np.clip(heat, 0, 1), bytes=True)[..., :3].astype(np.float32)
    blended: NDArray[np.uint8] = (grey * (1 - opacity) + colours * opacity + 0.5).astype(np.uint8)
    return blended


class _Target(nn.Module):
    """The network with one number as its output, and a layer through which one level of the features passes."""

    def __init__(self, network: MaskDepthNetwork, target: Any) -> None:
        super().__init__()
        self.network, self.target, self.tap = network, target, nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        output = self.network(image)
        score: Tensor = self.target(output.mask_logits, output.inverse_depth)
        return score.reshape(1)


def _grad_cam(network: MaskDepthNetwork, image: NDArray[np.uint8], target: Any, level: int) -> NDArray[np.float32]:
    with needs("explain", "an explanation"):
        from captum.attr import LayerGradCam
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise DatasetError(f"Invalid picture: got {image.dtype} {list(image.shape)}; must be uint8 [H, W, 3]")
    encoder: Any = network.encoder  # timm leaves its features untyped
    levels = len(encoder.feature_info.channels())
    if not -levels <= level < levels:
        raise ConfigError(
            f"Invalid level: got {level}; must be one of the encoder's {levels} levels, or -1 to -{levels}"
        )
    height, width = image.shape[:2]
    size = working_size((width, height), network.config.size)
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR), np.float32) / np.float32(255)
    device = next(network.parameters()).device
    picture = torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))[None].to(device)
    scored = _Target(network, target)

    def through_tap(module: nn.Module, given: Any, features: list[Tensor]) -> list[Tensor]:
        features = list(features)
        features[level] = scored.tap(features[level])
        return features

    training = network.training
    hook = encoder.register_forward_hook(through_tap)
    network.eval()
    try:
        with torch.enable_grad():
            # The picture's own gradient carries through networks whose weights are frozen.
            cam = LayerGradCam(scored, scored.tap).attribute(picture.requires_grad_(), relu_attributions=True)
    finally:
        hook.remove()
        network.train(training)
    heat = cam[0, 0].detach().cpu().numpy().astype(np.float32)
    greatest = float(heat.max())
    return resized(heat / greatest if greatest > 0 else heat, (width, height))
