import io
from typing import Any

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from qumade.compose.sample import Sample
from qumade.data.encode import encode_depth_file, encode_sample, folder_settings
from qumade.depth.codec import inverse_depth_table
from qumade.depth.encoding import DepthEncoding
from qumade.synth.choose_encoding import layered_encoding

# The luminance table of the JPEG standard (ITU-T T.81, table K.1) in rows: what libjpeg scales by its quality.
LUMINANCE = (
    "16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62 "
    "18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"
)


def sample_of(inverse_depth: NDArray[Any], mask: NDArray[np.uint8] | None = None) -> Sample:
    """Returns a sample with this depth; all other layers are noise."""
    rng = np.random.default_rng(3)
    height, width = inverse_depth.shape
    mask = rng.integers(0, 256, (height, width), np.uint8) if mask is None else mask
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    return Sample(image, mask, inverse_depth.astype(np.float32), np.zeros_like(mask), np.ones(1, np.float32))


def decoded(data: bytes) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_lossless_files_store_exact_pixels() -> None:
    code = DepthEncoding(kind="scaled", code="inverse", bits=16, range=(0.0, 1.5))
    sample = sample_of(np.random.default_rng(5).uniform(0, 1.5, (24, 32)))
    files = encode_sample(sample, code, "lossless").files
    assert all(data.startswith(b"\x89PNG") for data in files.values())
    np.testing.assert_array_equal(decoded(files["images"]), sample.image)
    np.testing.assert_array_equal(decoded(files["masks"]), sample.mask)
    assert decoded(files["masks"]).dtype == np.uint8


def test_a_binary_mask_comes_back_binary() -> None:
    mask = np.where(np.random.default_rng(1).random((24, 32)) < 0.3, 255, 0).astype(np.uint8)
    code = DepthEncoding(kind="scaled", code="inverse", bits=16, range=(0.0, 1.5))
    files = encode_sample(sample_of(np.zeros((24, 32)), mask), code, "lossless").files
    np.testing.assert_array_equal(decoded(files["masks"]), mask)
    code = DepthEncoding(kind="scaled", code="inverse", bits=8, range=(0.0, 1.5))
    blob = np.zeros((24, 32), np.uint8)
    blob[5:18, 9:23] = 255
    jpeg = decoded(encode_sample(sample_of(np.zeros((24, 32)), blob), code, "jpeg").files["masks"])
    np.testing.assert_array_equal(jpeg >= 128, blob >= 128)


def test_jpeg_files_are_written_with_the_recorded_settings(works: Any) -> None:
    recorded = folder_settings(works.recipe)
    code = layered_encoding(works.recipe, works.catalog)
    files = encode_sample(sample_of(np.random.default_rng(5).uniform(0, 1.5, (24, 32))), code, "jpeg").files
    assert list(files) == list(recorded) == ["images", "masks", "depth"]
    for folder, data in files.items():
        settings = recorded[folder]
        assert (settings["format"], settings["suffix"]) == ("jpeg", ".jpg")
        height, width, space, subsampling = simplejpeg.decode_jpeg_header(data)
        assert (width, height) == (32, 24)
        assert (space, subsampling) == (("YCbCr", "420") if folder == "images" else ("Gray", "Gray"))
        # libjpeg's rule from quality to quantisation (jcparam.c): from 50 on, 200 - 2 q percent of the table.
        percent = 200 - 2 * settings["quality"]
        expected = [max(1, (int(value) * percent + 50) // 100) for value in LUMINANCE.split()]
        picture: Any = Image.open(io.BytesIO(data))
        assert picture.quantization[0] == expected
    assert recorded["images"]["subsampling"] == "420"
    assert (recorded["images"]["quality"], recorded["masks"]["quality"], recorded["depth"]["quality"]) == (90, 95, 95)


def test_jpeg_is_close_to_the_drawn_sample() -> None:
    v, u = np.mgrid[:48, :64]
    smooth = np.dstack([4 * u, 5 * v, 2 * (u + v)]).astype(np.uint8)
    mask = np.clip(128 + 20.0 * (14 - np.hypot(u - 30, v - 20)), 0, 255).astype(np.uint8)
    code = DepthEncoding(kind="scaled", code="inverse", bits=8, range=(0.0, 1.5))
    depth = (v / 48).astype(np.float32)
    drawn = Sample(smooth, mask, depth, mask, np.ones(1, np.float32))
    files = encode_sample(drawn, code, "jpeg").files
    assert np.abs(decoded(files["images"]).astype(int) - smooth).mean() < 2
    assert np.abs(decoded(files["masks"]).astype(int) - mask).mean() < 1
    assert np.abs(inverse_depth_table(code)[decoded(files["depth"])] - depth).max() < 2.5 * 1.5 / 255


@given(seed=st.integers(0, 2**32), width=st.integers(1, 40), height=st.integers(1, 20))
def test_ignored_pixels_survive_the_1_bit_png(seed: int, width: int, height: int) -> None:
    ignore = np.random.default_rng(seed).random((height, width)) < 0.3
    sample = sample_of(np.zeros((height, width), np.float32))._replace(ignore=ignore)
    data = encode_sample(sample, None, "jpeg").files["ignore"]
    Image.open(io.BytesIO(data)).verify()
    picture = Image.open(io.BytesIO(data))
    assert picture.mode == "1"
    np.testing.assert_array_equal(np.asarray(picture), ignore)


@pytest.mark.parametrize("encoding", ["jpeg", "lossless"])
def test_depth_encoded_alone_is_equal_and_may_be_left_out(works: Any, encoding: str) -> None:
    recipe = works.recipe.model_copy(update={"encoding": encoding})
    code = layered_encoding(recipe, works.catalog)
    sample = sample_of(np.random.default_rng(5).uniform(0, 2, (24, 32)))
    whole = encode_sample(sample, code, encoding)
    alone, without = encode_depth_file(sample.inverse_depth, code, encoding), encode_sample(sample, None, encoding)
    assert alone == ({"depth": whole.files["depth"]}, whole.depth_clipped_px) and whole.depth_clipped_px > 0
    assert without == ({name: whole.files[name] for name in ("images", "masks")}, 0)
