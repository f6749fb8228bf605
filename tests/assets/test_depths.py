import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qumade.assets.depths import (
    coarse_mean,
    depth_facts,
    depth_grows_downwards,
    match_depths,
    read_inverse_depth,
)
from qumade.errors import QumadeError
from qumade.io.pictures import UnusablePicture


def save_codes(path, codes):
    Image.fromarray(np.asarray(codes, np.uint16)).save(path)
    return path


def save_values(path, values, dtype=np.float32):
    np.save(path, np.asarray(values, dtype))
    return path


def test_png_is_metres_times_256(tmp_path):
    path = save_codes(tmp_path / "d.png", [[256, 512, 25_600], [0, 65_535, 65_534]])
    inverse_depth = read_inverse_depth(path, (3, 2), "metric")
    expected = np.array([[1.0, 0.5, 0.01], [np.nan, 0.0, 256 / 65_534]], np.float32)
    np.testing.assert_allclose(inverse_depth, expected, rtol=1e-6)
    assert inverse_depth.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kind", ["metric", "scaled"])
def test_npy_is_inverse_depth_unchanged(tmp_path, dtype, kind):
    path = save_values(tmp_path / "d.npy", [[0, 0.25, 4], [np.nan, 1, 2]], dtype)
    inverse_depth = read_inverse_depth(path, (3, 2), kind)
    np.testing.assert_array_equal(inverse_depth, np.array([[0, 0.25, 4], [np.nan, 1, 2]], np.float32))
    assert inverse_depth.dtype == np.float32


def test_npy_has_no_negative_zero(tmp_path):
    """A number too small for 32 bits becomes one, and its metres would be negative."""
    path = save_values(tmp_path / "d.npy", [[-0.0, -1e-50, 4.0]], np.float64)
    assert not np.signbit(read_inverse_depth(path, (3, 1), "metric")).any()


def test_affine_npy_is_normalised_over_the_whole_map(tmp_path):
    path = save_values(tmp_path / "d.npy", [[-3, 1], [np.nan, 5]])
    np.testing.assert_array_equal(read_inverse_depth(path, (2, 2), "affine"), [[0, 0.5], [np.nan, 1]])


class Exploit:
    def __reduce__(self):
        return (print, ("unpickled",))


BAD = {
    "size.npy": lambda path: save_values(path, np.ones((3, 2))),
    "size.png": lambda path: save_codes(path, np.ones((3, 3))),
    "negative.npy": lambda path: save_values(path, [[1, -0.1, 1], [1, 1, 1]]),
    "infinite.npy": lambda path: save_values(path, [[1, np.inf, 1], [1, 1, 1]]),
    "unknown.npy": lambda path: save_values(path, np.full((2, 3), np.nan)),
    "unknown.png": lambda path: save_codes(path, np.zeros((2, 3))),
    "integers.npy": lambda path: save_values(path, np.ones((2, 3)), np.int32),
    "cube.npy": lambda path: save_values(path, np.ones((2, 3, 1))),
    "complex.npy": lambda path: save_values(path, np.ones((2, 3)), np.complex64),
    "pickle.npy": lambda path: np.save(path, np.full((2, 3), Exploit(), object), allow_pickle=True),
    "text.npy": lambda path: path.write_text("nothing"),
    "text.png": lambda path: path.write_text("nothing"),
    "empty.npy": lambda path: path.touch(),
    "claims.npy": lambda path: path.write_bytes(
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2000000000, 3000000000), }".ljust(
            128
        )
    ),
    "colour.png": lambda path: Image.new("RGB", (3, 2)).save(path),
    "grey.png": lambda path: Image.new("L", (3, 2), 9).save(path),
    "jpeg.png": lambda path: Image.new("L", (3, 2), 9).save(path, "JPEG"),
    "folder.npy": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_invalid_depth_maps_are_unusable(tmp_path, name, capsys):
    path = tmp_path / name
    BAD[name](path)
    with pytest.raises(UnusablePicture) as error:
        read_inverse_depth(path, (3, 2), "metric")
    assert name in error.value.message and "\n" not in error.value.message
    assert not capsys.readouterr().out


def test_a_png_that_claims_to_be_huge_is_not_decoded(tmp_path, png_claiming):
    (tmp_path / "bomb.png").write_bytes(png_claiming(60_000, 60_000))
    with pytest.raises(UnusablePicture):
        read_inverse_depth(tmp_path / "bomb.png", (60_000, 60_000), "metric")


def test_torn_png_is_unusable(tmp_path):
    path = save_codes(tmp_path / "d.png", np.random.default_rng(0).integers(1, 9999, (40, 30)))
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(UnusablePicture):
        read_inverse_depth(path, (30, 40), "metric")


