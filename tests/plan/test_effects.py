import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.effects import Effects
from qumade.geometry import GroundPlane
from qumade.plan.effects import effect_tables, plan_effects
from qumade.plan.planner import Plan, plan_samples
from qumade.plan.tables import plan_tables

EVERYTHING = Effects.all().model_copy(update={"distractors": (0, 6)})


@pytest.fixture(scope="module")
def world(make_recipe, make_catalog):
    """Recipe and catalog of two backgrounds, shapes as cut-outs and the same shapes as other things."""

    def make(effects=EVERYTHING, **fields):
        grounds = GroundPlane(0.0, 0.02, -0.8), np.linspace(0.1, 1.0, 12 * 16, dtype=np.float32).reshape(12, 16)
        catalog = make_catalog(sizes=((120, 90), (160, 120)), grounds=grounds)
        others = tuple(replace(one, name=f"other_{one.name}") for one in catalog.foregrounds)
        recipe = make_recipe(size=(100, 80), objects=(1, 3), min_visible=0.3, per_pair=100, effects=effects, **fields)
        return recipe, replace(catalog, distractors=others)

    return make


def drawn(recipe, catalog, indices=range(0, 1000, 25), variant=0):
    tables, plans = effect_tables(recipe, catalog), plan_samples(plan_tables(recipe, catalog), catalog, [*indices])
    return [plan_effects(tables, plans[n], variant) for n in range(len(plans))], plans


def test_effects_depend_on_the_sample_alone(world):
    together, _ = drawn(*world())
    backwards, _ = drawn(*world(), indices=range(975, -1, -25))
    assert together == backwards[::-1]
    assert len({repr(one.camera) for one in together}) == 40


def test_another_seed_gives_other_effects(world):
    one, other = drawn(*world()), drawn(*world(seed=1))
    assert all(a.camera != b.camera for a, b in zip(one[0], other[0], strict=True))


def test_variants_share_what_has_labels_and_nothing_else(world):
    (one, _), (other, _) = drawn(*world()), drawn(*world(), variant=1)
    things = 0
    for a, b in zip(one, other, strict=True):
        assert a.camera != b.camera and a.haze != b.haze and a.objects != b.objects
        kept = [[d._replace(look=None) for d in some.distractors if d.kind == "thing"] for some in (a, b)]
        assert kept[0] == kept[1]
        things += len(kept[0])
    assert things > 10


def test_ranges_are_kept_and_used(world):
    effects, (found, _) = EVERYTHING, drawn(*world(), indices=range(0, 1000, 2))
    looks = [look for one in found for look in one.objects]
    assert {look.blend for look in looks} == set(effects.blend)
    ends = {"feather": effects.feather_px, "soften": effects.soften_px, "hard": (0, 0), "alpha": (0, 0)}
    assert all(ends[look.blend][0] <= look.edge_px <= ends[look.blend][1] for look in looks)
    assert 0.6 < np.mean([look.shadow.strength > 0 for look in looks]) < 0.8
    for values, (low, high) in [
        ([look.harmonise for look in looks], effects.harmonise),
        ([one.haze.density for one in found], effects.haze),
        ([one.camera.blur_px for one in found], effects.blur_px),
        ([one.camera.vignette for one in found], effects.vignette),
        ([one.camera.exposure for one in found], effects.exposure),
        ([one.camera.gamma for one in found], effects.gamma),
        ([one.camera.noise for one in found], effects.noise),
        ([one.camera.jpeg_quality for one in found if one.camera.jpeg_quality], effects.jpeg_quality),
    ]:
        on = [value for value in values if value != 0]
        assert low <= min(on) < low + 0.05 * (high - low) and high - 0.05 * (high - low) < max(on) <= high
    off = [[one.camera.noise == 0, one.camera.blur_px == 0, one.camera.jpeg_quality is None] for one in found]
    assert np.all(np.abs(np.mean(off, axis=0) - 0.5) < 0.1)
    assert abs(np.corrcoef(np.array(off).T)[0, 1]) < 0.2
    counts = [len(one.distractors) for one in found]
    assert set(counts) >= set(range(6))
    assert {d.kind for one in found for d in one.distractors} == {"patch", "shadow", "thing"}


def test_switching_one_effect_on_leaves_the_others_as_they_are(world):
    (alone, _), (every, _) = drawn(*world(Effects(noise=(0.0, 0.025)))), drawn(*world())
    for one, other in zip(alone, every, strict=True):
        assert other.camera.noise in (0.0, one.camera.noise) and one.camera.noise_key == other.camera.noise_key
        assert not one.distractors and all(look.blend == "alpha" and not look.shadow.strength for look in one.objects)


