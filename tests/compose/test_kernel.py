import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qumade.compose.pyramid import build_pyramid
from qumade.geometry import BEHIND

# Truth: a disc in a square of side 1, of coverage 1 inside, 0 outside, and a smooth step between the two radii.
INNER, OUTER = 0.1, 0.45
SOURCE_PX = 512
COLOUR = np.array([250, 120, 10])
POSITION = st.floats(-40, 40)


def disc_coverage(u, v):
    """Coverage of the disc at points of the unit square."""
    t = np.clip((OUTER - np.hypot(u - 0.5, v - 0.5)) / (OUTER - INNER), 0, 1)
    return t * t * (3 - 2 * t)


def centres(left, top, width, height, shape):
    """Pixel centres of a canvas as points of the unit square stretched over the box."""
    v, u = np.mgrid[: shape[0], : shape[1]] + 0.5
    return (u - left) / width, (v - top) / height


@pytest.fixture(scope="module")
def disc():
    """The disc as straight-alpha uint8 [512, 512, 4]; magenta where it is fully transparent."""
    coverage = disc_coverage(*centres(0, 0, SOURCE_PX, SOURCE_PX, (SOURCE_PX, SOURCE_PX)))
    rgba = np.empty((SOURCE_PX, SOURCE_PX, 4), np.uint8)
    rgba[..., :3] = np.where((coverage > 0)[..., None], COLOUR, [255, 0, 255])
    rgba[..., 3] = np.rint(coverage * 255)
    return rgba


@pytest.fixture(scope="module")
def noise():
    """uint8 [64, 96, 3]."""
    return np.random.default_rng(5).integers(0, 256, (64, 96, 3), np.uint8)


@given(
    width=st.sampled_from([64.0, 90.5, 97.3, 128.0, 181.1, 256.0, 363.0, 512.0, 700.0]),
    stretch=st.sampled_from([1.0, 0.8]),
    left=POSITION,
    top=POSITION,
    under=st.sampled_from([(0, 0, 0), (255, 255, 255), (13, 200, 90)]),
)
@settings(max_examples=40)
def test_soft_disc_has_the_analytic_coverage_and_colour(canvas, disc, width, stretch, left, top, under):
    drawn = canvas(under, 160, 130)
    box = (left, top, width, width * stretch)
    drawn.paste(disc, box)
    coverage = disc_coverage(*centres(*box, drawn.mask.shape))
    # The source holds coverage in whole levels, so half a level is lost before anything is drawn.
    assert np.abs(drawn.mask - np.rint(255 * coverage)).max() <= 1
    straight = coverage[..., None] * COLOUR + (1 - coverage[..., None]) * np.array(under, np.float64)
    assert np.abs(drawn.image - np.rint(straight)).max() <= 1


@pytest.mark.parametrize("width", [8.0, 12.3, 21.0, 45.7, 300.0])
@pytest.mark.parametrize(("left", "top"), [(20.0, 30.0), (20.25, 29.5), (19.9, 30.7)])
def test_disc_keeps_its_area_and_position_at_every_scale(canvas, disc, width, left, top):
    drawn = canvas(0, 360, 360)
    drawn.paste(disc, (left, top, width, width))
    r = (np.arange(100_000) + 0.5) / 200_000
    area = (2 * np.pi * r * disc_coverage(0.5 + r, 0.5)).sum() / 200_000 * width**2
    mass = drawn.mask / 255.0
    assert mass.sum() == pytest.approx(area, rel=0.01)
    v, u = np.mgrid[:360, :360] + 0.5
    assert (mass * u).sum() / mass.sum() == pytest.approx(left + width / 2, abs=0.02)
    assert (mass * v).sum() / mass.sum() == pytest.approx(top + width / 2, abs=0.02)


@given(width=st.floats(0.3, 300), aspect=st.floats(0.5, 2), left=POSITION, top=POSITION)
def test_white_on_white_stays_white(canvas, disc, width, aspect, left, top):
    white = disc.copy()
    white[..., :3] = 255
    drawn = canvas(255, 96, 64)
    drawn.paste(white, (left, top, width, width * aspect))
    assert (drawn.image == 255).all()


