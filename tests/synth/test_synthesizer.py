import pickle
import shutil
import uuid
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image

from qumade.assets.bundled import write_samples
from qumade.assets.catalog import Catalog
from qumade.compose.sample import Sample
from qumade.data.encode import encode_sample, folder_settings
from qumade.effects import Effects
from qumade.errors import QumadeError
from qumade.plan.planner import plan_samples
from qumade.plan.tables import plan_tables
from qumade.recipe import Recipe, save_recipe
from qumade.synth.build_catalog import build_catalog
from qumade.synth.synthesizer import Synthesizer


def test_length_and_stems_follow_the_triple_loop(synthesizer: Synthesizer) -> None:
    assert len(synthesizer) == 3 * 4 * 100
    assert (synthesizer.stem(0), synthesizer.stem(1199)) == ("img000001", "img001200")
    np.testing.assert_array_equal(synthesizer.indices(), np.arange(1200))
    assert set(synthesizer.indices(5)) <= set(synthesizer.indices(9)) and len(synthesizer.indices(9)) == 9


def test_an_item_is_the_rendered_plan(works: Any, synthesizer: Synthesizer) -> None:
    planned = plan_samples(plan_tables(works.recipe, works.catalog), works.catalog, [123])[0]
    assert synthesizer.plan([5, 123])[1].sample == planned.sample
    for got in (synthesizer[123], synthesizer[123 - 1200]):
        for part, expected in zip(got, synthesizer.render(planned), strict=True):
            np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("indices", [[True, False], [1.9], np.array([0.0])])
def test_indices_are_integers(synthesizer: Synthesizer, indices: Any) -> None:
    with pytest.raises(TypeError, match="indices must be integers, got"):
        synthesizer.plan(indices)
    with pytest.raises(TypeError):
        synthesizer[2.7]  # type: ignore[index]
    assert len(synthesizer.plan([])) == 0 and len(synthesizer.plan(range(2))) == 2


@pytest.mark.parametrize("index", [1200, -1201])
def test_an_index_out_of_range_raises(synthesizer: Synthesizer, index: int) -> None:
    with pytest.raises(IndexError, match=f"no sample {index}: the recipe has 1200"):
        synthesizer[index]


@pytest.mark.parametrize("indices", [[0, 1200], [-1], [10**9], [-(2**63)]])
def test_plans_out_of_range_never_reach_compiled_code(synthesizer: Synthesizer, indices: list[int]) -> None:
    with pytest.raises(IndexError, match="the recipe has 1200"):
        synthesizer.plan(indices)
    assert len(synthesizer.plan([])) == 0


def test_another_draw_places_the_same_pair_elsewhere(synthesizer: Synthesizer) -> None:
    first, again = synthesizer.plan([7, 700]), synthesizer.plan([7, 700], draw=3)
    for name in ("index", "background", "foreground"):
        np.testing.assert_array_equal(first.samples[name], again.samples[name])
    assert (first.objects["left"][:, 0] != again.objects["left"][:, 0]).all()
    np.testing.assert_array_equal(again.objects, synthesizer.plan([7, 700], draw=3).objects)


def test_it_pickles_without_decoded_assets(synthesizer: Synthesizer) -> None:
    sample = synthesizer[11]
    pickled = pickle.dumps(synthesizer)
    assert len(pickled) < 64 * 1024
    for part, expected in zip(pickle.loads(pickled)[11], sample, strict=True):
        np.testing.assert_array_equal(part, expected)


def test_from_a_recipe_or_its_file(works: Any, synthesizer: Synthesizer, tmp_path: Path) -> None:
    save_recipe(works.recipe, tmp_path / "recipe.yaml")
    for source in (works.recipe, tmp_path / "recipe.yaml", str(tmp_path / "recipe.yaml")):
        made = Synthesizer.from_recipe(source)
        assert made.recipe == works.recipe and len(made) == 1200
        np.testing.assert_array_equal(made[77].image, synthesizer[77].image)


def test_findings_are_kept_and_strict_raises(works: Any, tmp_path: Path) -> None:
    for name in ("backgrounds", "foregrounds"):
        (tmp_path / name).symlink_to(works.root / name)
    broken = tmp_path / "photos"
    broken.mkdir()
    for path in (works.root / "backgrounds").iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    recipe = works.recipe.model_copy(update={"backgrounds": broken})
    found = Synthesizer.from_recipe(recipe).findings
    assert [Path(finding.path).name for finding in found if finding.severity == "error"] == ["torn.png"]
    with pytest.raises(QumadeError, match=r"torn\.png"):
        Synthesizer.from_recipe(recipe, strict=True)


