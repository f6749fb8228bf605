import numpy as np
import pytest

from qumade.compose.pyramid import build_pyramid
from qumade.compose.sample import UNLABELLED, PreparedBackground, draw_sample
from qumade.geometry import GroundPlane, inverse_depth_map
from qumade.plan.planner import Plan, plan_samples
from qumade.plan.tables import OBJECT_ROW, SAMPLE_ROW, plan_tables

SIZE = 40, 30
RED, GREEN = (255, 0, 0), (0, 255, 0)


def make_plan(*objects, crop=(0, 0), flip=False, step=0):
    """A plan of objects (foreground, left, top, width, height, inverse depth)."""
    sample, things = np.zeros(1, SAMPLE_ROW), np.zeros(len(objects), OBJECT_ROW)
    sample["crop_x"], sample["crop_y"], sample["flip"], sample["crop_step"] = *crop, flip, step
    for thing, values in zip(things, objects, strict=True):
        for name, value in zip(("foreground", "left", "top", "width", "height", "inverse_depth"), values, strict=True):
            thing[name] = value
    return Plan(sample[0], things)


def block(width, height, colour):
    """The pyramid of an opaque block with a transparent column on either side."""
    rgba = np.full((height, width + 2, 4), (*colour, 255), np.uint8)
    rgba[:, 0, 3] = rgba[:, -1, 3] = 0
    return build_pyramid(rgba, width + 2)


@pytest.fixture
def photo():
    """A photo of 60 x 50 pixels whose colour and depth encode the position of each pixel."""
    v, u = np.mgrid[:50, :60]
    image = np.stack([u, v, 0 * u], -1).astype(np.uint8)
    return PreparedBackground(image, (v * 100 + u).astype(np.float32), None)


def draw(plan, prepared, *cutouts, **options):
    return draw_sample(plan, SIZE, lambda *_: prepared, lambda number: cutouts[number], **options)


def mirrored(prepared):
    return PreparedBackground(prepared.image[:, ::-1], prepared.inverse_depth[:, ::-1], None)


def test_a_sample_without_objects_is_a_window_of_the_background(photo):
    sample = draw(make_plan(crop=(7, 11)), photo)
    np.testing.assert_array_equal(sample.image, photo.image[11:41, 7:47])
    np.testing.assert_array_equal(sample.inverse_depth, photo.inverse_depth[11:41, 7:47])
    assert not sample.mask.any() and not sample.owner.any() and sample.visible_fraction.shape == (0,)
    assert sample.image.dtype == sample.mask.dtype == np.uint8 and sample.inverse_depth.dtype == np.float32
    assert sample.ignore is None


def test_a_mirrored_sample_is_the_mirror_image_of_the_same_crop(photo):
    plain = draw(make_plan(crop=(7, 11)), photo)
    flipped = draw(make_plan(crop=(7, 11), flip=True), mirrored(photo))
    np.testing.assert_array_equal(flipped.image, plain.image[:, ::-1])
    np.testing.assert_array_equal(flipped.inverse_depth, plain.inverse_depth[:, ::-1])


def test_assets_are_requested_by_number(photo):
    asked = []
    plan = make_plan((4, 5, 5, 8, 6, 0.5), step=3, flip=True)
    plan.sample["background"] = 9

    def background(*key):
        asked.append(key)
        return photo

    def cutout(number):
        asked.append(number)
        return block(6, 6, RED)

    draw_sample(plan, SIZE, background, cutout)
    assert asked == [(9, 3, True), 4]


def test_later_objects_are_in_front_and_visible_fractions_are_exact(photo):
    # Red: 12 x 8 of which columns 0..7 and rows 0..7 are in the image, 4 x 3 behind green.
    plan = make_plan((0, -5, 0, 14, 8, 0.5), (1, 3, 5, 12, 6, 0.6))
    sample = draw(plan, photo, block(12, 8, RED), block(10, 6, GREEN))
    assert sample.visible_fraction.tolist() == [np.float32((64 - 4 * 3) / 96), 1.0]
    owner = np.zeros((30, 40), np.uint8)
    owner[0:8, 0:8] = 1
    owner[5:11, 4:14] = 2
    np.testing.assert_array_equal(sample.owner, owner)
    np.testing.assert_array_equal(sample.mask, np.where(owner > 0, 255, 0))
    window = photo.image[:30, :40]
    np.testing.assert_array_equal(
        sample.image, np.select([owner[..., None] == 1, owner[..., None] == 2], [RED, GREEN], window)
    )
    depth = photo.inverse_depth[:30, :40]
    np.testing.assert_array_equal(
        sample.inverse_depth, np.select([owner == 1, owner == 2], [np.float32(0.5), np.float32(0.6)], depth)
    )


def test_a_nearer_part_of_the_background_hides_the_object(photo):
    occluder = np.zeros((50, 60), np.float32)
    occluder[:, 20:] = 0.7
    sample = draw(make_plan((0, 11, 5, 18, 6, 0.5), crop=(4, 0)), photo._replace(occluder=occluder), block(16, 6, RED))
    # Columns 12..27 of the sample; those from 16 on are behind.
    assert sample.visible_fraction.tolist() == [0.25]
    assert (sample.owner[5:11, 12:16] == 1).all() and sample.owner.sum() == 24


def test_an_object_outside_the_image_has_no_visible_pixels(photo):
    sample = draw(make_plan((0, 100, 5, 8, 6, 0.5)), photo, block(6, 6, RED))
    assert sample.visible_fraction.tolist() == [0.0] and not sample.mask.any()