@given(width=st.floats(0.3, 300), left=POSITION, top=POSITION)
def test_colour_under_transparent_pixels_never_bleeds(canvas, width, left, top):
    rgba = np.full((64, 64, 4), (255, 0, 255, 0), np.uint8)
    rgba[20:40, 25:45] = (0, 255, 0, 255)
    drawn = canvas((0, 255, 0), 96, 64)
    drawn.paste(rgba, (left, top, width, width))
    assert (drawn.image == (0, 255, 0)).all()


@given(left=st.integers(-70, 100), top=st.integers(-50, 70), seed=st.integers(0, 100))
def test_a_cut_out_at_original_size_is_blended_pixel_by_pixel(canvas, noise, left, top, seed):
    rgba = np.random.default_rng(seed).integers(0, 256, (40, 60, 4), np.uint8)
    drawn = canvas(noise)
    drawn.paste(rgba, (left, top, 60, 40))
    placed = np.zeros((240, 296, 4))
    placed[top + 100 : top + 140, left + 100 : left + 160] = rgba
    colour, alpha = placed[100:164, 100:196, :3], placed[100:164, 100:196, 3:] / 255
    np.testing.assert_array_equal(drawn.mask, np.rint(alpha[..., 0] * 255))
    assert np.abs(drawn.image - (colour * alpha + noise * (1 - alpha))).max() <= 0.51
    opaque = alpha[..., 0] * 255 >= 128
    np.testing.assert_array_equal(drawn.inverse_depth, np.where(opaque, np.float32(0.5), 0))
    np.testing.assert_array_equal(drawn.owner, opaque)
    assert drawn.visible[1] == opaque.sum()


@pytest.mark.parametrize(("width", "height"), [(90, 60), (75, 50), (64, 43), (45, 30), (31, 20)])
def test_paste_agrees_with_pillow_on_premultiplied_colour(canvas, noise, width, height):
    v, u = np.mgrid[:120, :180] + 0.5
    rgba = np.empty((120, 180, 4), np.uint8)
    rgba[..., 0], rgba[..., 1] = 255 * u / 180, 255 - 255 * u / 180
    rgba[..., 2] = 127 + 120 * np.sin(v / 9)
    rgba[..., 3] = np.rint(255 * np.clip(0.5 + (50 - np.hypot((u - 90) / 1.5, v - 60)) / 12, 0, 1))
    drawn = canvas(noise)
    drawn.paste(rgba, (3, 2, width, height))
    shrunk = Image.fromarray(rgba).convert("RGBa").resize((width, height), Image.Resampling.HAMMING)
    placed = np.zeros((64, 96, 4))
    placed[2 : 2 + height, 3 : 3 + width] = np.asarray(shrunk, np.float64)[: 64 - 2, : 96 - 3]
    expected = placed[..., :3] + noise * (1 - placed[..., 3:] / 255)
    inside = placed[..., 3] > 0
    # Only Pillow's filter has the exact footprint: the two are close in the mean and differ most at the boundary.
    assert np.abs(drawn.image - expected)[inside].mean() < 2
    assert np.abs(drawn.mask - placed[..., 3])[inside].mean() < 2
    assert np.abs(drawn.mask - placed[..., 3]).max() < 20


@given(
    columns=st.integers(1, 90),
    rows=st.integers(1, 90),
    width=st.floats(0.1, 400),
    height=st.floats(0.1, 400),
    left=st.floats(-500, 500),
    top=st.floats(-500, 500),
)
def test_pixels_outside_the_box_are_unchanged(canvas, noise, columns, rows, width, height, left, top):
    rgba = np.full((rows, columns, 4), 255, np.uint8)
    drawn = canvas(noise)
    drawn.paste(rgba, (left, top, width, height))
    v, u = np.mgrid[:64, :96] + 0.5
    # Enlarged pixels reach half of their own size beyond the box, shrunk ones half a pixel of the sample.
    beyond_u, beyond_v = max(0.5, width / columns / 2), max(0.5, height / rows / 2)
    if max(width, height) < 1:
        beyond_u = beyond_v = 1.0  # the smallest level is one pixel
    outside = (u < left - beyond_u) | (u > left + width + beyond_u) | (v < top - beyond_v)
    outside |= v > top + height + beyond_v
    np.testing.assert_array_equal(drawn.image[outside], noise[outside])
    assert not drawn.mask[outside].any() and not drawn.owner[outside].any() and not drawn.inverse_depth[outside].any()