def test_scales_without_enough_visibility_are_rejected(works: Any) -> None:
    recipe = works.recipe.model_copy(update={"min_visible": 1.0})
    foregrounds = tuple(f.__class__(**{**f.__dict__, "scale": (3.0, 4.0)}) for f in works.catalog.foregrounds)
    catalog = Catalog(works.catalog.backgrounds, foregrounds, works.catalog.depth_kind)
    with pytest.raises(QumadeError, match="Invalid scale"):
        Synthesizer(recipe, catalog)


def test_predicted_depth_has_no_encoding_yet(works: Any) -> None:
    recipe = works.recipe.model_copy(update={"depth": "composite", "depth_teacher": "a/b"})
    assert Synthesizer(recipe, works.catalog).depth_encoding is None
    encoding = Synthesizer(works.recipe, works.catalog).depth_encoding
    assert encoding is not None and encoding.kind == "scaled"


@pytest.fixture(scope="module")
def all_on(tmp_path_factory):
    """A synthesizer of the bundled samples with everything on, and one without effects."""
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder)
    names = ("backgrounds", "foregrounds", "labels", "depths", "reliefs")
    effects = Effects.all().model_copy(update={"distractors": (2, 4), "often": 1.0})
    recipe = Recipe(
        **{name: folder / name for name in names}, label_names="cityscapes", placement="perspective",
        objects=(1, 3), min_visible=0.3,
        scale=(0.05, 0.6), size=(160, 120), effects=effects,
    )  # fmt: skip
    synthesizer = Synthesizer.from_recipe(recipe)
    return synthesizer, Synthesizer(recipe.model_copy(update={"effects": Effects()}), synthesizer.catalog)


def same_labels(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "inverse_depth")
        for name in ("mask", "inverse_depth", "owner", "visible_fraction", "ignore")
    )


