"""Where objects stand under semantic and perspective placement, against the label maps and planes they came from."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from qumade.assets.bundled import bundled_folder
from qumade.assets.catalog import Background, Catalog
from qumade.assets.depths import read_inverse_depth
from qumade.assets.ground import survey_background
from qumade.assets.label_scheme import label_scheme
from qumade.assets.labels import read_labels
from qumade.depth.encoding import DepthKind
from qumade.geometry import GroundPlane, inverse_depth_map
from qumade.plan.planner import Plan, plan_samples
from qumade.plan.tables import POLICIES, plan_tables
from qumade.recipe import Recipe, for_file

ROAD, SIDEWALK, BUILDING, SKY, CAR = 0, 1, 2, 10, 13
IDS = {"road": ROAD, "sidewalk": SIDEWALK, "terrain": 9}

MakeRecipe = Callable[..., Recipe]
MakeCatalog = Callable[..., Catalog]


class Scene(NamedTuple):
    """A photo's label map, its true ground, and its known depth map or horizon row, as a share."""

    labels: np.ndarray
    plane: GroundPlane  # 0 at infinity
    kind: DepthKind
    inverse_depth: np.ndarray | None
    horizon: float | None


def street(width: int, height: int, horizon: float, *, roll: float = 0.0, left: float = -0.5, right: float = 0.4,
           kerb: float = 0.5) -> tuple[np.ndarray, GroundPlane]:  # fmt: skip
    """A road between pavements under buildings and sky, and its ground plane in 1/m for a camera 1.5 m high with a
    focal length of the image's width. Edges in units of the image's width at its lower edge."""
    slope = 1 / (1.5 * width)
    plane = GroundPlane(slope * roll, slope, -slope * (horizon + roll * width / 2))
    v, u = np.mgrid[:height, :width] + 0.5
    depth = plane.inverse_depth(u, v) / plane.inverse_depth(width / 2, height)
    across = (u - width / 2) / width / np.maximum(depth, 1e-9)
    labels = np.full((height, width), BUILDING, np.int32)
    labels[v < 0.6 * horizon] = SKY
    ground = depth > 0.05
    labels[ground & (across > left - kerb) & (across < right + kerb)] = SIDEWALK
    labels[ground & (across > left) & (across < right)] = ROAD
    return labels, plane


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Streets with boxes of random classes, and specks of road in the sky."""
    width, height = draw(st.integers(70, 160)), draw(st.integers(60, 130))
    horizon = height * draw(st.floats(0.25, 0.5))
    labels, plane = street(
        width, height, horizon, roll=draw(st.floats(-0.08, 0.08)),
        left=draw(st.floats(-0.9, -0.2)), right=draw(st.floats(0.0, 0.8)), kerb=draw(st.floats(0.1, 1.0)),
    )  # fmt: skip
    for _ in range(draw(st.integers(0, 3))):
        x, y = draw(st.integers(0, width - 9)), draw(st.integers(0, height - 9))
        size = draw(st.integers(3, 30))
        labels[y : y + size, x : x + size] = draw(st.sampled_from([ROAD, SIDEWALK, BUILDING, CAR]))
    kind: DepthKind = draw(st.sampled_from(["metric", "scaled", "affine"]))
    if kind == "scaled" and draw(st.booleans()):
        level = GroundPlane(0.0, plane.b, -plane.b * horizon)
        return Scene(labels, level, kind, None, horizon / height)
    depth = inverse_depth_map(plane, width, height)
    depth[labels == SKY] = 0
    wall = (labels == BUILDING) | (labels == CAR)
    depth[wall] = np.maximum(depth[wall], np.float32(0.02))
    if kind == "affine":
        assume((labels == SKY).sum() >= 100)
        depth = np.float32(0.1) + np.float32(0.5 / depth.max()) * depth
        factor = 0.5 / inverse_depth_map(plane, width, height).max()
        plane = GroundPlane(plane.a * factor, plane.b * factor, plane.c * factor)
    return Scene(labels, plane, kind, depth, None)


def stand_on(recipe: Recipe, catalog: Catalog, scenes: list[Scene]) -> Catalog:
    """The catalog with these scenes as backgrounds, surveyed like files."""
    scheme = label_scheme(recipe)
    assert scheme is not None
    backgrounds = []
    for number, scene in enumerate(scenes):
        size = scene.labels.shape[1], scene.labels.shape[0]
        name = f"photo_{number}.png"
        survey = survey_background(recipe, name, size, scene.labels, scheme, scene.inverse_depth, scene.kind)
        backgrounds.append(
            Background(
                name=name, sha256="", width=size[0], height=size[1], identity=number, split=None, plane=survey.plane,
                horizon_level=survey.horizon_level, coarse_depth=survey.coarse_depth,
                coarse_occluder=survey.coarse_occluder, standing=survey.standing,
                camera_height_m=for_file(name, recipe.camera_height_m),
            )
        )  # fmt: skip
    foregrounds = [
        replace(f, place=scheme.place_of(recipe.place, f.name), height_m=for_file(f.name, recipe.height_m),
                scale=for_file(f.name, recipe.scale))
        for f in catalog.foregrounds
    ]  # fmt: skip
    return replace(catalog, backgrounds=tuple(backgrounds), foregrounds=tuple(foregrounds), places=scheme.places)


recipes = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**63 - 1),
        "size": st.tuples(st.integers(40, 110), st.integers(40, 110)),
        "per_pair": st.just(4),
        "policy_weights": st.sampled_from(
            [{"perspective": 1.0}, {"semantic": 1.0}, {"semantic": 1.0, "perspective": 2.0, "random": 1.0}]
        ),
        "crop": st.sampled_from([(1.0, 1.0), (0.6, 1.0), (0.5, 0.5)]),
        "objects": st.sampled_from([(1, 1), (1, 3), (3, 3)]),
        "scale": st.sampled_from([(0.02, 1.0), (0.1, 0.5), (0.03, 0.3), (0.2, 0.2)]),
        "place": st.sampled_from([{}, {"thing_1.png": ("sidewalk",)}, {"*": ("road",), "thing_0.png": ("sidewalk",)}]),
        "contact_rows": st.sampled_from([(0.0, 1.0), (0.6, 0.9), (0.0, 0.7)]),
        "contact_distance": st.sampled_from([None, (2.0, 8.0)]),
        "contact_sampling": st.sampled_from(["picture", "distance"]),
        "size_jitter": st.sampled_from([0.0, 0.1, 0.5]),
        "height_ratio": st.sampled_from([0.5, 1.0]),
        "height_m": st.sampled_from([{}, {"thing_1.png": 2.0}]),
        "camera_height_m": st.sampled_from([{}, 1.6]),
        "min_visible": st.sampled_from([0.3, 0.7, 1.0]),
        "mirror_backgrounds": st.booleans(),
        "retries": st.just(30),
    }
)


@pytest.mark.slow
@settings(max_examples=30)
@given(fields=recipes, scene=scenes())
def test_objects_stand_where_the_recipe_allows(
    make_recipe: MakeRecipe, make_catalog: MakeCatalog, fields: dict[str, Any], scene: Scene
) -> None:
    recipe = make_recipe(labels="labels", horizon={} if scene.horizon is None else scene.horizon, **fields)
    catalog = stand_on(recipe, make_catalog(), [scene])
    assume(any(table.pixels.size for table in catalog.backgrounds[0].standing or ()))
    assume(catalog.backgrounds[0].plane is not None)
    total = len(catalog.foregrounds) * recipe.per_pair
    for planned in plan_samples(plan_tables(recipe, catalog), catalog, np.arange(total)):
        for thing in planned.objects:
            check_standing(recipe, catalog, scene, planned.sample, thing)


def check_standing(recipe: Recipe, catalog: Catalog, scene: Scene, sample: np.void, thing: np.void) -> None:
    foreground = catalog.foregrounds[thing["foreground"]]
    height, width = scene.labels.shape
    policy = POLICIES[thing["policy"]]
    u, v = thing["contact_background_u"], thing["contact_background_v"]

    assert foreground.scale[0] <= thing["scale"] <= foreground.scale[1]
    box_share = thing["width"] * thing["height"] / (recipe.size[0] * recipe.size[1])
    assert np.sqrt(box_share) == pytest.approx(thing["scale"])

    # The contact lies below the true horizon, also after a fallback to random placement.
    assert scene.plane.inverse_depth(u, v) > -1e-3 * scene.plane.b * height

    # It is the same point in the sample.
    in_sample_u = u * sample["scale_x"] - sample["crop_x"]
    in_sample_u = recipe.size[0] - in_sample_u if sample["flip"] else in_sample_u
    assert in_sample_u == pytest.approx(thing["contact_u"], abs=1e-6)
    assert v * sample["scale_y"] - sample["crop_y"] == pytest.approx(thing["contact_v"], abs=1e-6)
    assert thing["left"] + foreground.contact[0] / foreground.width * thing["width"] == pytest.approx(
        thing["contact_u"]
    )
    foot = foreground.contact[1] / foreground.height * thing["height"]
    assert thing["top"] + foot == pytest.approx(thing["contact_v"])

    if policy == "random":
        assert thing["fallback"] or "random" in recipe.policies
        return
    assert not thing["fallback"]
    assert 0 <= u < width and 0 <= v < height
    allowed = {IDS[name] for name in for_file(foreground.name, recipe.place) or recipe.ground}
    assert scene.labels[int(v), int(u)] in allowed
    low, high = np.array(recipe.contact_rows) * height
    assert low - 0.5 <= v <= high + 0.5
    if recipe.contact_distance is not None:
        row, column = int(v) + 0.5, int(u) + 0.5
        nearest = 1.0 if scene.kind == "metric" else scene_nearest(scene)
        distance = nearest / scene.plane.inverse_depth(column, row)
        assert recipe.contact_distance[0] * 0.95 <= distance <= recipe.contact_distance[1] * 1.05
    if policy == "perspective":
        camera = recipe.camera_height_m.get("default")
        known = foreground.height_m is not None and camera is not None
        ratio = foreground.height_m / camera if known else recipe.height_ratio  # type: ignore[operator]
        expected = (v - scene.plane.horizon_row(u)) * ratio * sample["scale_y"]
        # The plane is fitted, so its horizon is accurate to a fraction of a row.
        slack = 0.25 * ratio * sample["scale_y"] + 1e-6 * expected
        assert expected * (1 - recipe.size_jitter) - slack <= foot <= expected * (1 + recipe.size_jitter) + slack


def scene_nearest(scene: Scene) -> float:
    height, width = scene.labels.shape
    return float(inverse_depth_map(scene.plane, width, height)[-1].max())


def flat_street(width: int = 200, height: int = 150) -> Scene:
    """Wide ground without roll, in metres."""
    labels, plane = street(width, height, 0.4 * height, left=-5, right=5)
    return Scene(labels, plane, "metric", inverse_depth_map(plane, width, height), None)


def contacts(recipe: Recipe, catalog: Catalog, count: int = 3000) -> np.ndarray:
    """The first objects of `count` samples."""
    return plan_samples(plan_tables(recipe, catalog), catalog, np.arange(count)).objects[:, 0]


def law(law: str, make_recipe: MakeRecipe, make_catalog: MakeCatalog) -> tuple[Scene, np.ndarray]:
    """Contacts of tiny objects, hardly any of which is rejected at the edge of the image."""
    scene = flat_street(600, 450)
    recipe = make_recipe(
        labels="labels", placement="semantic", size=(600, 450), contact_sampling=law, contact_distance=(4.0, 20.0),
        scale=(0.01, 0.01), min_visible=0.01, per_pair=3000, mirror_backgrounds=False,
    )  # fmt: skip
    things = contacts(recipe, stand_on(recipe, make_catalog(), [scene]))
    assert (things["rejected_hidden"] == 0).mean() > 0.99
    return scene, things


@pytest.mark.slow
def test_contacts_are_uniform_over_distance(make_recipe: MakeRecipe, make_catalog: MakeCatalog) -> None:
    scene, things = law("distance", make_recipe, make_catalog)
    metres = 1 / scene.plane.inverse_depth(things["contact_background_u"], things["contact_background_v"])
    near, far = metres.min(), metres.max()
    assert near < 4.1 and far > 19.5
    assert stats.kstest(metres, stats.uniform(near, far - near).cdf).statistic < 0.03
    assert stats.kstest(things["contact_background_u"], stats.uniform(0, 600).cdf).statistic < 0.03


@pytest.mark.slow
def test_contacts_are_uniform_over_the_picture(make_recipe: MakeRecipe, make_catalog: MakeCatalog) -> None:
    scene, things = law("picture", make_recipe, make_catalog)
    rows = things["contact_background_v"]
    metres = 1 / scene.plane.inverse_depth(things["contact_background_u"], rows)
    assert stats.kstest(rows, stats.uniform(rows.min(), np.ptp(rows)).cdf).statistic < 0.03
    assert stats.kstest(metres, stats.uniform(4, 16).cdf).statistic > 0.2  # a different distribution


def test_distances_of_scaled_depth_are_multiples_of_the_nearest(
    make_recipe: MakeRecipe, make_catalog: MakeCatalog
) -> None:
    labels, _ = street(200, 150, 60, left=-5, right=5)
    scene = Scene(labels, GroundPlane(0.0, 1.0, -60.0), "scaled", None, 0.4)
    recipe = make_recipe(
        labels="labels", horizon=0.4, placement="semantic", size=(200, 150), contact_distance=(2.0, 4.0)
    )
    rows = contacts(recipe, stand_on(recipe, make_catalog(), [scene]), 100)["contact_background_v"]
    assert 60 + 90 / 4 - 1 <= rows.min() < 60 + 90 / 4 + 4
    assert 60 + 90 / 2 - 4 < rows.max() <= 60 + 90 / 2 + 1


@pytest.mark.slow
def test_policies_are_drawn_with_their_shares(make_recipe: MakeRecipe, make_catalog: MakeCatalog) -> None:
    policy_weights = {"perspective": 0.6, "semantic": 0.1, "random": 0.3}
    recipe = make_recipe(
        labels="labels",
        policy_weights=policy_weights,
        scale=(0.02, 0.6),
        min_visible=0.1,
        per_pair=1000,
        height_ratio=0.3,
    )
    catalog = stand_on(recipe, make_catalog(), [flat_street()])
    things = contacts(recipe, catalog, 5000)
    assert things["fallback"].mean() < 0.01
    for name, share in policy_weights.items():
        drawn = (things["policy"] == POLICIES.index(name)).mean()
        assert drawn == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 5000) + 0.01)


def test_objects_of_a_sample_share_its_policy(make_recipe: MakeRecipe, make_catalog: MakeCatalog) -> None:
    recipe = make_recipe(
        labels="labels", policy_weights={"semantic": 1, "random": 1}, objects=(3, 3), scale=(0.05, 0.1), min_visible=0.1
    )
    catalog = stand_on(recipe, make_catalog(), [flat_street()])
    for planned in plan_samples(plan_tables(recipe, catalog), catalog, np.arange(60)):
        assert len(planned.objects) == 3
        assert len(set(planned.objects["policy"])) == 1


def test_sizes_out_of_range_are_drawn_again_and_never_clamped(
    make_recipe: MakeRecipe, make_catalog: MakeCatalog
) -> None:
    recipe = make_recipe(
        labels="labels", placement="perspective", scale=(0.2, 0.3), size_jitter=0.1, per_pair=100, min_visible=0.5
    )
    catalog = stand_on(recipe, make_catalog(), [flat_street()])
    things = contacts(recipe, catalog, 500)
    standing = things[~things["fallback"]]
    assert len(standing) > 400
    assert standing["rejected_size"].sum() > len(standing)
    assert not np.isin(standing["scale"], (0.2, 0.3)).any()
    assert standing["scale"].min() < 0.21 and standing["scale"].max() > 0.29


def test_objects_without_a_place_fall_back_and_record_it(make_recipe: MakeRecipe, make_catalog: MakeCatalog) -> None:
    # Ten times as high as the camera and a tenth of the image in area: no such place exists.
    recipe = make_recipe(labels="labels", placement="perspective", scale=(0.1, 0.12), height_ratio=20, retries=20)
    catalog = stand_on(recipe, make_catalog(), [flat_street()])
    things = contacts(recipe, catalog, 100)
    assert things["fallback"].all()
    assert (things["policy"] == POLICIES.index("random")).all()
    assert (things["rejected_size"] == 20).all()


def test_a_background_without_standing_pixels_gets_random_placement(
    make_recipe: MakeRecipe, make_catalog: MakeCatalog
) -> None:
    recipe = make_recipe(labels="labels", placement="semantic")
    catalog = stand_on(recipe, make_catalog(), [flat_street()])
    bare = replace(catalog, backgrounds=(replace(catalog.backgrounds[0], standing=None),))
    things = contacts(recipe, bare, 100)
    assert things["fallback"].all()
    assert (things["policy"] == POLICIES.index("random")).all()


def test_crops_contain_standing_pixels(make_recipe: MakeRecipe, make_catalog: MakeCatalog) -> None:
    """A road in one corner: crops of half the photo are drawn again until they show it."""
    labels, plane = street(200, 150, 60, left=-5, right=5)
    labels[labels == ROAD] = BUILDING
    labels[110:, 170:] = ROAD
    scene = Scene(labels, plane, "metric", inverse_depth_map(plane, 200, 150), None)
    recipe = make_recipe(
        labels="labels", placement="semantic", place={"*": ("road",)}, crop=(0.4, 0.6), min_visible=0.3,
        scale=(0.05, 0.2),
    )  # fmt: skip
    catalog = stand_on(recipe, make_catalog(), [scene])
    assert sum(table.pixels.size > 0 for table in catalog.backgrounds[0].standing or ()) >= 1
    things = contacts(recipe, catalog, 100)
    assert not things["fallback"].any()
    assert things["contact_background_u"].min() >= 170 and things["contact_background_v"].min() >= 110


def same(one: Plan, other: Plan) -> bool:
    return one.sample == other.sample and bool((one.objects == other.objects).all())


@settings(max_examples=10)
@given(order=st.permutations(range(12)), seed=st.integers(0, 2**63 - 1))
def test_plans_depend_on_the_index_alone(
    make_recipe: MakeRecipe, make_catalog: MakeCatalog, order: list[int], seed: int
) -> None:
    recipe = make_recipe(
        labels="labels", policy_weights={"perspective": 1, "semantic": 1, "random": 1}, objects=(1, 3), seed=seed,
        per_pair=3,
        crop=(0.6, 1.0), scale=(0.05, 0.5),
    )  # fmt: skip
    catalog = stand_on(recipe, make_catalog(), [flat_street(), flat_street(120, 140)])
    tables = plan_tables(recipe, catalog)
    plans = plan_samples(tables, catalog, order)
    for position, index in enumerate(order[:4]):
        assert same(plans[position], plan_samples(tables, catalog, [index])[0])


class TestBundledScenes:
    """Perspective against scenes whose cameras are known."""

    @pytest.fixture
    def cameras(self) -> dict[str, dict[str, Any]]:
        folder = bundled_folder()
        cameras: dict[str, dict[str, Any]] = json.loads((folder / "cameras.json").read_text())["backgrounds"]
        return cameras

    @pytest.mark.slow
    def test_placed_height_matches_the_projected_height(
        self, make_recipe: MakeRecipe, make_catalog: MakeCatalog, cameras: dict[str, dict[str, Any]]
    ) -> None:
        """An upright bar of 1.5 m, projected by the camera, is as high as the box that perspective gives it."""
        folder = bundled_folder()
        scenes = []
        for name, camera in cameras.items():
            size = camera["width"], camera["height"]
            labels = read_labels(folder / "labels" / f"{name}.png", size)
            depth = read_inverse_depth(folder / "depths" / f"{name}.png", size, "metric")
            scenes.append(Scene(labels, GroundPlane(*camera["plane"]), "metric", depth, None))
        recipe = make_recipe(
            labels="labels", placement="perspective", size=(512, 384), size_jitter=0.0, scale=(0.005, 2.0),
            min_visible=0.05, contact_sampling="distance", contact_distance=(4.0, 40.0), height_m={"default": 1.5},
            camera_height_m={f"photo_{n}.png": c["height_m"] for n, c in enumerate(cameras.values())},
            place={"*": ("road",)}, mirror_backgrounds=False, crop=(1.0, 1.0), objects=(1, 1),
        )  # fmt: skip
        catalog = stand_on(recipe, make_catalog(), scenes)
        tables = plan_tables(recipe, catalog)
        errors = []
        for number, (name, camera) in enumerate(cameras.items()):
            start = number * len(catalog.foregrounds) * recipe.per_pair
            things = plan_samples(tables, catalog, np.arange(start, start + 40)).objects[:, 0]
            things = things[things["policy"] == POLICIES.index("perspective")]
            assert len(things) >= 35, name
            for thing in things:
                foreground = catalog.foregrounds[thing["foreground"]]
                placed = foreground.contact[1] / foreground.height * thing["height"]
                u, v = thing["contact_background_u"], thing["contact_background_v"]
                errors.append(placed / projected_height_px(camera, u, v, 1.5) - 1)
        error = np.abs(errors)
        print(f"relative error of height: median {np.median(error):.4f}, worst {error.max():.4f}")
        assert np.median(error) < 0.002
        assert error.max() < 0.02


def projected_height_px(camera: dict[str, Any], u: float, v: float, height_m: float) -> float:
    """Rows between a point of the ground and the point `height_m` above it, through the pinhole camera."""
    a, b, c = camera["plane"]
    focal, cx, cy = camera["focal_px"], camera["cx"], camera["cy"]
    down = np.array([a * focal, b * focal, c + a * cx + b * cy]) * camera["height_m"]
    assert np.linalg.norm(down) == pytest.approx(1, abs=1e-4)
    foot = np.array([(u - cx) / focal, (v - cy) / focal, 1.0]) / (a * u + b * v + c)
    top = foot - height_m * down
    return float(v - (cy + focal * top[1] / top[2]))