def test_affine_depth_without_a_range_is_unusable(tmp_path):
    with pytest.raises(UnusablePicture, match="single value 2"):
        read_inverse_depth(save_values(tmp_path / "d.npy", np.full((2, 3), 2)), (3, 2), "affine")


def test_maps_are_matched_by_stem(tmp_path):
    for name in ("a.npy", "c.NPY", "b.txt", "d.npy"):
        (tmp_path / name).touch()
    photos = [tmp_path / "photos" / name for name in ("a.jpg", "b.png", "c.png")]
    found = match_depths(photos, tmp_path)
    assert found == {photos[0]: tmp_path / "a.npy", photos[2]: tmp_path / "c.NPY"}


@pytest.mark.parametrize(
    ("names", "said"), [(("a.npy", "a.png"), "both .*a.npy.*a.png"), (("a.npy", "b.png"), "b.png and a.npy")]
)
def test_two_maps_for_one_photo_or_two_kinds_are_rejected(tmp_path, names, said):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(QumadeError, match=said):
        match_depths([tmp_path / "a.jpg", tmp_path / "b.jpg"], tmp_path)


def test_missing_folder_is_rejected(tmp_path):
    with pytest.raises(QumadeError, match=r"no folder at .*nowhere"):
        match_depths([], tmp_path / "nowhere")


@given(st.integers(1, 400), st.integers(1, 400))
def test_the_grid_is_small_and_keeps_the_aspect_ratio(width, height):
    grid = coarse_mean(np.full((height, width), 0.5, np.float32))
    assert max(grid.shape) <= 96 and min(grid.shape) >= 1
    np.testing.assert_allclose(grid, 0.5, rtol=1e-6)
    if max(width, height) <= 96:
        assert grid.shape == (height, width)


def test_cells_are_means_of_their_pixels():
    values = np.random.default_rng(1).random((96, 192)).astype(np.float32)
    means = values.reshape(48, 2, 96, 2).mean((1, 3))
    np.testing.assert_allclose(coarse_mean(values), means, rtol=1e-5)


def test_unknown_pixels_are_left_out_and_mostly_unknown_cells_are_nan():
    values = np.ones((4, 192), np.float32)
    values[:, :2] = np.nan  # a whole cell
    values[0, 2] = np.nan  # a quarter of one
    values[:, 4], values[0, 5] = np.nan, np.nan  # three quarters
    values[:, 6:8] = [[3, np.nan], [5, np.nan], [3, np.nan], [5, np.nan]]  # half
    grid = coarse_mean(values)
    assert grid.shape == (2, 96)
    np.testing.assert_array_equal(np.isnan(grid[0, :4]), [True, False, True, False])
    assert grid[0, 1] == 1 and grid[0, 3] == 4


def test_png_in_millimetres(tmp_path):
    path = save_codes(tmp_path / "d.png", [[1000, 2000], [500, 65_534]])
    expected = [[1.0, 0.5], [2.0, 1000 / 65_534]]
    np.testing.assert_allclose(read_inverse_depth(path, (2, 2), "metric", 1000.0), expected, rtol=1e-6)


GROUND = np.maximum(np.arange(120)[:, None] - 50, 0) * np.full((120, 160), 0.005, np.float32)


@pytest.mark.parametrize("share", [0.0, 0.8])
def test_depth_of_ground_does_not_grow_downwards_and_its_inverse_does(share):
    unknown = np.random.default_rng(1).random(GROUND.shape) < share  # as sparse as a laser's
    ground = np.where(unknown, np.nan, GROUND).astype(np.float32)
    assert not depth_grows_downwards(ground)
    with np.errstate(divide="ignore"):
        assert depth_grows_downwards(np.where(GROUND > 0, 1 / (1 + 100 * ground), np.nan).astype(np.float32))


@pytest.mark.parametrize("seed", range(5))
def test_walls_and_noise_do_not_grow_downwards(seed):
    wall = np.random.default_rng(seed).normal(0.5, 0.02, (120, 160)).astype(np.float32)
    assert not depth_grows_downwards(wall)
    assert not depth_grows_downwards((wall - 0.05 * np.arange(120)[:, None] / 120).astype(np.float32))


def test_facts_of_a_map_in_words():
    assert depth_facts(GROUND, "metric").startswith("near 2.9 m, far infinitely far; from the middle down")
    assert "+0.600 1/m per image height" in depth_facts(GROUND, "metric")
    assert "per image height" in depth_facts(GROUND, "affine")
