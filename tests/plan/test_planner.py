import hashlib
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qumade.assets.catalog import SILHOUETTE_PX
from qumade.assets.depths import coarse_mean
from qumade.errors import QumadeError
from qumade.geometry import GroundPlane, inverse_depth_map
from qumade.plan.planner import plan_samples
from qumade.plan.tables import plan_tables
from qumade.plan.visibility import visible_share

WORLDS = settings(max_examples=30)
SHAPES = ("block", "disc", "wedge", "ell", "tall")


def ordered(low, high):
    return st.tuples(st.floats(low, high), st.floats(low, high)).map(lambda ends: tuple(sorted(ends)))


@st.composite
def worlds(draw):
    """Parameters of recipe and catalog: random placement over any planes, including rolled ones."""
    count = draw(st.integers(1, 3))
    sizes = tuple(draw(st.tuples(st.integers(40, 300), st.integers(40, 300))) for _ in range(count))
    planes = []
    for width, height in sizes:
        roll, horizon = draw(st.floats(-0.2, 0.2)), draw(st.floats(-0.5, 0.5)) * height
        b = draw(st.sampled_from([0.001, 1.0])) / height
        planes.append(GroundPlane(roll * b, b, -b * horizon - roll * b * width / 2))
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=4))
    catalog = {"sizes": sizes, "grounds": tuple(planes), "scale": draw(ordered(0.05, 1.2))}
    catalog["splits"] = tuple(draw(st.lists(st.sampled_from(["train", "val", "test", None]), min_size=1, max_size=4)))
    recipe = {
        "seed": draw(st.integers(0, 2**63 - 1)),
        "size": draw(st.sampled_from([(32, 24), (24, 40), (64, 64), (224, 224)])),
        "per_pair": draw(st.integers(1, 3)),
        "mirror_backgrounds": draw(st.booleans()),
        "crop": draw(st.just((1.0, 1.0)) | ordered(0.3, 1.0)),
        "objects": draw(st.sampled_from([(1, 1), (1, 3), (2, 5)])),
        "centre_row": draw(ordered(0.0, 1.0)),
        "min_visible": draw(st.floats(0.3, 1.0)),
        "retries": draw(st.integers(40, 60)),
    }
    return recipe, catalog, shapes


@pytest.fixture(scope="session")
def planned(make_recipe, make_catalog, alphas):
    """Recipe, catalog and the plans of the first samples of a world."""

    def make(world):
        fields, assets, shapes = world
        recipe = make_recipe(**fields)
        catalog = make_catalog(alphas=tuple(alphas[shape] for shape in shapes), **assets)
        total = len(catalog.backgrounds) * len(catalog.foregrounds) * recipe.per_pair
        plans = plan_samples(plan_tables(recipe, catalog), catalog, range(min(12, total)))
        return recipe, catalog, plans

    return make


def every_object(plans):
    for n in range(len(plans)):
        for thing in plans[n].objects:
            yield plans[n].sample, thing