def test_the_sun_is_the_same_for_a_sample(world):
    effects = Effects(shadow=1.0, sun_deg=(40, 40))
    for one in drawn(*world(effects))[0]:
        directions = {math.atan2(look.shadow.away, look.shadow.along) for look in one.objects}
        lengths = {math.hypot(look.shadow.away, look.shadow.along) for look in one.objects}
        assert max(directions) - min(directions) < 0.2 and max(lengths) < 1 / math.tan(math.radians(40)) + 0.05


def test_a_shadow_ends_below_the_horizon(world):
    recipe, catalog = world(Effects(shadow=1.0, sun_deg=(5, 20)))
    found, plans = drawn(recipe, catalog, indices=range(0, 1000, 5))
    checked = 0
    for n, one in enumerate(found):
        if plans[n].sample["background"] == 0:
            for look, thing in zip(one.objects, plans[n].objects, strict=True):
                horizon_v = 40 * plans[n].sample["scale_y"] - plans[n].sample["crop_y"]
                end_v = thing["contact_v"] - look.shadow.tilt * look.shadow.away * (thing["contact_v"] - thing["top"])
                assert end_v > horizon_v or look.shadow.tilt == 0.04  # the least
                checked += 1
    assert checked > 50


def test_things_stand_on_the_ground_and_objects_may_be_drawn_over_them(world):
    recipe, catalog = world()
    found, plans = drawn(recipe, catalog, indices=range(0, 1000, 3))
    things = 0
    for n, one in enumerate(found):
        row = plans[n].sample
        for thing in (d for d in one.distractors if d.kind == "thing"):
            things += 1
            u = recipe.size[0] - thing.contact_u if row["flip"] else thing.contact_u
            v = (thing.contact_v + row["crop_y"]) / row["scale_y"]
            if row["background"] == 0:
                assert thing.inverse_depth == pytest.approx(0.02 * v - 0.8, rel=1e-5)
                scale = math.sqrt(thing.width * thing.height / (recipe.size[0] * recipe.size[1]))
                low, high = recipe.effects.distractor_scale
                assert low * 0.999 <= scale <= high * 1.001 and 0 <= u <= recipe.size[0]
            assert thing.inverse_depth > 0
            for other in plans[n].objects:
                apart = (
                    other["left"] >= thing.left + thing.width or thing.left >= other["left"] + other["width"]
                    or other["top"] >= thing.top + thing.height or thing.top >= other["top"] + other["height"]
                )  # fmt: skip
                assert apart or other["inverse_depth"] >= thing.inverse_depth
        depths = [d.inverse_depth for d in one.distractors if d.kind == "thing"]
        assert depths == sorted(depths)
    assert things > 100


def test_distractors_are_of_the_sample_s_side_of_the_split(world):
    recipe, catalog = world()
    sides = ["train", "val", "train", "val", "train"]
    catalog = replace(
        catalog,
        foregrounds=tuple(replace(f, split=side) for f, side in zip(catalog.foregrounds, sides, strict=True)),
        distractors=tuple(replace(d, split=side) for d, side in zip(catalog.distractors, sides, strict=True)),
    )
    found, plans = drawn(recipe, catalog, indices=range(0, 1000, 4))
    for n, one in enumerate(found):
        side = sides[plans[n].sample["foreground"]]
        assert all(sides[d.asset] == side for d in one.distractors)


@given(data=st.data())
def test_patches_come_from_inside_the_crop(world, data):
    recipe, catalog = world()
    index = data.draw(st.integers(0, 999))
    (one,), _ = drawn(recipe, catalog, [index], data.draw(st.integers(0, 3)))
    for patch in (d for d in one.distractors if d.kind == "patch"):
        for start, length, shift, limit in (
            (patch.left, patch.width, patch.shift[0], 100), (patch.top, patch.height, patch.shift[1], 80)
        ):  # fmt: skip
            assert start + shift >= -1 and (start + shift + length <= limit + 1 or length > limit)


def test_a_redrawn_placement_has_other_effects(world):
    recipe, catalog = world()
    tables = plan_tables(recipe, catalog)
    plans = [plan_samples(tables._replace(seed=seed), catalog, [3])[0] for seed in (0, 99)]
    effects = effect_tables(recipe, catalog)
    assert plans[1].seed == 99
    assert plan_effects(effects, plans[0]).camera != plan_effects(effects, plans[1]).camera
    same = Plan(plans[1].sample, plans[1].objects, 0)
    assert plan_effects(effects, same).camera == plan_effects(effects, plans[0]).camera
