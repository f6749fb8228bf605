import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import functional

from qumade.data.augment import Layers, augment, colour_jittered, fitted, rotated
from qumade.data.augmentation import Augmentation
from qumade.data.dataset import LabeledSample

MOVES = Augmentation.none().model_copy(update={"crop": (0.6, 1.0), "mirror": 0.5, "rotate": 0.7, "rotate_deg": 30.0})
LOOKS = Augmentation(crop=(1.0, 1.0), mirror=0, rotate=0, colour=1, blur=1, noise=1, jpeg=1)


def random(key: int) -> np.random.Philox:
    return np.random.Philox(key=7, counter=key << 64)


def coordinates(width: int = 48, height: int = 36, ignore: bool = False) -> LabeledSample:
    """A sample whose layers encode the position of each pixel: red, blue and coverage are 5 x column, green is 5 x row,
    inverse depth is the number of the pixel."""
    v, u = np.mgrid[:height, :width]
    image = np.stack([5 * u, 5 * v, 5 * u], axis=-1).astype(np.uint8)
    hidden = (u + v) % 7 == 0 if ignore else None
    return LabeledSample(image, image[..., 0].copy(), (v * width + u).astype(np.float32), hidden)


def noise(width: int = 40, height: int = 30, seed: int = 0) -> LabeledSample:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    return LabeledSample(
        image, rng.integers(0, 256, (height, width), np.uint8), rng.random((height, width), np.float32), None
    )


def assert_same(a: Layers, b: Layers) -> None:
    assert torch.equal(a.pixels, b.pixels)
    np.testing.assert_array_equal(a.unknown, b.unknown)
    np.testing.assert_array_equal(a.inverse_depth, b.inverse_depth)


@given(key=st.integers(0, 10_000), size=st.sampled_from([(48, 36), (32, 24), (24, 24)]))
def test_image_mask_and_depth_are_transformed_together(key: int, size: tuple[int, int]) -> None:
    layers = augment(coordinates(), size, MOVES, random(key))
    known = ~np.isnan(layers.inverse_depth)
    assert known.mean() > 0.4
    np.testing.assert_array_equal(layers.unknown, ~known)
    row, column = np.divmod(np.where(known, layers.inverse_depth, 0), 48)
    pixels = layers.pixels.numpy().astype(float) / 5
    # Labels take the nearest pixel: off by half a pixel when resized, and by half a larger pixel when rotated.
    np.testing.assert_allclose(pixels[0][known], column[known], atol=1.7)
    np.testing.assert_allclose(pixels[1][known], row[known], atol=1.7)
    assert abs((pixels[0] - column)[known].mean()) < 0.3
    np.testing.assert_allclose(pixels[3], pixels[0], atol=0.21)  # one level of rounding


def test_transformations_differ_between_keys() -> None:
    layers = [augment(coordinates(), (32, 24), MOVES, random(key)) for key in range(60)]
    assert len({each.pixels.numpy().tobytes() for each in layers}) > 55
    mirrored = [bool(each.inverse_depth[12, 12] > each.inverse_depth[12, 20]) for each in layers]
    assert 15 < sum(mirrored) < 45
    assert 25 < sum(bool(each.unknown.any()) for each in layers) < 55


@given(key=st.integers(0, 10_000))
def test_depth_is_never_blended_and_ignored_pixels_are_unknown(key: int) -> None:
    sample = coordinates(ignore=True)
    layers = augment(sample, (31, 29), MOVES, random(key))
    numbers = layers.inverse_depth[~np.isnan(layers.inverse_depth)]
    assert sample.inverse_depth is not None and sample.ignore is not None
    assert len(numbers) > 300 and np.isin(numbers, sample.inverse_depth[~sample.ignore]).all()


@given(
    key=st.integers(0, 10_000),
    shape=st.sampled_from([(48, 36), (31, 29), (12, 9), (96, 72)]),
    ignored=st.sampled_from([0.05, 0.5, 0.95]),
)
def test_masks_under_ignored_pixels_do_not_reach_known_ones(key: int, shape: tuple[int, int], ignored: float) -> None:
    rng = np.random.default_rng(key)
    ignore = np.kron(rng.random((12, 16)) < ignored, np.ones((3, 3), bool))  # since the window may end inside an object
    one, other = noise(48, 36, key), noise(48, 36, key + 1)
    assert one.mask is not None and other.mask is not None
    varied = np.where(ignore, other.mask, one.mask)
    samples = [LabeledSample(one.image, mask, one.inverse_depth, ignore) for mask in (one.mask, varied)]
    for moved in (lambda t: augment(t, shape, MOVES, random(key)), lambda t: fitted(t, shape)):
        first, second = map(moved, samples)
        assert_same(first, second)