@given(worlds())
@WORLDS
def test_samples_follow_the_triple_loop(planned, world):
    recipe, catalog, plans = planned(world)
    for n in range(len(plans)):
        sample, things = plans[n].sample, plans[n].objects
        pair = n // recipe.per_pair
        assert (sample["index"], sample["background"]) == (n, pair // len(catalog.foregrounds))
        assert sample["foreground"] == pair % len(catalog.foregrounds)
        assert sample["foreground"] in things["foreground"]


@given(worlds())
@WORLDS
def test_boxes_keep_the_aspect_ratio_and_the_scale_range(planned, world):
    recipe, catalog, plans = planned(world)
    width, height = recipe.size
    for _, thing in every_object(plans):
        foreground = catalog.foregrounds[thing["foreground"]]
        assert foreground.scale[0] <= thing["scale"] <= foreground.scale[1]
        assert math.sqrt(thing["width"] * thing["height"] / (width * height)) == pytest.approx(thing["scale"])
        assert thing["width"] / thing["height"] == pytest.approx(foreground.width / foreground.height)
        if not thing["fallback"]:
            centre_u, centre_v = thing["left"] + thing["width"] / 2, thing["top"] + thing["height"] / 2
            low, high = recipe.centre_row
            assert 0 <= centre_u <= width and low * height - 1e-9 <= centre_v <= high * height + 1e-9


@given(worlds())
@WORLDS
def test_contacts_lie_on_the_ground_in_photo_and_sample(planned, world):
    recipe, catalog, plans = planned(world)
    for sample, thing in every_object(plans):
        foreground, background = (
            catalog.foregrounds[thing["foreground"]],
            catalog.backgrounds[sample["background"]],
        )
        u, v = foreground.contact
        assert thing["contact_u"] == pytest.approx(thing["left"] + u / foreground.width * thing["width"])
        assert thing["contact_v"] == pytest.approx(thing["top"] + v / foreground.height * thing["height"])
        # In the photo's own pixels ...
        seen = background.plane.inverse_depth(thing["contact_background_u"], thing["contact_background_v"])
        assert thing["inverse_depth"] > 0
        assert thing["inverse_depth"] == pytest.approx(seen, rel=1e-5, abs=1e-9)
        # ... and by the ground that is resized with it, at the contact before it was mirrored and cropped.
        ground = background.plane.resized(sample["scale_x"], sample["scale_y"])
        u = recipe.size[0] - thing["contact_u"] if sample["flip"] else thing["contact_u"]
        seen = ground.inverse_depth(u + sample["crop_x"], thing["contact_v"] + sample["crop_y"])
        assert thing["inverse_depth"] == pytest.approx(seen, rel=1e-4, abs=1e-8)


@given(worlds())
@WORLDS
def test_crops_lie_inside_the_photo_and_have_the_drawn_size(planned, world):
    recipe, catalog, plans = planned(world)
    for sample in plans.samples:
        background = catalog.backgrounds[sample["background"]]
        left, top = sample["crop_x"] / sample["scale_x"], sample["crop_y"] / sample["scale_y"]
        width, height = recipe.size[0] / sample["scale_x"], recipe.size[1] / sample["scale_y"]
        assert left >= 0 and left + width <= background.width * (1 + 1e-12)
        assert top >= 0 and top + height <= background.height * (1 + 1e-12)
        largest = min(background.width / recipe.size[0], background.height / recipe.size[1])
        # Photos are resized to whole pixels.
        for side, share in ((0, width / (largest * recipe.size[0])), (1, height / (largest * recipe.size[1]))):
            slack = 1 + 0.51 / recipe.size[side]
            assert recipe.crop[0] / slack <= share <= recipe.crop[1] * slack
        assert recipe.mirror_backgrounds or not sample["flip"]


@given(worlds())
@WORLDS
def test_every_object_is_visible_enough(planned, world):
    recipe, catalog, plans = planned(world)
    tables = plan_tables(recipe, catalog)
    for n in range(len(plans)):
        sample, things = plans[n].sample, plans[n].objects
        if things["fallback"].any():
            continue
        for which in range(len(things)):
            assert (
                visible_share(tables, sample, things, len(things), which, 0, SILHOUETTE_PX) >= recipe.min_visible - 1e-6
            )


@given(worlds())
@WORLDS
def test_objects_are_sorted_far_to_near_and_share_a_split(planned, world):
    recipe, catalog, plans = planned(world)
    for n in range(len(plans)):
        sample, things = plans[n].sample, plans[n].objects
        assert 1 <= len(things) == sample["count"] <= sample["wanted"]
        assert recipe.objects[0] <= sample["wanted"] <= recipe.objects[1]
        assert (np.diff(things["inverse_depth"]) >= 0).all()
        assert len({catalog.foregrounds[f].split for f in things["foreground"]}) == 1


def test_further_objects_are_drawn_from_the_split_of_the_first(make_recipe, make_catalog):
    catalog = make_catalog(splits=("train", "val", "train", None, "val"), scale=(0.1, 0.2))
    plans = plan_samples(plan_tables(make_recipe(objects=(3, 3), per_pair=40), catalog), catalog, range(200))
    together = {0: set(), 1: set(), 2: set(), 3: set(), 4: set()}
    for n in range(len(plans)):
        together[int(plans.samples["foreground"][n])] |= set(plans[n].objects["foreground"].tolist())
    assert together == {0: {0, 2}, 1: {1, 4}, 2: {0, 2}, 3: {3}, 4: {1, 4}}


@pytest.mark.slow
@given(worlds(), st.randoms())
@WORLDS
def test_a_plan_depends_on_its_index_alone(planned, world, random):
    recipe, catalog, plans = planned(world)
    order = list(range(len(plans)))
    random.shuffle(order)
    tables = plan_tables(recipe, catalog)
    shuffled = plan_samples(tables, catalog, order)
    for position, index in enumerate(order):
        assert shuffled.samples[position] == plans.samples[index]
        assert (shuffled.objects[position] == plans.objects[index]).all()
    alone = plan_samples(tables, catalog, order[:1])[0]
    assert alone.sample == plans.samples[order[0]]
    assert (alone.objects == plans[order[0]].objects).all()


@pytest.mark.slow
def test_another_process_plans_the_same(make_recipe, make_catalog):
    recipe, catalog = make_recipe(objects=(1, 3), seed=5, crop=(0.5, 1)), make_catalog(splits=("train", "val"))
    plans = plan_samples(plan_tables(recipe, catalog), catalog, range(60))
    script = (
        "import hashlib, pickle, sys\n"
        "from qumade.plan.planner import plan_samples\n"
        "from qumade.plan.tables import plan_tables\n"
        "recipe, catalog = pickle.load(sys.stdin.buffer)\n"
        "plans = plan_samples(plan_tables(recipe, catalog), catalog, range(60))\n"
        "print(hashlib.sha256(plans.samples.tobytes() + plans.objects.tobytes()).hexdigest())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], input=pickle.dumps((recipe, catalog)), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    here = hashlib.sha256(plans.samples.tobytes() + plans.objects.tobytes()).hexdigest()
    assert done.stdout.decode().strip() == here


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**40))
def test_all_indices_have_different_plans(make_recipe, make_catalog, alphas, seed, start):
    # All samples of one pair: only the index differs.
    recipe = make_recipe(seed=seed, per_pair=10**6)
    catalog = make_catalog(alphas=(alphas["disc"],))
    plans = plan_samples(plan_tables(recipe, catalog), catalog, start % 900_000 + np.arange(200))
    assert len({thing.tobytes() for thing in plans.objects}) == 200
    assert len({tuple(box) for box in plans.objects[["left", "top", "width"]][:, 0].tolist()}) == 200