def test_a_pixel_centre_on_the_boundary_is_transparent(canvas):
    # A pixel on the edge of the transparent border must be transparent, however it is rounded.
    rng = np.random.default_rng(0)
    for case in range(300):
        source, length, pixel = int(rng.integers(1, 60)), rng.uniform(1, 90), int(rng.integers(0, 64))
        rgba = np.full((source, source, 4), 255, np.uint8)
        fits = [width for _, width, _ in build_pyramid(rgba, length).levels if width >= length]
        margin = 0.5 * length / (fits[-1] if fits else source)
        start = pixel + 0.5 - length - margin if case % 2 else pixel + 0.5 + margin
        for _ in range(rng.integers(0, 4)):
            start = np.nextafter(start, np.inf if case % 2 else -np.inf)
        drawn = canvas(0, 64, 64)
        drawn.paste(rgba, (start, start, length, length))
        assert not drawn.mask[pixel].any() and not drawn.mask[:, pixel].any()


def block(width, height, colour=(255, 0, 0)):
    """An opaque block with a transparent column on either side."""
    rgba = np.full((height, width + 2, 4), (*colour, 255), np.uint8)
    rgba[:, 0, 3] = rgba[:, -1, 3] = 0
    return rgba


@pytest.mark.parametrize(
    ("behind", "hidden"),
    [(0.5 * 1.031, True), (0.5 * 1.029, False), (0.5, False), (0.4, False), (0.0, False), (np.nan, False), (9, True)],
)
def test_only_surfaces_more_than_three_percent_nearer_hide(canvas, behind, hidden):
    assert BEHIND == 1.03
    drawn = canvas((10, 20, 30), 20, 10)
    occluder = np.zeros((10, 20), np.float32)
    occluder[:, 10:] = behind
    drawn.inverse_depth[:] = occluder
    whole = drawn.paste(block(10, 6), (4, 2, 12, 6), occluder=occluder)
    assert whole == 60
    expected = np.zeros((10, 20), bool)
    expected[2:8, 5:15] = True
    if hidden:
        expected[:, 10:] = False
    np.testing.assert_array_equal(drawn.owner == 1, expected)
    np.testing.assert_array_equal(drawn.mask, np.where(expected, 255, 0))
    np.testing.assert_array_equal(drawn.image, np.where(expected[..., None], (255, 0, 0), (10, 20, 30)))
    np.testing.assert_array_equal(drawn.inverse_depth, np.where(expected, np.float32(0.5), occluder))
    assert drawn.visible[1] == expected.sum()


@given(width=st.floats(10, 200), left=POSITION, top=POSITION)
@settings(max_examples=30)
def test_depth_edge_is_at_half_coverage(canvas, disc, width, left, top):
    drawn = canvas(0, 96, 64)
    drawn.inverse_depth[:] = 0.25
    drawn.paste(disc, (left, top, width, width), depth=0.75)
    assert set(np.unique(drawn.inverse_depth)) <= {0.25, 0.75}
    nearer = drawn.inverse_depth == 0.75
    assert (drawn.mask[nearer] >= 127).all() and (drawn.mask[~nearer] <= 128).all()
    np.testing.assert_array_equal(nearer, drawn.owner == 1)


@pytest.mark.parametrize("horizon_level", [0.0, 0.3, -0.2])
def test_occlusion_is_relative_to_the_horizon_level(canvas, horizon_level):
    occluder = np.full((10, 20), 0.5 * 1.02, np.float32)
    occluder[:, 10:] = 0.5 * 1.04
    drawn = canvas(0, 20, 10)
    drawn.paste(block(10, 6), (4, 2, 12, 6), depth=0.5 + horizon_level, occluder=occluder, horizon_level=horizon_level)
    assert drawn.owner[2:8, 5:10].all() and not drawn.owner[:, 10:].any()


