"""The camera: what lens, sensor and compression do to the whole picture, pasted or not."""

import numpy as np
import simplejpeg
from numba import uint64
from numpy.typing import NDArray

from qumade.compose.effects.filters import filtered, gaussian_taps, rounded
from qumade.jit import compiled
from qumade.plan.effects import Camera

__all__ = ["blurred", "compressed", "exposed", "noisy", "photographed", "vignetted"]

_WEYL, _MIX_A, _MIX_B = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)
_BYTE, _EIGHT = np.uint64(0xFF), np.uint64(8)
_FOUR_BYTES = np.sqrt(4 * (2.0**16 - 1) / 12)  # standard deviation of the sum of four random bytes
_HALF, _FULL = np.float32(0.5), np.float32(255.0)


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
    value = np.arange(256) / 255.0
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    light = np.minimum(light * 2.0**exposure, 1.0)
    value = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * value ** (2.0**gamma)).astype(np.uint8)[image]  # type: ignore[no-any-return]


def noisy(image: NDArray[np.uint8], level: float, key: int) -> NDArray[np.uint8]:
    """Return the image with noise of standard deviation `level` (a share of white), chosen by `key`.

    The noise of each value is a function of key and position: the sum of four random bytes, which is nearly normal. The
    bytes come from splitmix64 (G. Steele, D. Lea, C. Flood, 2014), whose counter is the position. Changes the image in
    place.
    """
    if level > 0:
        _add_noise(image, np.float32(255 * level / _FOUR_BYTES), np.uint64(key))
    return image


def compressed(image: NDArray[np.uint8], quality: int | None) -> NDArray[np.uint8]:
    """Return the image after JPEG compression with 4:2:0 chroma; None does not compress it."""
    if quality is None:
        return image
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "RGB", "420")
    return simplejpeg.decode_jpeg(data, "RGB")  # type: ignore[no-any-return]


@compiled(nogil=True)
def _darken_corners(image, strength):  # type: ignore[no-untyped-def]
    rows, columns, _ = image.shape
    scale = strength / (0.25 * (rows * rows + columns * columns))
    for y in range(rows):
        v = y + 0.5 - 0.5 * rows
        for x in range(columns):
            u = x + 0.5 - 0.5 * columns
            keep = np.float32(1.0 - scale * (u * u + v * v))
            for channel in range(3):
                image[y, x, channel] = np.uint8(np.float32(image[y, x, channel]) * keep + _HALF)


@compiled(nogil=True)
def _add_noise(image, scale, key):  # type: ignore[no-untyped-def]
    values = image.reshape(-1)
    middle = np.float32(510.0)
    for pair in range((len(values) + 1) // 2):
        word = key + uint64(pair + 1) * _WEYL
        word = (word ^ (word >> _SHIFTS[0])) * _MIX_A
        word = (word ^ (word >> _SHIFTS[1])) * _MIX_B
        word = word ^ (word >> _SHIFTS[2])
        for n in range(2 * pair, min(2 * pair + 2, len(values))):
            total = np.float32(0.0)
            for _ in range(4):
                total += np.float32(word & _BYTE)
                word = word >> _EIGHT
            value = np.float32(values[n]) + (total - middle) * scale + _HALF
            values[n] = np.uint8(min(max(value, np.float32(0.0)), _FULL))
