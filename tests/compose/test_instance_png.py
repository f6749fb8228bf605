import io
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from qumade.compose.instance_png import instances_png


def decoded(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    image.load()  # checks the sums
    return np.asarray(image)


@given(
    arrays(
        np.uint16,
        st.tuples(st.integers(1, 6), st.integers(1, 40)),
        elements=st.sampled_from([0, 1, 2, 255, 256, 65535]),
    ),
    st.integers(1, 20),
    st.integers(1, 4),
)
def test_pillow_reads_the_same_numbers(numbers: np.ndarray, across: int, down: int) -> None:
    numbers = numbers.repeat(across, 1).repeat(down, 0)
    found = decoded(instances_png(numbers))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, numbers)


@pytest.mark.parametrize("value", [0, 3])
@pytest.mark.parametrize("widths", [range(1, 12), range(125, 135), range(255, 265), range(510, 522)])
def test_runs_of_every_length_are_whole(value: int, widths: range) -> None:
    for width in widths:  # lengths at the limits of one match, and just beyond
        numbers = np.full((2, width), value, np.uint8)
        numbers[1, -1] = 9
        np.testing.assert_array_equal(decoded(instances_png(numbers)), numbers)


def test_the_checksum_is_that_of_zlib() -> None:
    numbers = np.random.default_rng(0).integers(0, 65536, (50, 70)).astype(np.uint16)
    data = instances_png(numbers)
    stream = data[data.index(b"IDAT") + 4 : data.rindex(b"IEND") - 8]
    lines = np.zeros((50, 141), np.uint8)
    lines[:, 1::2], lines[:, 2::2] = numbers >> 8, numbers & 255
    assert zlib.decompress(stream) == lines.tobytes()  # raises for a wrong checksum


def test_an_empty_map_is_small() -> None:
    assert len(instances_png(np.zeros((224, 224), np.uint8))) < 800
