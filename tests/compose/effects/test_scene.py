import numpy as np
import pytest

from qumade.compose.effects.scene import Canvas, Thing, draw_distractors, paste_with_look
from qumade.compose.pyramid import build_pyramid
from qumade.plan.effects import Distractor, Haze, Look, Shadow

NO_HAZE = Haze(0.0, 10.0, (255.0, 255.0, 255.0))
SHADE = Shadow(0.6, 0.5, 1.0, 0.4, 0.08)
PLAIN = Look("alpha", 0.0, 0.0, Shadow(0.0))
LOOKS = [
    PLAIN, PLAIN._replace(shadow=SHADE), Look("hard", 0.0, 0.0, SHADE), Look("feather", 2.5, 0.0, SHADE),
    Look("soften", 1.2, 0.0, SHADE), Look("alpha", 0.0, 1.0, SHADE), Look("feather", 3.0, 0.7, SHADE),
]  # fmt: skip


def disc(colour, relief=False):
    v, u = np.mgrid[:40, :50] + 0.5
    alpha = 255 * np.clip(18.5 - np.hypot((u - 25) / 1.3, v - 20), 0, 1)
    rgba = np.dstack([np.full((40, 50, 3), colour), np.rint(alpha)]).astype(np.uint8)
    return build_pyramid(rgba, 60, np.full((40, 50), 0.3, np.float32) if relief else None)


def new_canvas(seed=0, occluded=False):
    rng = np.random.default_rng(seed)
    image = rng.integers(60, 200, (80, 100, 3), np.uint8)
    depth = np.linspace(0.1, 1.0, 80, dtype=np.float32)[:, None].repeat(100, 1)
    occluder = np.zeros((0, 0), np.float32)
    if occluded:
        occluder = np.where(rng.random((80, 100)) < 0.3, np.float32(2.0), np.float32(0.0))
    owner = np.zeros((80, 100), np.uint8)
    return Canvas.on(
        image, np.zeros((80, 100), np.uint8), depth, owner, np.zeros(4, np.int64), occluder, 0.0, NO_HAZE
    )  # fmt: skip


def thing(pyramid, left=30.0, top=25.0, depth=0.6):
    return Thing(pyramid, left, top, 50.0, 40.0, left + 25.0, top + 39.0, np.float32(depth))


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("occluded", [False, True])
@pytest.mark.parametrize("place", [(30.0, 25.0), (-20.3, 50.6), (80.0, -10.0)])
def test_no_look_changes_a_label(look, occluded, place):
    """Mask, depth, owner and visibility are those of an object that is simply pasted."""
    plain, other = new_canvas(occluded=occluded), new_canvas(occluded=occluded)
    for number, colour in ((1, (200, 30, 30)), (2, (30, 30, 200))):
        one = thing(disc(colour, relief=number == 2), place[0] + 9 * number, place[1], 0.5 + 0.1 * number)
        assert paste_with_look(plain, number, one, PLAIN) == paste_with_look(other, number, one, look)
    for name in ("mask", "inverse_depth", "owner", "visible"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(other, name))
    if look is not PLAIN:
        assert (plain.image != other.image).any()


@pytest.mark.parametrize("look", LOOKS[2:])
def test_a_look_leaves_distant_pixels_and_the_inside_alone(look):
    look = look._replace(shadow=Shadow(0.0))
    canvas = new_canvas()
    paste_with_look(canvas, 1, thing(disc((200, 30, 30))), look)
    changed = (canvas.image != canvas.photo).any(axis=2)
    assert not changed[:18].any() and not changed[:, :22].any() and not changed[:, 88:].any()
    if look.harmonise == 0:
        assert (canvas.image[45, 55] == (200, 30, 30)).all()


def distractor(kind, **fields):
    place = {"left": 30.0, "top": 25.0, "width": 50.0, "height": 40.0, "contact_u": 55.0, "contact_v": 64.0}
    base = {"asset": 0, "inverse_depth": 0.6, "shift": (7, -9), "look": PLAIN, **place}
    return Distractor(kind=kind, **{**base, **fields})


def drawn(one, **options):
    canvas = new_canvas()
    covered = draw_distractors(
        canvas, (one,), lambda _: disc((0, 0, 0)), lambda _: disc((200, 30, 30)), options.get("present")
    )
    return canvas, covered


@pytest.mark.parametrize("one", [distractor("patch"), distractor("shadow", look=PLAIN._replace(shadow=SHADE))])
def test_patches_and_shadows_change_the_image_alone(one):
    canvas, covered = drawn(one)
    fresh = new_canvas()
    assert covered is None and (canvas.image != fresh.image).any()
    for name in ("mask", "inverse_depth", "owner", "visible"):
        np.testing.assert_array_equal(getattr(canvas, name), getattr(fresh, name))


def test_a_patch_shows_the_photo_in_the_silhouette_of_a_cutout():
    canvas, _ = drawn(distractor("patch"))
    np.testing.assert_array_equal(canvas.image[40:50, 45:60], canvas.photo[31:41, 52:67])
    np.testing.assert_array_equal(canvas.image[:24], canvas.photo[:24])


def test_another_thing_has_its_depth_and_no_mask():
    canvas, covered = drawn(distractor("thing", look=Look("soften", 1.0, 0.5, SHADE)))
    assert not canvas.mask.any() and not canvas.owner.any() and not canvas.visible.any()
    own = canvas.inverse_depth == np.float32(0.6)
    np.testing.assert_array_equal(own & covered, covered)
    assert covered.sum() == pytest.approx(np.pi * 18 * 18 * 1.3, rel=0.06)
    np.testing.assert_array_equal(canvas.inverse_depth[~covered], new_canvas().inverse_depth[~covered])


def test_objects_are_drawn_over_other_things():
    canvas, _ = drawn(distractor("thing"))
    alone = new_canvas()
    one = thing(disc((30, 30, 200)), depth=0.7)
    assert paste_with_look(canvas, 1, one, PLAIN) == paste_with_look(alone, 1, one, PLAIN)
    np.testing.assert_array_equal(canvas.mask, alone.mask)
    np.testing.assert_array_equal(canvas.visible, alone.visible)
