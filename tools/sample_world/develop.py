"""From linear light to an image: haze by distance, exposure, a film's curve, 8 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sample_world.camera import Camera
from sample_world.render import Array

__all__ = ["add_haze", "cutout", "exposure_for", "picture"]

WHITE = 3.0  # the exposed light that becomes white
CONTRAST = 1.12
SATURATION = 1.15
BRIGHTEST = 2.4
HAZE_LAYER_M = 150.0  # the haze's depth straight up


def add_haze(light: Array, fine_depth: Array, camera: Camera, haze_per_m: float, haze: Array) -> Array:
    """Veil an image's light [H, W, 3] by its depth in metres [n H, n W], n times as fine (Koschmieder's law)."""
    rows, columns = light.shape[:2]
    fine = fine_depth.shape[0] // rows
    v, u = (np.mgrid[: rows * fine, : columns * fine] + 0.5) / fine
    a, b, c = camera.plane
    upward = np.clip(-(a * u + b * v + c) * camera.height_m, 0.02, None)  # sine of the elevation, near enough
    reach = np.where(np.isinf(fine_depth), HAZE_LAYER_M / upward, fine_depth)
    through = np.exp(-haze_per_m * reach).reshape(rows, fine, columns, fine).mean(axis=(1, 3))[..., None]
    return (light * through + haze * (1 - through)).astype(np.float32)


def exposure_for(light: Array, key: float) -> float:
    """The factor that brings an image's mean luminance (geometric) to `key`, unless its bright parts would burn."""
    luminance = np.maximum(light[..., :3] @ np.array([0.2126, 0.7152, 0.0722]), 1e-4)
    return float(min(key / np.exp(np.mean(np.log(luminance))), BRIGHTEST / np.percentile(luminance, 94)))


def picture(light: Array, exposure: float) -> NDArray[np.uint8]:
    """Develop linear RGB to sRGB bytes with the extended Reinhard curve (Reinhard et al. 2002, eq. 4)."""
    exposed = light[..., :3] * exposure
    grey = exposed @ np.array([0.2126, 0.7152, 0.0722])
    exposed = np.maximum(grey[..., None] + SATURATION * (exposed - grey[..., None]), 0.0)
    mapped = np.clip(exposed * (1 + exposed / WHITE**2) / (1 + exposed), 0, 1) ** CONTRAST
    encoded = np.where(mapped <= 0.0031308, 12.92 * mapped, 1.055 * mapped ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)


def cutout(light: Array, exposure: float) -> NDArray[np.uint8]:
    """Develop linear premultiplied RGBA to bytes with straight alpha; colour is 0 where alpha is."""
    alpha = np.clip(light[..., 3:], 0.0, 1.0)
    colour = picture(light[..., :3] / np.maximum(alpha, 1e-4), exposure)
    bytes_alpha = np.rint(alpha * 255).astype(np.uint8)
    return np.concatenate([np.where(bytes_alpha > 0, colour, 0).astype(np.uint8), bytes_alpha], axis=-1)