def test_another_seed_gives_other_plans(make_recipe, make_catalog):
    catalog = make_catalog()
    one, other = (plan_samples(plan_tables(make_recipe(seed=s), catalog), catalog, range(50)).objects for s in (0, 1))
    assert not set(one["left"].ravel()) & set(other["left"].ravel())


def test_random_placement_is_uniform(make_recipe, make_catalog, alphas):
    recipe = make_recipe(per_pair=4000, crop=(0.5, 1.0), min_visible=0.01, size=(60, 45))
    catalog = make_catalog(alphas=(alphas["disc"],), grounds=(GroundPlane(0.0, 0.01, 0.1),))
    plans = plan_samples(plan_tables(recipe, catalog), catalog, range(4000))
    things, samples = plans.objects[:, 0], plans.samples
    assert not things["fallback"].any()
    centre_u, centre_v = things["left"] + things["width"] / 2, things["top"] + things["height"] / 2
    for values, low, high in [
        (things["scale"], 0.1, 0.5),
        (centre_u, 0, 60),
        (centre_v, 22.5, 45),
        (samples["crop_step"] + 0.5, 0, 16),
        (samples["flip"] + 0.5, 0, 2),
    ]:
        counts, _ = np.histogram(values, 16 if high - low != 2 else 2, (low, high))
        expected = len(values) / len(counts)
        # Chi squared of at most 15 degrees of freedom: above 45 once in 10 000 times.
        assert ((counts - expected) ** 2 / expected).sum() < 45
    share = 0.5 + 0.5 * samples["crop_step"] / 15
    room = 60 / share - 60
    assert np.corrcoef(samples["crop_x"][room > 5], room[room > 5])[0, 1] > 0.3  # the whole photo is used
    assert (samples["crop_x"] <= np.ceil(room)).all()


def test_fallback_stands_at_the_lower_edge_if_every_draw_fails(make_recipe, make_catalog):
    # Centres at the top of the image, above a horizon that the contact of an object this size never reaches.
    recipe = make_recipe(size=(120, 90), centre_row=(0.0, 0.05), retries=7, per_pair=20)
    catalog = make_catalog(grounds=(GroundPlane(0.0, 0.02, -1.2),), scale=(0.1, 0.15))
    plans = plan_samples(plan_tables(recipe, catalog), catalog, range(100))
    things = plans.objects[:, 0]
    assert things["fallback"].all() and (things["scale"] == 0.1).all()
    assert (things["rejected_horizon"] == 7).all() and (things["rejected_hidden"] == 0).all()
    np.testing.assert_allclose(things["contact_v"], 90)
    assert (things["left"] >= 0).all() and (things["left"] + things["width"] <= 120).all()
    assert len(set(things["left"])) == 100
    np.testing.assert_allclose(things["inverse_depth"], 0.02 * 90 - 1.2, rtol=1e-6)


