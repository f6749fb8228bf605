import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.compose.effects.shadows import cast_shadow
from qumade.compose.pyramid import build_pyramid

NOTHING = np.zeros((0, 0), np.float32)
POST = build_pyramid(np.full((40, 8, 4), 255, np.uint8), 60)  # 8 px wide, 40 px high
BOX = 60.0, 40.0, 8.0, 40.0  # its contact is (64, 80)


def shaded(owner=None, occluder=NOTHING, strength=0.5, along=0.0, away=1.0, tilt=0.5, softness=0.04, value=200):
    image = np.full((120, 160, 3), value, np.uint8)
    owner = np.zeros((120, 160), np.uint8) if owner is None else owner
    cast_shadow(
        image, owner, occluder, 0.0, POST.pixels, POST.levels, *BOX, 64.0, 80.0, 0.5,
        strength, along, away, tilt, softness,
    )  # fmt: skip
    return image


@pytest.mark.parametrize(
    ("along", "away", "tilt"), [(0.0, 1.0, 0.5), (1.5, 1.0, 0.5), (-1.0, -1.5, 0.4), (2.0, -0.5, 1.0)]
)
def test_the_shadow_of_a_point_lies_where_the_sun_throws_it(along, away, tilt):
    image = shaded(along=along, away=away, tilt=tilt)
    for t in (10.0, 20.0, 30.0):
        u, v = 64 + along * t, 80 - tilt * away * t
        dark = image[int(v), int(u), 0]
        expected = 200 * (1 - 0.5 * (1 - 0.5 * (80 - (int(v) + 0.5)) / (tilt * away) / 40))
        assert dark == pytest.approx(expected, abs=3)
        assert image[int(v), min(159, int(u) + 14), 0] == image[int(v), max(0, int(u) - 14), 0] == 200


def test_the_shadow_of_the_sky_is_darkest_below_the_object():
    image = shaded(away=-0.15, along=0.0)
    assert image[79, 64, 0] == pytest.approx(100, abs=12)
    assert image[79, 80, 0] == 200 and image[60, 64, 0] == 200


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_strength_is_the_light_that_is_taken(strength):
    assert shaded(strength=strength).min() == pytest.approx(200 * (1 - strength), abs=8)


def test_a_low_sun_makes_a_long_shadow():
    rows = [np.flatnonzero((shaded(away=away)[..., 0] < 195).any(1)) for away in (0.5, 1.5)]
    assert rows[0].min() - rows[1].min() == pytest.approx(0.5 * 40 * 1.0, abs=2)


def test_softness_widens_the_edge():
    def levels(softness):
        row = shaded(softness=softness, away=1.5)[60, :, 0].astype(float)
        return ((row < 195) & (row > row.min() + 5)).sum()

    assert levels(0.3) > levels(0.02)


def test_objects_and_things_before_the_contact_are_not_shaded():
    plain, owner, occluder = shaded(), np.zeros((120, 160), np.uint8), np.zeros((120, 160), np.float32)
    owner[:, :64], occluder[:, 64:] = 1, 0.6
    assert (plain[:, :64] < 200).any() and (plain[:, 64:] < 200).any()
    assert (shaded(owner=owner, occluder=occluder) == 200).all()
    behind = np.full((120, 160), 0.5, np.float32)
    np.testing.assert_array_equal(shaded(occluder=behind), plain)


@given(
    strength=st.floats(0, 1), along=st.floats(-3, 3), away=st.floats(0.15, 3), sign=st.sampled_from([-1, 1]),
    tilt=st.floats(0.04, 2), softness=st.floats(0, 1),
)  # fmt: skip
def test_a_shadow_only_darkens_and_all_channels_alike(strength, along, away, sign, tilt, softness):
    image = shaded(strength=strength, along=along, away=sign * away, tilt=tilt, softness=softness)
    assert (image <= 200).all() and (image == image[..., :1]).all()
    assert (image >= np.floor(200 * (1 - strength))).all()


def test_the_ground_between_two_feet_is_dark():
    """An arch on two feet of unequal depth: the dark ground ends at the line from the outer end of one to the other."""
    rgba = np.zeros((80, 100, 4), np.uint8)
    rgba[:40, :, 3] = rgba[:68, :20, 3] = rgba[:, 80:, 3] = 255
    arch, image = build_pyramid(rgba, 100), np.full((140, 200, 3), 200, np.uint8)
    cast_shadow(
        image, np.zeros((140, 200), np.uint8), NOTHING, 0.0, arch.pixels, arch.levels, 50.0, 20.0, 100.0, 80.0,
        140.0, 100.0, 0.5, 0.5, 0.0, -0.15, 0.05, 0.02,
    )  # fmt: skip
    for u in (75, 100, 125):
        line_v = 88 + (u - 50.5) / 80 * 12
        assert image[int(line_v) - 3, u, 0] == pytest.approx(200 * (1 - 0.5 * (1 - (100 - line_v) / 28)), abs=4)
        assert image[int(line_v) + 6, u, 0] == 200 and image[int(line_v) - 3, u, 0] < 175
    assert (image[:58] == 200).all()
