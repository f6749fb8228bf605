"""Augmentation of samples: image, mask, ignored pixels and inverse depth are transformed together.

The result is a pure function of the sample, the settings and the random numbers. Resizing, mirroring and blurring use
torchvision.transforms.v2. Three things differ from v2: labels are sampled at the centre of each new pixel (v2's nearest
neighbour is up to half a pixel off); a rotation computes its grid once for all layers (v2 computes it for each); and
colour jitter is a single matrix, ten times as fast as the separate steps of v2.
"""

import math
from typing import NamedTuple

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample
from torchvision.transforms.v2 import functional

from qumade.data.augmentation import Augmentation
from qumade.data.dataset import LabeledSample

__all__ = ["Layers", "augment", "colour_jittered", "fitted", "rotated"]

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_YIQ = np.array([_LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
_RGB = np.linalg.inv(_YIQ)


class Layers(NamedTuple):
    """One sample of a batch before packing. All layers have the same height and width.

    `pixels` uint8 [4, H, W]: red, green, blue and coverage; `unknown` bool [H, W]: True where coverage is unknown or
    ignored; `inverse_depth` float32 [H, W]: NaN where it is unknown or ignored. With `numbered` the fourth layer holds
    the number of the class in place of coverage. `outside` bool [H, W] is True for pixels from beyond the edge of the
    image, None where there are none.
    """

    pixels: Tensor
    unknown: NDArray[np.bool_]
    inverse_depth: NDArray[np.float32]
    numbered: bool = False
    outside: NDArray[np.bool_] | None = None


class _Window(NamedTuple):
    left: int
    top: int
    width: int
    height: int


class _Draws(NamedTuple):
    """One random number in [0, 1) per choice: a choice that is skipped does not shift the numbers of the others."""

    crop: float
    crop_x: float
    crop_y: float
    mirror: float
    rotate: float
    rotate_deg: float
    colour: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    grey: float
    blur: float
    blur_px: float
    noise: float
    noise_level: float
    noise_seed: float
    jpeg: float
    jpeg_quality: float


def fitted(sample: LabeledSample, size: tuple[int, int], *, crop: bool = True) -> Layers:
    """Crop the largest central part of a sample with the aspect ratio of `size` (width, height) and resize it. Without
    `crop` the whole sample is resized, whatever its aspect ratio.

    Image and coverage go through the same antialiased filter, so soft edges of the mask match the image. Coverage is
    averaged over the known pixels only, and unknown where less than half of the pixels are known. Inverse depth and
    numbers of classes are never blended.
    """
    full_height, full_width = sample.image.shape[:2]
    width, height = _largest(sample, size) if crop else (full_width, full_height)
    window = _Window((full_width - width) // 2, (full_height - height) // 2, width, height)
    return _resized(sample, window, size, mirror=False)


def augment(
    sample: LabeledSample, size: tuple[int, int], augmentation: Augmentation, random: np.random.Philox
) -> Layers:
    """Crop, resize to `size` (width, height) and augment a sample. Equal random numbers give equal layers."""
    draws = _Draws(*np.random.Generator(random).random(len(_Draws._fields)).tolist())
    share = _between(augmentation.crop, draws.crop)
    width, height = (max(1, round(side * share)) for side in _largest(sample, size))
    full_height, full_width = sample.image.shape[:2]
    left, top = (full_width - width) // 2, (full_height - height) // 2
    if augmentation.crop[0] < 1:
        left, top = int(draws.crop_x * (full_width - width + 1)), int(draws.crop_y * (full_height - height + 1))
    layers = _resized(sample, _Window(left, top, width, height), size, mirror=draws.mirror < augmentation.mirror)
    if draws.rotate < augmentation.rotate:
        layers = rotated(layers, augmentation.rotate_deg * (2 * draws.rotate_deg - 1))
    layers.pixels[:3] = _recoloured(layers.pixels[:3], augmentation, draws)
    return layers


def rotated(layers: Layers, degrees: float) -> Layers:
    """Rotate all layers anticlockwise about their centre.

    Pixels from outside the image repeat its edge and are unknown in coverage and depth. Image and coverage are
    interpolated bilinearly, coverage over the known pixels as in `fitted`; depth takes the nearest neighbour.
    """
    height, width = layers.unknown.shape
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    u = np.arange(width, dtype=np.float32)[None, :] - np.float32((width - 1) / 2)
    v = np.arange(height, dtype=np.float32)[:, None] - np.float32((height - 1) / 2)
    # Where each new pixel comes from, in pixels from the centre: v points down.
    x = np.float32(cos) * u - np.float32(sin) * v
    y = np.float32(sin) * u + np.float32(cos) * v
    grid = torch.from_numpy(np.stack([x * np.float32(2 / width), y * np.float32(2 / height)], axis=-1)[None])
    planes = layers.pixels.float()
    partly = layers.unknown.any() and not layers.unknown.all() and not layers.numbered
    if partly:
        known = torch.from_numpy(~layers.unknown).float()
        planes = torch.cat([planes[:3], (planes[3] * known)[None], known[None]])
    turned = grid_sample(planes[None], grid, padding_mode="border", align_corners=False)[0]
    columns = np.floor(x + np.float32(width / 2)).astype(np.int64)
    rows = np.floor(y + np.float32(height / 2)).astype(np.int64)
    outside = (columns < 0) | (columns >= width) | (rows < 0) | (rows >= height)
    nearest = np.clip(rows, 0, height - 1) * width + np.clip(columns, 0, width - 1)
    if partly:
        turned[3], unknown = _of_known(turned[3], turned[4])
    else:
        unknown = layers.unknown.take(nearest)
    pixels = turned[:4].round_().clamp_(0, 255).to(torch.uint8)
    if layers.numbered:
        pixels[3] = torch.from_numpy(layers.pixels[3].numpy().take(nearest))
    inverse_depth = np.where(outside, np.float32(np.nan), layers.inverse_depth.take(nearest))
    return Layers(pixels, unknown | outside, inverse_depth, layers.numbered, outside)


def _largest(sample: LabeledSample, size: tuple[int, int]) -> tuple[int, int]:
    """Return width and height of the largest window of a sample with the aspect ratio of `size`."""
    height, width = sample.image.shape[:2]
    scale = min(width / size[0], height / size[1])
    return max(1, min(width, round(size[0] * scale))), max(1, min(height, round(size[1] * scale)))


def _resized(sample: LabeledSample, window: _Window, size: tuple[int, int], *, mirror: bool) -> Layers:
    inside = np.s_[window.top : window.top + window.height, window.left : window.left + window.width]
    pixels = torch.zeros((4, size[1], size[0]), dtype=torch.uint8)
    pixels[:3] = _antialiased(_tensor(sample.image[inside]).permute(2, 0, 1), size)
    unknown = np.full(size[::-1], sample.mask is None)
    columns = window.left + ((np.arange(size[0]) + 0.5) * (window.width / size[0])).astype(np.int64)
    rows = window.top + ((np.arange(size[1]) + 0.5) * (window.height / size[1])).astype(np.int64)
    numbered = sample.mask is not None and sample.class_map is not None
    if sample.mask is not None and sample.class_map is not None:
        pixels[3] = torch.from_numpy(sample.class_map[rows][:, columns])
        if sample.ignore is not None:
            unknown = sample.ignore[rows][:, columns]
    elif sample.mask is not None and sample.ignore is not None and sample.ignore[inside].any():
        known = torch.from_numpy(~sample.ignore[inside]).float()
        coverage = torch.stack([_tensor(sample.mask[inside]) * known, known])
        coverage, unknown = _of_known(*_antialiased(coverage, size))
        pixels[3] = coverage.round_().clamp_(0, 255)
    elif sample.mask is not None:
        pixels[3:] = _antialiased(_tensor(sample.mask[inside])[None], size)
    if mirror:
        pixels, columns, unknown = functional.horizontal_flip_image(pixels), columns[::-1], unknown[:, ::-1]
    if sample.inverse_depth is None:
        return Layers(pixels, unknown, np.full(size[::-1], np.nan, np.float32), numbered)
    inverse_depth = sample.inverse_depth[rows][:, columns]
    if sample.ignore is not None:
        inverse_depth[sample.ignore[rows][:, columns]] = np.nan
    return Layers(pixels, unknown, inverse_depth, numbered)


def _of_known(coverage: Tensor, known: Tensor) -> tuple[Tensor, NDArray[np.bool_]]:
    """Return the coverage of the known pixels, and where less than half of the pixels are known.

    Takes filtered maps [H, W] of coverage x known and of known. The mask under ignored pixels does not leak into their
    neighbours this way.
    """
    unknown = known < 0.5
    return (coverage / known).masked_fill_(unknown, 0.0), unknown.numpy()


def _tensor(pixels: NDArray[np.uint8]) -> Tensor:
    # Decoders return read-only arrays. Torch has no read-only tensors and would warn.
    return torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())


def _antialiased(planes: Tensor, size: tuple[int, int]) -> Tensor:
    if planes.shape[:-3:-1] == size:
        return planes
    resized: Tensor = functional.resize_image(planes, [size[1], size[0]], antialias=True)
    return resized


def _recoloured(image: Tensor, augmentation: Augmentation, draws: _Draws) -> Tensor:
    """Vary the colours, sharpness, noise and compression of an image uint8 [3, H, W], as another camera might."""
    coloured, grey = draws.colour < augmentation.colour, draws.grey < augmentation.grey
    if coloured or grey:
        brightness, contrast, saturation, hue = 1.0, 1.0, 1.0, 0.0
        if coloured:
            brightness = 1 + augmentation.brightness * (2 * draws.brightness - 1)
            contrast = 1 + augmentation.contrast * (2 * draws.contrast - 1)
            saturation = 1 + augmentation.saturation * (2 * draws.saturation - 1)
            hue = augmentation.hue * (2 * draws.hue - 1)
        image = colour_jittered(image, brightness, contrast, 0.0 if grey else saturation, hue)
    if draws.blur < augmentation.blur:
        sigma = _between(augmentation.blur_px, draws.blur_px)
        taps = 2 * min(math.ceil(2 * sigma), min(image.shape[1:]) - 1) + 1
        image = functional.gaussian_blur_image(image, [taps, taps], [sigma, sigma])
    if draws.noise < augmentation.noise:
        generator = torch.Generator().manual_seed(int(draws.noise_seed * 2**53))
        level = 255 * _between(augmentation.noise_level, draws.noise_level)
        noise = torch.randn(image.shape, generator=generator)
        image = noise.mul_(level).add_(image).round_().clamp_(0, 255).to(torch.uint8)
    if draws.jpeg < augmentation.jpeg:
        quality = round(_between(augmentation.jpeg_quality, draws.jpeg_quality))
        interleaved = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        data = simplejpeg.encode_jpeg(interleaved, quality, "RGB", "420")
        image = torch.from_numpy(simplejpeg.decode_jpeg(data, "RGB")).permute(2, 0, 1)
    return image


def colour_jittered(image: Tensor, brightness: float, contrast: float, saturation: float, hue: float) -> Tensor:
    """Multiply brightness, contrast and saturation of an image uint8 [3, H, W]; rotate its hue by a share of a circle.

    The same as torchvision's adjust_* in sequence, with two differences: values are not clipped in between, and hue is
    rotated in YIQ, which keeps the luma of each pixel.
    """
    cos, sin = math.cos(2 * math.pi * hue), math.sin(2 * math.pi * hue)
    turn = _RGB @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ _YIQ
    fade = saturation * np.eye(3) + (1 - saturation) * np.ones((3, 1)) * _LUMA
    matrix = contrast * brightness * turn @ fade
    height, width = image.shape[1:]
    # The sum of integers does not depend on the number of threads.
    mean = float(_LUMA @ image.sum(dim=(1, 2)).numpy()) / (height * width)
    offset = torch.full((3, 1), (1 - contrast) * brightness * mean)
    flat = torch.addmm(offset, torch.from_numpy(matrix.astype(np.float32)), image.reshape(3, -1).float())
    return flat.round_().clamp_(0, 255).to(torch.uint8).reshape(3, height, width)


def _between(ends: tuple[float, float], draw: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * draw