def test_an_object_too_large_to_be_visible_uses_the_fallback(make_recipe, make_catalog):
    recipe = make_recipe(min_visible=1.0, retries=5, objects=(3, 3))
    catalog = make_catalog(scale=(2.0, 2.0))
    plans = plan_samples(plan_tables(recipe, catalog), catalog, range(20))
    assert (plans.samples["count"] == 1).all() and (plans.samples["wanted"] == 3).all()
    things = plans.objects[:, 0]
    assert things["fallback"].all() and (things["rejected_hidden"] + things["rejected_horizon"] == 5).all()
    assert (things["left"] <= 0).all() and (things["left"] + things["width"] >= 224).all()


def test_fallback_finds_ground_in_a_corner(make_recipe, make_catalog, alphas):
    # As wide as the image, so that its contact would be in the middle, where there is no ground.
    coarse = np.zeros((45, 60), np.float32)
    coarse[30:, 50:] = 0.5
    recipe = make_recipe(size=(120, 90), retries=3, min_visible=1.0, per_pair=40)
    catalog = make_catalog(grounds=(coarse,), alphas=(alphas["block"],), scale=(1.0, 1.0))
    plans = plan_samples(plan_tables(recipe, catalog), catalog, range(40))
    things = plans.objects[:, 0]
    assert things["fallback"].all() and (things["inverse_depth"] > 0).all()
    assert (things["contact_background_u"] > 98).all() and (things["contact_background_v"] > 58).all()


@pytest.mark.slow
@given(st.integers(0, 10**6), st.booleans(), st.floats(-0.002, 0.002))
def test_a_coarse_depth_map_gives_the_depth_of_the_plane_it_shows(make_recipe, make_catalog, seed, mirror, roll):
    ground = GroundPlane(roll, 0.01, 0.4)
    size = 250, 190
    coarse = coarse_mean(inverse_depth_map(ground, *size))
    recipe = make_recipe(seed=seed, mirror_backgrounds=mirror, crop=(0.5, 1.0), per_pair=30)
    catalog = make_catalog(sizes=(size,), grounds=(coarse,))
    plans = plan_samples(plan_tables(recipe, catalog), catalog, range(30))
    cell = 250 / coarse.shape[1], 190 / coarse.shape[0]
    for _, thing in every_object(plans):
        u, v = thing["contact_background_u"], thing["contact_background_v"]
        assert 0 <= u <= 250 and 0 <= v <= 190
        # The grid is constant beyond the centres of the outermost cells.
        inner_u, inner_v = (np.clip(x, c / 2, s - c / 2) for x, c, s in zip((u, v), cell, size, strict=True))
        # A cell consists of whole pixels, so its centre may be off by less than half a pixel.
        slack = 0.5 * (ground.b + abs(ground.a))
        assert thing["inverse_depth"] == pytest.approx(ground.inverse_depth(inner_u, inner_v), abs=slack)


def test_no_object_stands_on_unknown_depth(make_recipe, make_catalog):
    coarse = np.full((9, 12), 0.5, np.float32)
    coarse[:, :6] = np.nan
    catalog = make_catalog(grounds=(coarse,))
    plans = plan_samples(plan_tables(make_recipe(), catalog), catalog, range(100))
    assert (plans.objects["contact_background_u"] >= 60).all()
    assert plans.objects["rejected_horizon"].sum() > 0


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_background_without_ground_is_rejected_by_name(make_recipe, make_catalog, value):
    grounds = GroundPlane(0.0, 0.02, -0.8), np.full((9, 12), value, np.float32)
    catalog = make_catalog(sizes=((120, 90), (120, 90)), grounds=grounds)
    recipe = make_recipe(retries=3)
    tables = plan_tables(recipe, catalog)
    first_of_second = len(catalog.foregrounds) * recipe.per_pair
    assert len(plan_samples(tables, catalog, range(first_of_second))) == first_of_second
    with pytest.raises(QumadeError, match=r"photo_1\.png"):
        plan_samples(tables, catalog, [0, first_of_second])


@given(worlds())
@WORLDS
def test_rejections_are_counted(planned, world):
    recipe, _, plans = planned(world)
    for sample, thing in every_object(plans):
        rejected = thing["rejected_horizon"] + thing["rejected_hidden"]
        assert rejected <= recipe.retries
        assert thing["fallback"] == (rejected == recipe.retries)
        assert not thing["fallback"] or sample["count"] == 1 or thing["foreground"] == sample["foreground"]
