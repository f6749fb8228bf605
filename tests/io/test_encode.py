import io

import numpy as np
import pytest
from numpy.typing import DTypeLike
from PIL import Image

from qumade.io.encode import png_bytes


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, bool])
def test_the_pixels_are_read_back(dtype: DTypeLike) -> None:
    pixels = np.random.default_rng(0).integers(0, 2**16, (5, 7)).astype(dtype)
    with Image.open(io.BytesIO(png_bytes(pixels))) as picture:
        assert picture.format == "PNG"
        np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_an_image_and_its_pixels_have_the_same_bytes() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (4, 3, 3), np.uint8)
    assert png_bytes(Image.fromarray(pixels)) == png_bytes(pixels)


def test_a_higher_level_is_smaller() -> None:
    pixels = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    assert len(png_bytes(pixels, 9)) < len(png_bytes(pixels, 0))