@given(key=st.integers(0, 10_000), level=st.integers(0, 255))
def test_ignored_pixels_do_not_reduce_coverage(key: int, level: int) -> None:
    """All known coverage of a uniform object has its level, also next to a narrow ignored band."""
    ignore = np.zeros((90, 90), bool)
    ignore[:, 41:43] = ignore[20:70, 60:] = True
    mask = np.where(ignore, 255 - level, level).astype(np.uint8)
    layers = augment(LabeledSample(np.zeros((90, 90, 3), np.uint8), mask, None, ignore), (30, 30), MOVES, random(key))
    known = ~layers.unknown
    assert known.mean() > 0.4 and (layers.pixels[3].numpy()[known] == level).all()


def test_coverage_needs_half_known_pixels_and_depth_a_known_nearest_pixel() -> None:
    """Resizes 12 columns to 4. Each new column averages five, weighted 1, 2, 3, 2, 1; those at the edge lack the first
    or the last. The third of the five is the nearest."""
    mask, ignore = np.full((12, 12), 200, np.uint8), np.zeros((12, 12), bool)
    ignore[:, [0, 1, 4, 8, 9, 11]] = True
    mask[ignore] = 0
    layers = fitted(LabeledSample(np.zeros((12, 12, 3), np.uint8), mask, np.ones((12, 12), np.float32), ignore), (4, 4))
    assert layers.unknown.tolist() == [[True, False, False, True]] * 4  # known: 3/8, 6/9, 6/9, 3/8
    assert np.isnan(layers.inverse_depth).tolist() == [[True, True, False, False]] * 4
    assert layers.pixels[3].tolist() == [[0, 200, 200, 0]] * 4


def test_mirrored_labels_stay_on_their_pixels() -> None:
    sample = coordinates(ignore=True)
    plain = fitted(sample, (48, 36))
    mirrored = augment(sample, (48, 36), Augmentation.none().model_copy(update={"mirror": 1.0}), random(1))
    flipped = Layers(plain.pixels.flip(2), plain.unknown[:, ::-1], plain.inverse_depth[:, ::-1])
    assert_same(mirrored, flipped)
    turned = rotated(mirrored, 180)
    assert_same(turned, Layers(plain.pixels.flip(1), plain.unknown[::-1], plain.inverse_depth[::-1]))


@given(key=st.integers(0, 10_000))
def test_an_ignore_map_without_ignored_pixels_changes_nothing(key: int) -> None:
    plain = noise()
    empty = LabeledSample(plain.image, plain.mask, plain.inverse_depth, np.zeros((30, 40), bool))
    assert_same(*(augment(sample, (36, 30), Augmentation(), random(key)) for sample in (plain, empty)))


@given(key=st.integers(0, 10_000))
def test_colour_noise_and_compression_change_only_the_image(key: int) -> None:
    sample = noise()
    plain, varied = fitted(sample, (40, 30)), augment(sample, (40, 30), LOOKS, random(key))
    assert not torch.equal(varied.pixels[:3], plain.pixels[:3])
    assert_same(varied._replace(pixels=plain.pixels), plain)
    assert torch.equal(varied.pixels[3], plain.pixels[3])


