"""The camera: what lens, sensor and compression do to the whole picture, pasted or not."""

from functools import lru_cache

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from scipy import special

from qumade.compose.effects.filters import filtered, gaussian_taps, rounded
from qumade.jit import compiled
from qumade.plan.effects import Camera
from qumade.plan.random_numbers import Stream, uniforms

__all__ = ["blurred", "compressed", "exposed", "noisy", "photographed", "vignetted"]

_HALF, _FULL = np.float32(0.5), np.float32(255.0)
_NOISE_VALUES = 1 << 18
_NOISE = int(Stream.NOISE)


def photographed(image: NDArray[np.uint8], camera: Camera) -> NDArray[np.uint8]:
    """Return an image uint8 [H, W, 3] as a camera would deliver it: lens, exposure, noise, compression in this order.

    The image itself may be changed.
    """
    image = blurred(image, camera.blur_px)
    image = vignetted(image, camera.vignette)
    image = exposed(image, camera.exposure, camera.gamma)
    image = noisy(image, camera.noise, camera.noise_key)
    return compressed(image, camera.jpeg_quality)


def blurred(image: NDArray[np.uint8], sigma_px: float) -> NDArray[np.uint8]:
    """Return the image blurred by a Gaussian."""
    taps = gaussian_taps(sigma_px)
    return image if len(taps) == 1 else rounded(filtered(image, taps))


def vignetted(image: NDArray[np.uint8], strength: float) -> NDArray[np.uint8]:
    """Return the image darkened towards its corners: by 1 - `strength` r^2, where r is 0 in the centre, 1 in a corner.

    Changes the image in place.
    """
    if strength > 0:
        _darken_corners(image, strength)
    return image


def exposed(image: NDArray[np.uint8], exposure: float, gamma: float) -> NDArray[np.uint8]:
    """Return the image with 2^exposure times the light; then values in [0, 1] are raised to the power of 2^gamma.

    Light is computed by the curve of sRGB (IEC 61966-2-1).
    """
    if exposure == 0 and gamma == 0:
        return image
    return _looked_up(image, _tones(exposure, gamma))  # type: ignore[no-any-return]


@lru_cache(maxsize=1)
def _noise_table() -> NDArray[np.float32]:
    """Return the quantiles of the standard normal distribution in an order that Philox chose, float32 [2^18]."""
    order = np.argsort(np.random.Philox(key=_NOISE).random_raw(_NOISE_VALUES), kind="stable")
    return np.asarray(special.ndtri((order + 0.5) / _NOISE_VALUES), np.float32)


def _tones(exposure: float, gamma: float) -> NDArray[np.uint8]:
    """Return the new value of each value, uint8 [256]."""
    value = np.arange(256) / 255.0
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    light = np.minimum(light * 2.0**exposure, 1.0)
    value = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * value ** (2.0**gamma)).astype(np.uint8)  # type: ignore[no-any-return]


def noisy(image: NDArray[np.uint8], level: float, key: int) -> NDArray[np.uint8]:
    """Return the image with normal noise of standard deviation `level`, a share of white; changes the image in place.

    The noise is a function of `key` alone: each row takes a piece of one long table of normal values, and the
    counter-based generator says which. Rows of up to 87 000 pixels are possible.
    """
    if level > 0:
        _add_noise(image, _noise_table(), np.float32(255 * level), key)
    return image


def compressed(image: NDArray[np.uint8], quality: int | None) -> NDArray[np.uint8]:
    """Return the image after JPEG compression with 4:2:0 chroma; None does not compress it."""
    if quality is None:
        return image
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "RGB", "420")
    return simplejpeg.decode_jpeg(data, "RGB")  # type: ignore[no-any-return]


@compiled(nogil=True)
def _looked_up(image, table):  # type: ignore[no-untyped-def]
    result = np.empty_like(image)
    source, target = image.reshape(-1), result.reshape(-1)
    for n in range(len(source)):
        target[n] = table[source[n]]
    return result


@compiled(nogil=True)
def _darken_corners(image, strength):  # type: ignore[no-untyped-def]
    rows, columns, _ = image.shape
    scale = strength / (0.25 * (rows * rows + columns * columns))
    loss = np.empty(3 * columns, np.float32)
    for n in range(3 * columns):
        loss[n] = scale * (n // 3 + 0.5 - 0.5 * columns) ** 2
    for y in range(rows):
        rest = np.float32(1.0 - scale * (y + 0.5 - 0.5 * rows) ** 2)
        values = image[y].reshape(-1)
        for n in range(3 * columns):
            values[n] = np.uint8(np.int32(np.float32(values[n]) * (rest - loss[n]) + _HALF))


@compiled(nogil=True)
def _add_noise(image, table, scale, key):  # type: ignore[no-untyped-def]
    rows, columns, _ = image.shape
    length = 3 * columns
    for y in range(rows):
        place, _, _, _ = uniforms(key, _NOISE, y, 0, 0)
        start = int(place * (len(table) - length + 1))
        noise, values = table[start : start + length], image[y].reshape(-1)
        for n in range(length):
            value = np.float32(values[n]) + noise[n] * scale + _HALF
            values[n] = np.uint8(np.int32(min(max(value, np.float32(0.0)), _FULL)))