@pytest.mark.parametrize(("alpha", "expected"), [(127, 0), (128, 255), (255, 255), (1, 0)])
def test_binary_mask_has_its_edge_at_half_coverage(photo, alpha, expected):
    rgba = np.full((10, 10, 4), (9, 9, 9, alpha), np.uint8)
    plan = make_plan((0, 5, 5, 10, 10, 0.5))
    soft = draw(plan, photo, build_pyramid(rgba, 10))
    binary = draw(plan, photo, build_pyramid(rgba, 10), binary_mask=True)
    assert (soft.mask[5:15, 5:15] == alpha).all() and (binary.mask[5:15, 5:15] == expected).all()
    assert ((binary.mask == 255) == (binary.owner == 1)).all()
    np.testing.assert_array_equal(soft.image, binary.image)


def test_target_pixels_of_the_background_are_ignored_or_in_the_mask(photo):
    present = np.zeros((50, 60), bool)
    present[:, 20:] = True
    plan, prepared = make_plan((0, 15, 5, 12, 6, 0.5), crop=(5, 5)), photo._replace(present=present)
    ignored = draw(plan, prepared, block(10, 6, RED))
    expected = np.zeros((30, 40), bool)
    expected[:, 15:] = True
    expected[5:11, 16:26] = False  # the object in front of it
    np.testing.assert_array_equal(ignored.ignore, expected)
    assert (ignored.mask > 0).sum() == 60
    counted = draw(plan, prepared, block(10, 6, RED), present_in_mask=True)
    assert counted.ignore is not None and not counted.ignore.any()
    assert (counted.mask == 255).sum() == expected.sum() + 60


@pytest.mark.parametrize(("binary", "alpha"), [(False, 180), (True, 180), (False, 90)])
def test_what_an_object_covers_in_part_still_shows_the_photo(photo, binary, alpha):
    """Its own coverage is only the least that a pixel can have that shows the class behind it too."""
    prepared = photo._replace(present=np.ones((50, 60), np.uint8))
    thin = build_pyramid(np.full((6, 10, 4), (*RED, alpha), np.uint8), 10)
    plan = make_plan((0, 15, 5, 10, 6, 0.5))
    counted = draw(plan, prepared, thin, present_in_mask=True, binary_mask=binary)
    assert (counted.mask == 255).all() and not counted.ignore.any()
    ignored = draw(plan, prepared, thin, binary_mask=binary)
    known = np.zeros((30, 40), bool)
    known[5:11, 15:25] = binary  # at least half covered: the object, whatever is behind it
    np.testing.assert_array_equal(~ignored.ignore, known)


@pytest.mark.parametrize("in_mask", [False, True])
def test_unlabelled_pixels_of_the_background_are_ignored_and_never_in_the_mask(photo, in_mask):
    present = np.zeros((50, 60), np.uint8)
    present[:, 20:] = UNLABELLED
    plan, prepared = make_plan((0, 15, 5, 12, 6, 0.5), crop=(5, 5)), photo._replace(present=present)
    sample = draw(plan, prepared, block(10, 6, RED), present_in_mask=in_mask)
    expected = np.zeros((30, 40), bool)
    expected[:, 15:] = True
    expected[5:11, 16:26] = False
    np.testing.assert_array_equal(sample.ignore, expected)
    assert (sample.mask > 0).sum() == 60


def test_drawing_does_not_modify_assets(photo):
    before = photo.image.copy(), photo.inverse_depth.copy()
    draw(make_plan((0, 5, 5, 8, 6, 0.5)), photo, block(6, 6, RED))
    np.testing.assert_array_equal(photo.image, before[0])
    np.testing.assert_array_equal(photo.inverse_depth, before[1])


def test_drawn_objects_match_their_planned_position_and_visibility(make_recipe, make_catalog, alphas):
    ground = GroundPlane(0.002, 0.02, -0.8)
    recipe = make_recipe(objects=(1, 3), crop=(0.5, 1.0), size=(160, 120), per_pair=30, min_visible=0.6)
    chosen = tuple(alphas[name] for name in ("disc", "ell", "tall"))
    catalog = make_catalog(sizes=((400, 300),), grounds=(ground,), alphas=chosen, scale=(0.2, 0.6))
    plans = plan_samples(plan_tables(recipe, catalog), catalog, range(90))
    pyramids = [build_pyramid(np.dstack([np.full((*alpha.shape, 3), 90, np.uint8), alpha]), 200) for alpha in chosen]
    for n in range(len(plans)):
        plan = plans[n]
        size = round(400 * plan.sample["scale_x"]), round(300 * plan.sample["scale_y"])
        depth = inverse_depth_map(ground.resized(size[0] / 400, size[1] / 300), *size)
        depth = depth[:, ::-1] if plan.sample["flip"] else depth
        prepared = PreparedBackground(np.zeros((*depth.shape, 3), np.uint8), depth, None)
        empty = Plan(plan.sample, plan.objects[:0])
        sample, window = (
            draw_sample(which, recipe.size, lambda *_, p=prepared: p, pyramids.__getitem__) for which in (plan, empty)
        )
        for number, thing in enumerate(plan.objects, 1):
            # The silhouette's 32 x 32 cells against the pixels.
            assert thing["fallback"] or sample.visible_fraction[number - 1] >= recipe.min_visible - 0.05
            assert set(sample.inverse_depth[sample.owner == number]) <= {thing["inverse_depth"]}
            # At the contact the background is as near as the object, to within half a pixel.
            u, v = int(thing["contact_u"]), int(thing["contact_v"])
            if 0 <= u < 160 and 0 <= v < 120:
                assert window.inverse_depth[v, u] == pytest.approx(thing["inverse_depth"], abs=0.03)
