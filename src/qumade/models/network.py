"""The network: mask and inverse depth from one picture, with a shared encoder and two light decoders."""

from typing import Any, NamedTuple, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from qumade.errors import RunError
from qumade.models.config import ModelName, NetworkConfig
from qumade.models.encoders import EncoderWeights, new_encoder

__all__ = ["MaskDepthNetwork", "Output", "build_network", "probabilities"]


class _Widths(NamedTuple):
    """Channels of each decoder from its coarsest level to its finest."""

    mask: tuple[int, ...]
    depth: tuple[int, ...]


# Depth changes slowly within a layer: its decoder ends one level earlier.
_WIDTHS: dict[ModelName, _Widths] = {
    "tiny": _Widths((64, 32, 32, 32), (64, 32, 16)),
    "small": _Widths((256, 128, 64, 32), (256, 128, 64)),
    "base": _Widths((384, 192, 96), (384, 192, 96)),
}


class Output(NamedTuple):
    """`mask_logits` float [N, K, H, W], one channel for each class, and `inverse_depth` float [N, 1, H, W], both of the
    picture's height and width. `probabilities` says what the logits mean."""

    mask_logits: Tensor
    inverse_depth: Tensor


class MaskDepthNetwork(nn.Module):
    """A shared encoder and two decoders. Takes pictures in [0, 1], and normalises them itself.

    Depth is predicted as it is composed: as two smooth layers, background and foreground, which the mask blends. So
    depth is as sharp at an object's boundary as the mask, and neither layer has to locate the boundary. With several
    classes each has a layer of its own: a pixel has the depth of what it shows.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: NetworkConfig, weights: EncoderWeights | None = None) -> None:
        super().__init__()
        self.config = config
        self._frozen: list[nn.Module] = []
        self.encoder = new_encoder(config.encoder, weights)
        levels: Any = self.encoder.feature_info
        channels, reductions = levels.channels(), levels.reduction()
        self.stride = int(max(reductions))
        mask_widths, depth_widths = (widths[: len(channels) - 1] for widths in _WIDTHS[config.model])
        self._block = int(reductions[::-1][len(mask_widths)])
        masks = config.mask_channels
        self.mask_decoder = _Decoder(channels, mask_widths, masks * self._block**2, detail_px=self._block)
        self.depth_decoder = _Decoder(channels, depth_widths, 1 + masks)
        for name, values in (("mean", config.mean), ("std", config.std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Output:
        """Predict from images, float [N, 3, H, W] in [0, 1]. QumadeError where a side is no multiple of `stride`."""
        if not torch.compiler.is_compiling():
            self._require_size(image)
        picture = torch.addcmul(-self.mean / self.std, image, 1 / self.std)  # one pass over the pixels
        features = self.encoder(picture)
        # Channels are shuffled into pixels (W. Shi et al., "Real-time single image and video super-resolution using an
        # efficient sub-pixel convolutional neural network", CVPR 2016).
        mask_maps = self.mask_decoder(features, picture)
        mask_logits = functional.pixel_shuffle(mask_maps.float(), self._block)
        # Near 0 a sigmoid is an exponential: it resolves far ground by ratio, as depth is evaluated.
        layers = torch.sigmoid(
            self.depth_decoder(features, picture).float()
        ).contiguous()  # two maps enlarge badly as pixels
        layers = functional.interpolate(layers, size=image.shape[-2:], mode="bilinear", align_corners=False)
        far, near = self.config.inverse_depth_limits
        if mask_logits.shape[1] == 1:
            behind, front = layers.chunk(2, dim=1)
            return Output(mask_logits, far + (near - far) * torch.lerp(behind, front, torch.sigmoid(mask_logits)))
        shown = torch.softmax(_with_background(mask_logits), dim=1)
        return Output(mask_logits, far + (near - far) * (shown * layers).sum(1, keepdim=True))

    def freeze(self, levels: int) -> None:
        """Keep the layers that lead to the encoder's `levels` finest levels of features as they are, with their running
        statistics; 0 trains everything."""
        parameters = list(self.encoder.parameters())
        for parameter in parameters:
            parameter.requires_grad_(True)
        frozen: set[nn.Parameter] = set()
        training = self.encoder.training
        if levels:
            probe = self.encoder.eval()(torch.zeros(1, 3, 2 * self.stride, 2 * self.stride, device=self.mean.device))
            total = sum(level.sum() for level in probe[:levels])
            gradients = torch.autograd.grad(total, parameters, allow_unused=True)
            frozen = {p for p, gradient in zip(parameters, gradients, strict=True) if gradient is not None}
        for parameter in frozen:
            parameter.requires_grad_(False)
        self._frozen = [
            module
            for module in self.encoder.modules()
            if (own := list(module.parameters())) and all(parameter in frozen for parameter in own)
        ]
        self.encoder.train(training)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all modules but frozen ones, which stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def _require_size(self, image: Tensor) -> None:
        height, width = image.shape[-2:]
        if height % self.stride or width % self.stride or not height or not width:
            padded = [max(1, -(-side // self.stride)) * self.stride for side in (width, height)]
            raise RunError(
                f"Invalid picture: got {width}x{height} for a network of stride {self.stride}; must be padded to "
                f"{padded[0]}x{padded[1]}"
            )


def probabilities(mask_logits: Tensor) -> Tensor:
    """Return the probability of each class, float [N, K, H, W] in 0..1: a softmax over the logits of the classes and 0,
    the logit of the background. A pixel shows one thing. For one class it is the sigmoid."""
    if mask_logits.shape[1] == 1:
        return torch.sigmoid(mask_logits)
    return torch.softmax(_with_background(mask_logits), dim=1)[:, 1:]


def _with_background(mask_logits: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(mask_logits[:, :1]), mask_logits], dim=1)


class _Decoder(nn.Module):
    """Joins each level, from the coarsest on, with the encoder's next finer one, and gives `maps` at the finest.

    With `detail_px`, the size of its pixels, the finest level is joined with the picture too, which locates edges more
    exactly than the encoder's first layer.
    """

    def __init__(
        self, channels: list[int], widths: tuple[int, ...], maps: int, *, detail_px: int | None = None
    ) -> None:
        super().__init__()
        self.detail = None
        if detail_px is not None:
            self.detail = nn.Conv2d(3, widths[-1], detail_px, stride=detail_px, bias=False)
        inner, *skips = channels[::-1]
        self.joins = nn.ModuleList()
        for skip, width in zip(skips, widths, strict=False):
            self.joins.append(_Join(inner, skip, width))
            inner = width
        self.head = nn.Conv2d(inner, maps, 3, padding=1)
        # Objects and near ground cover a small part of a picture: starting from that saves the first steps.
        nn.init.constant_(cast(Tensor, self.head.bias), -2.0)

    def forward(self, features: list[Tensor], picture: Tensor) -> Tensor:
        inner, *skips = features[::-1]
        for join, skip in zip(self.joins[:-1], skips, strict=False):
            inner = join(inner, skip)
        detail = None if self.detail is None else self.detail(picture)
        maps: Tensor = self.head(self.joins[-1](inner, skips[len(self.joins) - 1], detail))
        return maps


class _Join(nn.Module):
    """Reduces the channels of both inputs, enlarges the coarse one and adds them: cheap where pixels are many."""

    def __init__(self, inner: int, skip: int, width: int) -> None:
        super().__init__()
        self.inner = nn.Conv2d(inner, width, 1, bias=False)
        self.skip = nn.Conv2d(skip, width, 1, bias=False)
        self.mix = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
        )  # fmt: skip

    def forward(self, inner: Tensor, skip: Tensor, detail: Tensor | None = None) -> Tensor:
        inner = functional.interpolate(self.inner(inner), size=skip.shape[-2:], mode="bilinear", align_corners=False)
        total = inner + self.skip(skip)
        mixed: Tensor = self.mix(total if detail is None else total + detail)
        return mixed


def build_network(config: NetworkConfig, weights: EncoderWeights | None = None) -> MaskDepthNetwork:
    """Return the network of a config with random weights, but for the encoder's where `weights` are given."""
    return MaskDepthNetwork(config, weights)
