import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qumade.models.resizing import most_probable_class, object_probability, resized, shrunk, working_size


@pytest.mark.parametrize(
    ("size", "trained", "expected"),
    [
        ((224, 224), (224, 224), (224, 224)),
        ((128, 96), (128, 96), (128, 96)),
        ((1, 1), (128, 128), (128, 128)),
        ((4000, 3000), (224, 224), (256, 192)),
        ((3000, 4000), (224, 224), (192, 256)),
        ((8000, 1), (128, 128), (512, 32)),
        ((1, 8000), (128, 128), (32, 512)),
        ((500, 500), (8, 8), (32, 32)),
        ((500, 500), (100, 100), (96, 96)),
    ],
)
def test_the_size_that_a_network_sees(
    size: tuple[int, int], trained: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert working_size(size, trained) == expected


sides = st.integers(1, 8000)
trained_sides = st.integers(1, 1024)


@given(st.tuples(sides, sides), st.tuples(trained_sides, trained_sides))
def test_any_shape_is_seen_at_about_the_trained_area(size: tuple[int, int], trained: tuple[int, int]) -> None:
    width, height = working_size(size, trained)
    assert width % 32 == 0 and height % 32 == 0 and min(width, height) >= 32
    area = max(trained[0] * trained[1], 32 * 32)
    assert width * height <= 2.25 * area  # each side rounds up by half at most
    turned = working_size(size[::-1], trained[::-1])
    assert turned == (height, width)


def test_resizing_back_stays_between_the_ends() -> None:
    values = np.random.default_rng(1).random((7, 5), np.float32)
    large = resized(values, (501, 333))
    assert large.shape == (333, 501) and values.min() <= large.min() and large.max() <= values.max()


@pytest.mark.parametrize(("size", "wanted"), [((4, 3), None), ((2, 3), [0.5, 0.5])])
def test_pictures_are_shrunk_to_shares_of_white(size: tuple[int, int], wanted: list[float] | None) -> None:
    image: NDArray[np.uint8] = np.zeros((3, 4, 3), np.uint8)
    image[:, 1] = image[:, 2] = 255
    small = shrunk(image, size)
    assert small.dtype == np.float32 and small.shape == (size[1], size[0], 3)
    np.testing.assert_allclose(small[0, :, 0], [0, 1, 1, 0] if wanted is None else wanted, atol=0.15)


@given(st.integers(0, 2**32 - 1), st.sampled_from([(9, 7), (20, 15), (4, 3)]))
def test_the_most_probable_class_is_that_of_the_resized_probabilities(seed: int, size: tuple[int, int]) -> None:
    shares = np.random.default_rng(seed).dirichlet(np.ones(4), (7, 9)).astype(np.float32).transpose(2, 0, 1)
    whole = np.stack([resized(share, size) for share in shares])
    found = most_probable_class(shares[1:], size)
    assert found.dtype == np.uint8
    best = np.sort(whole, 0)
    clear = best[-1] - best[-2] > 1e-5
    np.testing.assert_array_equal(found[clear], whole.argmax(0)[clear])
    np.testing.assert_allclose(object_probability(shares[1:]), 1 - shares[0], atol=1e-6)


def test_one_class_is_its_own_probability() -> None:
    mask = np.random.default_rng(0).random((1, 4, 5)).astype(np.float32)
    assert object_probability(mask) is not mask and np.array_equal(object_probability(mask), mask[0])