def test_relief_sets_the_depth_of_each_pixel(canvas):
    # An object 4 m away at its contact; its left half reaches 1 m nearer, its right half 2 m farther.
    relief = np.where(np.arange(12) < 6, -1.0, 2.0).astype(np.float32) * np.ones((6, 1), np.float32)
    drawn = canvas(0, 20, 10)
    drawn.paste(block(10, 6), (4, 2, 12, 6), depth=1 / 4, relief=relief)
    np.testing.assert_allclose(drawn.inverse_depth[2:8, 5:10], 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(drawn.inverse_depth[2:8, 10:15], 1 / 6, rtol=1e-6)
    # Something 3.5 m away hides what is farther than that.
    drawn = canvas(0, 20, 10)
    occluder = np.full((10, 20), 1 / 3.5, np.float32)
    drawn.paste(block(10, 6), (4, 2, 12, 6), depth=1 / 4, relief=relief, occluder=occluder)
    assert drawn.owner[2:8, 5:10].all() and not drawn.owner[:, 10:].any()


def test_relief_behind_the_camera_stays_finite_and_near(canvas):
    drawn = canvas(0, 20, 10)
    drawn.paste(block(10, 6), (4, 2, 12, 6), depth=0.5, relief=np.full((6, 12), -3.0, np.float32))
    inside = drawn.inverse_depth[2:8, 5:15]
    assert np.isfinite(inside).all() and (inside > 0.5).all()


def test_pixel_counts_are_exact_for_cropped_and_overlapping_objects(canvas):
    drawn = canvas(0, 30, 20, objects=3)
    # 12 x 8 of which columns -4..7 and rows 15..22: 8 x 5 in the image.
    assert drawn.paste(block(12, 8), (-5, 15, 14, 8), number=1) == 96
    assert drawn.visible[1:].tolist() == [40, 0, 0]
    # Columns 4..13, rows 10..17: 4 x 3 of the first are behind it.
    assert drawn.paste(block(10, 8, (0, 255, 0)), (3, 10, 12, 8), number=2, depth=0.6) == 80
    assert drawn.visible[1:].tolist() == [28, 80, 0]
    assert (drawn.owner == 1).sum() == 28 and (drawn.owner == 2).sum() == 80
    # Fully outside: no pixel is visible, but the object keeps its size.
    assert drawn.paste(block(6, 5), (40, 3, 8, 5), number=3, depth=0.7) == 30
    assert drawn.visible[1:].tolist() == [28, 80, 0]
    assert (drawn.mask == 255).sum() == 108 and (drawn.mask == 0).sum() == 600 - 108
    np.testing.assert_array_equal(drawn.image[12, 6], (0, 255, 0))
    np.testing.assert_array_equal(drawn.image[19, 0], (255, 0, 0))


def test_mask_is_the_union_of_two_objects(canvas):
    drawn = canvas(0, 20, 10, objects=2)
    half = block(6, 6)
    half[..., 3] = np.where(half[..., 3] > 0, 100, 0)
    for number in (1, 2):
        drawn.paste(half, (4, 2, 8, 6), number=number)
    assert drawn.mask[5, 8] == round(255 * (1 - (1 - 100 / 255) ** 2))
    assert not drawn.owner.any() and not drawn.visible.any()


@given(width=st.floats(9, 120), left=st.floats(5, 6), top=st.floats(5, 6))
def test_a_shrunk_checkerboard_is_grey(canvas, width, left, top):
    v, u = np.mgrid[:256, :256]
    rgba = np.full((256, 256, 4), 255, np.uint8)
    rgba[..., :3] = (255 * ((u + v) % 2))[..., None]
    drawn = canvas(0, 130, 130)
    drawn.paste(rgba, (left, top, width, width))
    inside = drawn.image[int(top) + 2 : int(top + width) - 1, int(left) + 2 : int(left + width) - 1]
    assert inside.size and np.abs(inside - 127.5).max() <= 1


@given(width=st.floats(0.2, 130), left=POSITION)
@settings(max_examples=15)
def test_omitted_levels_are_never_needed(canvas, disc, width, left):
    # Levels above the largest drawn size are dropped: the image must not change.
    cropped, full = canvas(50, 96, 64), canvas(50, 96, 64)
    box = (left, 3.3, width, width * 0.7)
    cropped.paste(disc, box, largest_px=130)
    full.paste(disc, box, largest_px=10_000)
    np.testing.assert_array_equal(cropped.image, full.image)
