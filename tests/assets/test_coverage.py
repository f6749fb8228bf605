import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from qumade.assets.coverage import coverage_problem, flat_share, looks_inverted

V, U = np.mgrid[:60, :80]
BLOB = ((U - 40) / 25) ** 2 + ((V - 30) / 18) ** 2 < 1
RIM = ndimage.binary_dilation(BLOB, iterations=2) & ~BLOB


def levels(inside: int, outside: int = 0, rim: int = 0) -> np.ndarray:
    return np.where(BLOB, inside, np.where(RIM, rim, outside)).astype(np.uint8)


def jpeg(pixels: np.ndarray, quality: int = 90) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


@pytest.mark.parametrize(
    ("mask", "named"),
    [
        (levels(5), "5"),
        (levels(15, rim=255), r"15 \("),
        (levels(1, 2, 3), "2"),
        (levels(38), "38"),
        (levels(1), "1"),
        (np.where(BLOB & (U < 40), 13, levels(26)).astype(np.uint8), "13"),
        (np.where(BLOB & (U < 40), 76, levels(255)).astype(np.uint8), "76"),
        (levels(240, 135), "135"),
        (np.eye(2, 3, dtype=np.uint8), "1"),
    ],
)
def test_areas_of_other_levels_are_no_coverage(mask: np.ndarray, named: str) -> None:
    problem = coverage_problem(mask)
    assert problem is not None
    assert re.search(rf"areas of level .*{named}", problem)


@pytest.mark.parametrize("quality", [60, 75, 95])
@pytest.mark.parametrize("mask", [levels(100), np.where(BLOB & (U < 40), 90, levels(180)).astype(np.uint8)])
def test_also_in_a_jpeg(mask: np.ndarray, quality: int) -> None:
    assert coverage_problem(jpeg(mask, quality), lossy=True) is not None


@given(st.floats(0.0, 6.0), st.floats(0.3, 1.0), st.integers(50, 100))
def test_any_blurred_and_shrunk_silhouette_is_coverage(sigma: float, size: float, quality: int) -> None:
    soft = Image.fromarray(np.rint(255 * ndimage.gaussian_filter(BLOB.astype(float), sigma)).astype(np.uint8))
    mask = np.asarray(soft.resize((round(80 * size), round(60 * size)), Image.Resampling.BOX))
    assert coverage_problem(mask) is None
    assert coverage_problem(jpeg(mask, quality), lossy=True) is None


def test_nothing_and_everything_are_coverage() -> None:
    for level in (0, 255):
        assert coverage_problem(np.full((20, 30), level, np.uint8)) is None


def test_an_inverted_mask_covers_all_four_edges() -> None:
    assert looks_inverted(255 - levels(255))
    assert not looks_inverted(levels(255))
    assert not looks_inverted(np.full((20, 30), 255, np.uint8))
    assert not looks_inverted(np.where(V > 10, 255, 0).astype(np.uint8))  # an object cut off on three sides


def test_the_share_of_translucent_areas() -> None:
    half = np.where(BLOB & (U < 40), 76, levels(255)).astype(np.uint8)
    assert 0.4 < flat_share(half) < 0.5
    assert flat_share(levels(255)) == flat_share(np.zeros((9, 9), np.uint8)) == 0.0