@given(key=st.integers(0, 10_000))
def test_equal_keys_give_equal_bits_despite_other_random_state(key: int) -> None:
    torch.manual_seed(key)
    first = augment(noise(), (36, 30), Augmentation(), random(key))
    torch.manual_seed(key + 1)
    before = torch.get_rng_state()
    np.random.seed(key % 100)
    assert_same(augment(noise(), (36, 30), Augmentation(), random(key)), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_none_changes_nothing() -> None:
    for size in ((40, 30), (20, 20), (64, 40)):
        assert_same(augment(noise(), size, Augmentation.none(), random(1)), fitted(noise(), size))
    same = fitted(noise(), (40, 30))
    np.testing.assert_array_equal(same.pixels[:3].permute(1, 2, 0).numpy(), noise().image)
    np.testing.assert_array_equal(same.pixels[3].numpy(), noise().mask)
    np.testing.assert_array_equal(same.inverse_depth, noise().inverse_depth)


def test_the_input_sample_is_not_modified() -> None:
    sample = coordinates(ignore=True)
    for key in range(20):
        augment(sample, (48, 36), Augmentation(), random(key))
        fitted(sample, (48, 36))
    for name in ("image", "mask", "inverse_depth", "ignore"):
        np.testing.assert_array_equal(getattr(sample, name), getattr(coordinates(ignore=True), name))


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (-90, 3), (0, 0)])
def test_quarter_turns_are_exact_and_anticlockwise(degrees: float, turns: int) -> None:
    layers = fitted(noise(32, 32), (32, 32))
    got = rotated(layers, degrees)
    np.testing.assert_array_equal(got.pixels.numpy(), np.rot90(layers.pixels.numpy(), turns, (1, 2)))
    np.testing.assert_array_equal(got.inverse_depth, np.rot90(layers.inverse_depth, turns))
    assert not got.unknown.any()


def test_known_pixels_of_a_rotated_image_equal_torchvision() -> None:
    layers = fitted(noise(), (40, 30))
    got = rotated(layers, 17.0)
    oracle = functional.rotate_image(layers.pixels, 17.0, interpolation=functional.InterpolationMode.BILINEAR)
    inside = functional.rotate_image(torch.ones(1, 30, 40), 17.0, functional.InterpolationMode.BILINEAR)[0].numpy() == 1
    difference = np.abs(got.pixels.numpy().astype(int) - oracle.numpy())[:, inside]
    assert difference.max() <= 1
    depth = functional.rotate_image(torch.from_numpy(layers.inverse_depth)[None], 17.0)[0].numpy()
    assert (got.inverse_depth == depth)[inside].mean() > 0.99
    assert not got.unknown[inside].any() and np.isnan(got.inverse_depth[got.unknown]).all()


def test_corners_from_outside_a_rotated_image_repeat_the_edge_and_are_unknown() -> None:
    white = LabeledSample(
        np.full((20, 20, 3), 255, np.uint8), np.full((20, 20), 255, np.uint8), np.ones((20, 20), np.float32), None
    )
    got = rotated(fitted(white, (20, 20)), 45)
    assert (got.pixels == 255).all()
    assert got.unknown[0, 0] and got.unknown[19, 19] and not got.unknown[10, 10] and not got.unknown[10, 0]
    np.testing.assert_array_equal(got.outside, got.unknown)
    assert got.unknown.mean() == pytest.approx(1 - 2 * (np.sqrt(2) - 1), abs=0.03)  # four corners of a square


