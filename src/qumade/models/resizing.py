"""The size at which a network sees a picture: pictures are resized to it, and predictions back."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["STRIDE", "most_probable_class", "object_probability", "resized", "shrunk", "working_size"]

STRIDE = 32  # of the encoders: both sides of their input are multiples of it


def working_size(size: tuple[int, int], trained: tuple[int, int]) -> tuple[int, int]:
    """Return the width and height at which a network sees a picture of `size` (width, height).

    It has about the area of `trained` and the picture's shape, in multiples of 32. A narrow strip is made wider, not
    larger in area.
    """
    area = max(trained[0] * trained[1], STRIDE**2)
    ratio = math.sqrt(area / (size[0] * size[1]))
    longest = area // STRIDE
    width, height = (max(1, round(min(side * ratio, longest) / STRIDE)) * STRIDE for side in size)
    return width, height


def shrunk(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return a picture uint8 [H, W, 3] at `size` (width, height) as float32 [H, W, 3] in 0..1."""
    if (image.shape[1], image.shape[0]) != size:
        # reducing_gap first shrinks a large photo by integer factors: much faster, with no visible difference
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0))
    return np.multiply(image, np.float32(1 / 255), dtype=np.float32)


def resized(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return a map [H, W] resized bilinearly to `size` (width, height), within its own minimum and maximum."""
    if (values.shape[1], values.shape[0]) == size:
        return values.copy()  # a view would keep its whole batch alive
    large = np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR))
    clipped: NDArray[np.float32] = np.clip(large, values.min(), values.max())
    return clipped


def object_probability(classes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability that a pixel shows an object of any class, [h, w], from that of each class [K, h, w]."""
    total: NDArray[np.float32] = classes[0] if len(classes) == 1 else np.minimum(classes.sum(0), np.float32(1))
    return total


def most_probable_class(classes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the most probable class of each pixel at `size` (width, height), uint8 [H, W]: 0 for the background, k for
    the k-th class, from the probability of each class [K, h, w]."""
    best = resized(1 - object_probability(classes), size)
    found = np.zeros(best.shape, np.uint8)
    for number, probability in enumerate(classes, 1):  # one at a time: a large photo of many classes needs no more
        own = resized(probability, size)
        found[own > best] = number
        np.maximum(best, own, out=best)
    return found