def test_effects_without_other_things_change_the_image_alone(all_on):
    effects, plain = all_on
    for index in range(0, len(plain), len(plain) // 12):
        one, other = effects[index], plain[index]
        assert same_labels(one, other)
        assert one.image.dtype == np.uint8 and (one.image != other.image).mean() > 0.5


def test_variants_are_twins_and_pure(all_on):
    synthesizer, plain = all_on
    copy = pickle.loads(pickle.dumps(synthesizer))
    plans = synthesizer.plan(range(0, 60, 7))
    drawn = [[synthesizer.render(plans[n], variant) for variant in (0, 1)] for n in range(len(plans))]
    for n in reversed(range(len(plans))):
        first, second = drawn[n]
        assert same_labels(first, second) and (first.image != second.image).any()
        for variant in (1, 0):
            np.testing.assert_array_equal(copy.render(plans[n], variant).image, drawn[n][variant].image)
        np.testing.assert_array_equal(plain.render(plans[n], 1).image, plain.render(plans[n]).image)


@pytest.fixture
def other_things(all_on, tmp_path):
    """A folder of the cut-outs upside down, which makes them something else."""
    (tmp_path / "others").mkdir()
    for path in all_on[0].recipe.foregrounds.iterdir():
        with Image.open(path) as image:
            image.rotate(180).save(tmp_path / "others" / path.name)
    return tmp_path / "others"


def test_the_object_is_no_distractor(all_on, other_things):
    """Pasted as background, it would be labelled as absent."""
    recipe = all_on[0].recipe
    shown = sorted(recipe.foregrounds.iterdir())
    shutil.copy(shown[0], other_things / "the_same.png")
    with Image.open(shown[1]) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(other_things / "mirrored.png")
    effects = Effects(distractors=(1, 1))
    both = recipe.model_copy(update={"distractor_foregrounds": other_things, "effects": effects, "exclude": ()})
    catalog, findings = build_catalog(both)
    assert {found.name for found in catalog.distractors} == {path.name for path in shown}
    named = {Path(found.path).name: found for found in findings if found.reason == "object-as-distractor"}
    assert set(named) == {"the_same.png", "mirrored.png"} and named["the_same.png"].severity == "error"
    assert shown[0].name in named["the_same.png"].detail
    fewer = both.model_copy(update={"exclude": (f"*{shown[2].name}", "mirrored.png")})
    assert shown[2].name not in {found.name for found in build_catalog(fewer)[0].distractors}
    only = both.model_copy(update={"distractor_foregrounds": recipe.foregrounds})
    with pytest.raises(QumadeError, match=f"{shown[0].name} of the foregrounds; must have one of something else"):
        build_catalog(only)


def test_other_things_are_labelled_honestly(all_on, other_things):
    """Depth differs only where nothing is masked; there, another thing stands."""
    recipe = all_on[0].recipe
    recipe = recipe.model_copy(
        update={
            "distractor_foregrounds": other_things,
            "effects": Effects(distractors=(4, 4), distractor_scale=(0.05, 0.4)),
        }
    )
    synthesizer, plain = Synthesizer.from_recipe(recipe), all_on[1]
    assert len(synthesizer.catalog.distractors) == len(plain.catalog.foregrounds)
    seen = 0
    for index in range(0, len(plain), len(plain) // 12):
        one, other = synthesizer[index], plain[index]
        np.testing.assert_array_equal(one.mask, other.mask)
        np.testing.assert_array_equal(one.owner, other.owner)
        moved = ~np.isclose(one.inverse_depth, other.inverse_depth, equal_nan=True)
        assert not (moved & (one.owner > 0)).any()
        seen += moved.sum()
    assert seen > 500


def test_a_folder_without_other_things_is_refused(all_on, tmp_path):
    (tmp_path / "empty").mkdir()
    recipe = all_on[0].recipe.model_copy(update={"distractor_foregrounds": tmp_path / "empty"})
    with pytest.raises(QumadeError, match="Invalid distractor_foregrounds: got no usable image in"):
        Synthesizer.from_recipe(recipe)


@pytest.fixture
def maps(asset_folders: Path) -> dict[str, Any]:
    """The fields of a recipe over all kinds of asset folders: cut-outs in two classes with masks and reliefs, photos
    with label and depth maps, distractors, and entries that are not read."""
    root, fields = asset_folders, {}
    for number, path in enumerate(sorted((root / "foregrounds").iterdir())):
        part = "car" if number % 2 else "bus"
        for folder in ("foregrounds", "masks", "reliefs"):
            (root / folder / part).mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            alpha, size = image.getchannel("A"), image.size
            image.convert("RGB").save(root / "foregrounds" / part / path.name)
        alpha.save(root / "masks" / part / path.name)
        relief = np.full(size[::-1], 32768, np.uint16) + np.arange(size[0], dtype=np.uint16)
        Image.fromarray(relief).save(root / "reliefs" / part / path.name)
        (root / "distractor_foregrounds").mkdir(exist_ok=True)
        with Image.open(path) as image:  # upside down it is something else
            image.rotate(180).save(root / "distractor_foregrounds" / path.name)
        path.unlink()
    for path in (root / "backgrounds").iterdir():
        with Image.open(path) as image:
            width, height = image.size
        for folder in ("labels", "depths"):
            (root / folder).mkdir(exist_ok=True)
        labels = np.where(np.arange(height)[:, None] < height // 2, 10, 0) * np.ones(width, np.int64)
        Image.fromarray(labels.astype(np.uint8)).save(root / "labels" / path.name)
        metres = np.linspace(60.0, 3.0, height)[:, None] * np.ones(width)
        Image.fromarray(np.round(256 * metres).astype(np.uint16)).save(root / "depths" / path.name)
    (root / "backgrounds" / "notes.txt").write_text("not read")
    (root / "backgrounds" / "torn.png").write_bytes(b"\x89PNG")
    (root / "backgrounds" / "more").mkdir()
    (root / "backgrounds" / "more" / "photo.png").write_bytes(b"not read")
    for folder in ("backgrounds", "foregrounds", "masks", "labels", "depths", "reliefs", "distractor_foregrounds"):
        fields[folder] = root / folder
    return {
        **fields, "label_names": "cityscapes", "size": (48, 32), "per_pair": 2, "objects": (1, 3), "min_visible": 0.2,
        "effects": Effects(distractors=(0, 2)), "split": (0.5, 0.5, 0.0),
    }  # fmt: skip


@pytest.mark.slow
def test_assets_at_urls_give_the_samples_of_local_ones(
    maps: dict[str, Any], asset_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = f"memory://{uuid.uuid4().hex}"
    folders = {name: f"{store}/{value.name}" for name, value in maps.items() if isinstance(value, Path)}
    for name, url in folders.items():
        fsspec.filesystem("memory").put(str(maps[name]), url, recursive=True)
    local = Synthesizer.from_recipe(Recipe(**maps))
    there = Synthesizer.from_recipe(Recipe(**{**maps, **folders}))
    assert local.catalog.classes == ("bus", "car") and local.catalog.depth_kind == "metric"
    assert local.catalog.distractors and all(f.mask_name and f.relief_name for f in local.catalog.foregrounds)
    assert [f.mask_name for f in there.catalog.foregrounds] == [f.mask_name for f in local.catalog.foregrounds]
    assert [str(found).replace(str(asset_folders), store) for found in local.findings] == list(map(str, there.findings))
    assert {"left-out", "type"} <= {found.reason for found in there.findings}
    # Another process knows only the recipe and the catalog; another machine has an empty cache too.
    received = pickle.loads(pickle.dumps(there))
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr("qumade.io.storage.RemoteFiles.entries", None)  # and does not list
    for index in range(0, len(local), 7):
        assert received.plan([index])[0].sample == local.plan([index])[0].sample
        for part, expected in zip(received[index], local[index], strict=True):
            np.testing.assert_array_equal(part, expected)


ROAD, WALL, SKY, CAR, UNLABELLED = 0, 2, 10, 13, 255  # ids of the table cityscapes


@pytest.fixture
def street(tmp_path: Path):
    """Makes recipes of one 120x90 photo whose label map [90, 120] is given, and of three cut-outs."""
    rng = np.random.default_rng(5)
    for folder in ("backgrounds", "foregrounds", "labels"):
        (tmp_path / folder).mkdir()
    Image.fromarray(rng.integers(0, 256, (90, 120, 3), np.uint8)).save(tmp_path / "backgrounds" / "photo.png")
    for number in range(3):
        pixels = np.zeros((34, 44 + 5 * number, 4), np.uint8)
        pixels[2:-2, 2:-2] = [*rng.integers(0, 256, 3), 255]
        Image.fromarray(pixels).save(tmp_path / "foregrounds" / f"thing_{number}.png")

    def make(labels: np.ndarray, **fields: Any) -> Recipe:
        Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "labels" / "photo.png")
        names = {name: tmp_path / name for name in ("backgrounds", "foregrounds", "labels")}
        return Recipe(**names | {"label_names": "cityscapes", "size": (120, 90)} | fields)

    return make


def street_labels() -> np.ndarray:
    """A road below row 36 and sky above it."""
    labels = np.full((90, 120), SKY)
    labels[36:] = ROAD
    return labels


def test_things_of_the_upright_prior_never_hide_more_of_an_object_than_the_recipe_allows(street) -> None:
    """Two walls stand near the camera and hide the road behind them."""
    labels = street_labels()
    labels[20:75, 5:45] = labels[20:75, 75:115] = WALL
    fields: dict[str, Any] = {"placement": "perspective", "horizon": 0.4, "per_pair": 200, "objects": (1, 1)}
    synthesizer = Synthesizer.from_recipe(street(labels, min_visible=0.6, crop=(1.0, 1.0), **fields))
    hidden = 0
    for index in range(0, len(synthesizer), 3):
        sample = synthesizer[index]
        assert sample.visible_fraction.min() > 0.6 - 0.1 and sample.mask.any()  # silhouettes are coarse
        hidden += sample.visible_fraction.min() < 0.97
    assert hidden > 5, "the walls hid nothing: the test shows nothing"


@pytest.mark.parametrize("present", ["ignore", "mask", "skip"])
def test_what_a_photo_may_already_show_is_never_called_absent(street, present: str) -> None:
    labels = street_labels()
    labels[50:52, 60:62] = CAR  # little enough for `skip`
    labels[80:, :30] = UNLABELLED
    recipe = street(labels, present=present, prior="flat", mirror_backgrounds=False, crop=(1.0, 1.0))
    synthesizer = Synthesizer.from_recipe(recipe)
    shown = {CAR: 0, UNLABELLED: 0}
    for index in range(12):
        sample: Sample = synthesizer[index]
        assert sample.ignore is not None
        free = sample.owner == 0
        car, unlabelled = (labels == CAR) & free, (labels == UNLABELLED) & free
        shown[CAR] += car.sum()
        shown[UNLABELLED] += unlabelled.sum()
        np.testing.assert_array_equal(sample.ignore, unlabelled if present == "mask" else unlabelled | car)
        assert sample.mask[free & ~car].max() < 128  # soft edges of the objects
        shown_as = sample.mask[car]
        assert (shown_as == 255).all() if present == "mask" else (shown_as < 128).all()
    assert min(shown.values()) > 0
    files = encode_sample(sample, synthesizer.depth_encoding, recipe.encoding).files
    assert files.keys() == folder_settings(recipe).keys() == {"images", "masks", "depth", "ignore"}


def test_a_background_without_many_labels_is_named(street) -> None:
    labels = street_labels()
    labels[70:] = UNLABELLED
    notes = [finding.detail for finding in Synthesizer.from_recipe(street(labels, horizon=0.4)).findings]
    assert any("22% of its pixels have no label" in note for note in notes), notes
    none = Synthesizer.from_recipe(street(labels, horizon=0.4, target=()))
    assert none[0].ignore is None and not any("no label" in finding.detail for finding in none.findings)