@pytest.mark.parametrize(
    ("shape", "size", "columns", "rows"),
    [
        ((48, 36), (24, 18), 2 * np.arange(24) + 1, 2 * np.arange(18) + 1),
        ((48, 36), (36, 36), np.arange(6, 42), np.arange(36)),
        ((48, 36), (48, 18), np.arange(48), np.arange(9, 27)),
        ((4, 4), (8, 8), np.arange(8) // 2, np.arange(8) // 2),
    ],
)
def test_other_aspect_ratios_are_cropped_to_the_centre(
    shape: tuple[int, int], size: tuple[int, int], columns: np.ndarray, rows: np.ndarray
) -> None:
    layers = fitted(coordinates(*shape), size)
    np.testing.assert_array_equal(layers.inverse_depth, rows[:, None] * shape[0] + columns)


def test_image_and_coverage_are_resized_by_torchs_antialiased_filter() -> None:
    sample = noise(60, 45)
    assert sample.mask is not None
    layers = fitted(sample, (20, 15))
    whole = torch.from_numpy(np.dstack([sample.image, sample.mask])).permute(2, 0, 1)[None].float()
    oracle = torch.nn.functional.interpolate(whole, (15, 20), mode="bilinear", antialias=True)[0]
    assert (layers.pixels.float() - oracle).abs().max() <= 1
    assert abs(float(layers.pixels[3].float().mean()) - sample.mask.mean()) < 2


@pytest.mark.parametrize("ignore", [False, True])
def test_missing_labels_are_unknown(ignore: bool) -> None:
    whole = coordinates(ignore=ignore)
    no_mask = fitted(LabeledSample(whole.image, None, whole.inverse_depth, whole.ignore), (48, 36))
    assert no_mask.unknown.all() and (no_mask.pixels[3] == 0).all()
    np.testing.assert_array_equal(np.isnan(no_mask.inverse_depth), whole.ignore if ignore else np.zeros((36, 48), bool))
    no_depth = fitted(LabeledSample(whole.image, whole.mask, None, whole.ignore), (48, 36))
    assert np.isnan(no_depth.inverse_depth).all()
    np.testing.assert_array_equal(no_depth.unknown, whole.ignore if ignore else np.zeros((36, 48), bool))
    turned = augment(LabeledSample(whole.image, None, None, whole.ignore), (20, 20), MOVES, random(3))
    assert turned.unknown.all() and np.isnan(turned.inverse_depth).all()


def mild() -> Tensor:
    return torch.randint(90, 150, (3, 30, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("brightness", "contrast", "saturation"),
    [(1.3, 1, 1), (1, 0.7, 1), (1, 1, 1.4), (1, 1, 0), (1, 1, 1), (1.2, 0.8, 0.5), (0.8, 1.2, 1.3)],
)
def test_colour_jitter_equals_torchvision_without_clipping(
    brightness: float, contrast: float, saturation: float
) -> None:
    oracle = functional.adjust_brightness_image(mild() / 255, brightness)
    oracle = functional.adjust_contrast_image(oracle, contrast)
    oracle = 255 * functional.adjust_saturation_image(oracle, saturation)
    assert (colour_jittered(mild(), brightness, contrast, saturation, 0.0) - oracle).abs().max() <= 0.6


def test_hue_rotates_and_keeps_luma() -> None:
    luma = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    turned = colour_jittered(mild(), 1, 1, 1, 0.25)
    assert (((turned.float() - mild().float()) * luma).sum(0)).abs().max() <= 1
    assert (turned.float() - mild().float()).abs().max() > 10
    for _ in range(3):
        turned = colour_jittered(turned, 1, 1, 1, 0.25)
    assert (turned.float() - mild().float()).abs().max() <= 4


def test_noise_has_the_given_strength() -> None:
    grey = LabeledSample(np.full((64, 64, 3), 128, np.uint8), None, None, None)
    only = Augmentation.none().model_copy(update={"noise": 1.0, "noise_level": (0.03, 0.03)})
    image = augment(grey, (64, 64), only, random(5)).pixels[:3].double()
    assert float(image.std()) == pytest.approx(0.03 * 255, rel=0.05)
    assert float(image.mean()) == pytest.approx(128, abs=0.5)


def test_blur_smooths_and_jpeg_stays_close() -> None:
    sample = noise(64, 64)
    blurred = (
        augment(sample, (64, 64), Augmentation.none().model_copy(update={"blur": 1.0}), random(2)).pixels[:3].double()
    )
    assert float(blurred.std()) < 0.9 * sample.image.std()
    smooth = coordinates()
    sent = augment(smooth, (48, 36), Augmentation.none().model_copy(update={"jpeg": 1.0}), random(2)).pixels[:3].int()
    difference = (sent - fitted(smooth, (48, 36)).pixels[:3].int()).abs()
    assert difference.max() > 0 and difference.double().mean() < 6


def numbered(class_map: np.ndarray, ignore: np.ndarray | None = None) -> LabeledSample:
    height, width = class_map.shape
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = class_map
    mask = np.where(class_map > 0, np.uint8(255), np.uint8(0))
    return LabeledSample(image, mask, class_map.astype(np.float32), ignore, class_map.astype(np.uint8))


@given(st.integers(0, 2**32 - 1))
def test_numbers_of_classes_move_with_depth_and_are_never_blended(key):
    """Depth holds the same numbers here, and moves by its own code."""
    class_map = np.random.default_rng(key).integers(0, 7, (30, 40)).repeat(2, 0).repeat(2, 1)
    ignore = np.zeros(class_map.shape, bool)
    ignore[10:20, 5:30] = True
    layers = augment(numbered(class_map, ignore), (32, 24), MOVES, random(key))
    known = ~layers.unknown
    assert layers.numbered and known.any()
    np.testing.assert_array_equal(layers.pixels[3].numpy()[known], layers.inverse_depth[known])
    np.testing.assert_array_equal(layers.unknown, np.isnan(layers.inverse_depth))


def test_an_unknown_mask_has_no_numbers():
    sample = numbered(np.ones((8, 8), np.int64))
    layers = fitted(LabeledSample(sample.image, None, None, None, sample.class_map), (4, 4))
    assert layers.unknown.all() and not layers.numbered
