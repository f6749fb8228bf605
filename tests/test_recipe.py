import pickle
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from qumade.effects import Effects
from qumade.errors import ConfigError, QumadeError
from qumade.recipe import (
    DEFAULT,
    Recipe,
    load_recipe,
    match_pattern,
    place_fields,
    recipe_from_dict,
    recipe_to_dict,
    save_recipe,
)

FOLDERS = "backgrounds: b\nforegrounds: f\n"


def ordered(values):
    return st.tuples(values, values).map(lambda pair: tuple(sorted(pair)))


SHARE, POSITIVE_SHARE = st.floats(0, 1), st.floats(0, 1, exclude_min=True)
SCALE_RANGE = ordered(st.floats(0, 4, exclude_min=True))
# Any name that a file may have, bytes that are no UTF-8 included.
NAME = st.binary(min_size=1, max_size=8).map(lambda raw: raw.replace(b"\0", b"~").decode("utf-8", "surrogateescape"))
TEXT = st.text(min_size=1, max_size=8)
FOLDER = st.lists(NAME.filter(lambda name: not name.startswith("~")), min_size=1, max_size=3).map("/".join)
RECIPES = st.fixed_dictionaries(
    {"backgrounds": FOLDER, "foregrounds": FOLDER},
    optional={
        "masks": FOLDER,
        "depths": FOLDER,
        "depths_kind": st.sampled_from(["metric", "scaled", "affine"]),
        "seed": st.integers(0, 2**63 - 1),
        "size": st.tuples(st.integers(16, 8192), st.integers(16, 8192)),
        "per_pair": st.integers(1, 1_000_000),
        "flip": st.booleans(),
        "mirror_backgrounds": st.booleans(),
        "crop": ordered(POSITIVE_SHARE),
        "objects": ordered(st.integers(1, 16)),
        "scale": SCALE_RANGE | st.dictionaries(TEXT, SCALE_RANGE, max_size=4),
        "centre_row": ordered(SHARE),
        "min_visible": POSITIVE_SHARE,
        "retries": st.integers(1, 1000),
        "horizon": st.floats(-1, 1, exclude_max=True),
        "mask": st.sampled_from(["soft", "binary"]),
        "encoding": st.sampled_from(["jpeg", "lossless"]),
        "depth_near": st.floats(0, 1e300, exclude_min=True),
        "split": st.permutations([0.7, 0.3, 0.0]).map(tuple),
    },
)


@pytest.mark.parametrize(
    ("given", "meant", "written"),
    [
        ("auto", "auto", "auto"),
        ("org/net.v2-hf", "org/net.v2-hf", "org/net.v2-hf"),
        ("./org/net", Path("org/net"), "./org/net"),
        ("net", Path("net"), "net"),
        ("./auto", Path("auto"), "./auto"),
        ("nets/net.onnx", Path("nets/net.onnx"), "nets/net.onnx"),
        ("../net", Path("../net"), "../net"),
    ],
)
def test_a_depth_teacher_is_a_name_on_the_hub_or_a_path_beside_the_recipe(tmp_path, given, meant, written):
    path = tmp_path / "here" / "recipe.yaml"
    path.parent.mkdir()
    path.write_text(f"{FOLDERS}depth: composite\ndepth_teacher: {given}\n")
    recipe = load_recipe(path)
    wanted = (path.parent / meant).resolve() if isinstance(meant, Path) else meant
    assert recipe.depth_teacher == wanted and type(recipe.depth_teacher) is type(wanted)
    save_recipe(recipe, path)
    assert yaml.safe_load(path.read_text())["depth_teacher"] == written
    assert load_recipe(path) == recipe
    assert recipe_from_dict(recipe.model_dump(), "flags", tmp_path / "elsewhere") == recipe


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("depth: composite", "got nothing in .*; must be the network .* which depth 'composite' needs"),
        ("depth_teacher: auto", "got 'auto' in .*; must be left out where depth is not 'composite'"),
    ],
)
def test_composite_depth_and_its_teacher_belong_together(tmp_path, fields, words):
    (tmp_path / "recipe.yaml").write_text(f"{FOLDERS}{fields}\n")
    with pytest.raises(QumadeError, match=words):
        load_recipe(tmp_path / "recipe.yaml")


@given(RECIPES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_yaml_round_trip_gives_an_equal_recipe(tmp_path, values):
    recipe = Recipe(**values)
    save_recipe(recipe, tmp_path / "recipe.yaml")
    loaded = load_recipe(tmp_path / "recipe.yaml")
    assert loaded == recipe
    assert list(loaded.scale) == list(recipe.scale)  # of several patterns the first one wins
    assert pickle.loads(pickle.dumps(recipe)) == recipe


def test_paths_are_relative_to_the_file_and_move_with_it(tmp_path):
    (tmp_path / "here").mkdir()
    file = tmp_path / "here" / "recipe.yaml"
    save_recipe(Recipe(backgrounds=tmp_path / "b", foregrounds=tmp_path / "here" / "f"), file)
    written = yaml.safe_load(file.read_text())
    assert (written["backgrounds"], written["foregrounds"], written["masks"]) == ("../b", "f", None)
    moved = tmp_path / "there"
    file.parent.rename(moved)
    recipe = load_recipe(moved / "recipe.yaml")
    assert (recipe.backgrounds, recipe.foregrounds) == (tmp_path / "b", moved / "f")


@pytest.mark.parametrize("url", ["s3://bucket/photos", "memory://a/../b/", "gs://b/a b", "az://c/~d", "file:///a"])
def test_urls_of_asset_folders_stay_as_they_are(tmp_path, url):
    values = {"backgrounds": url, "foregrounds": "f", "depths": url}
    recipe = recipe_from_dict(values, "recipe.yaml", tmp_path)
    assert (recipe.backgrounds, recipe.depths, recipe.foregrounds) == (url, url, tmp_path / "f")
    assert place_fields(recipe) == {"backgrounds", "depths", "foregrounds"}
    (tmp_path / "other").mkdir()
    for folder in (tmp_path, tmp_path / "other"):
        save_recipe(recipe, folder / "recipe.yaml")
        assert yaml.safe_load((folder / "recipe.yaml").read_text())["backgrounds"] == url
        assert load_recipe(folder / "recipe.yaml") == recipe
    assert pickle.loads(pickle.dumps(recipe)) == recipe


@pytest.mark.parametrize("field", ["layout", "label_names", "depth_teacher"])
def test_a_file_at_a_url_is_refused(tmp_path, field):
    values = {"backgrounds": "b", "foregrounds": "f", "labels": "l", "depth": "composite", field: "s3://bucket/a.yaml"}
    with pytest.raises(ConfigError, match=rf"^Invalid {field}: got 's3://bucket/a\.yaml' in recipe\.yaml; must be "):
        recipe_from_dict(values, "recipe.yaml", tmp_path)


def test_home_is_expanded_but_no_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    values = {"backgrounds": "~/b", "foregrounds": "./~f", "masks": "~nobody_of_that_name/m"}
    recipe = recipe_from_dict(values, "recipe.yaml", tmp_path)
    assert recipe.backgrounds == Path("/home/somebody/b")
    assert recipe.foregrounds == tmp_path / "~f"
    assert recipe.masks == tmp_path / "~nobody_of_that_name" / "m"
    save_recipe(recipe, tmp_path / "recipe.yaml")
    assert load_recipe(tmp_path / "recipe.yaml") == recipe


def test_every_field_is_written(make_recipe, tmp_path):
    assert recipe_to_dict(make_recipe(), tmp_path).keys() == Recipe.model_fields.keys()


def test_defaults_are_the_job_of_the_legacy_notebook(make_recipe):
    recipe = make_recipe()
    assert (recipe.size, recipe.per_pair, recipe.objects) == ((224, 224), 20, (1, 1))
    assert recipe.scale == {DEFAULT: (0.1, 0.5)}
    assert (recipe.encoding, recipe.centre_row) == ("jpeg", (0.5, 1.0))


def test_a_recipe_is_read_out_of_a_dataset_description(tmp_path):
    file = tmp_path / "dataset.yaml"
    file.write_text("format: 1\nrecipe: {backgrounds: b, foregrounds: f, seed: 7}\n")
    assert load_recipe(file).seed == 7


def test_frozen(make_recipe):
    with pytest.raises(ValidationError):
        make_recipe().seed = 3


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ((0.2, 0.3), {DEFAULT: (0.2, 0.3)}),
        ({"a*": (0.2, 0.3)}, {"a*": (0.2, 0.3), DEFAULT: (0.1, 0.5)}),
        ({DEFAULT: (0.4, 0.4)}, {DEFAULT: (0.4, 0.4)}),
    ],
)
def test_scale_is_a_range_or_a_table(make_recipe, scale, expected):
    assert make_recipe(scale=scale).scale == expected


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("truck_1.png", "truck_*"),
        ("truck_2.png", "truck_2.png"),  # the name itself wins over a pattern before it
        ("big_truck.png", "*truck*"),
        ("TRUCK_1.png", DEFAULT),
        ("car.png", DEFAULT),
    ],
)
def test_match_pattern(name, key):
    assert match_pattern(name, {"truck_*": 1, DEFAULT: 2, "*truck*": 3, "truck_2.png": 4}) == key


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("perpair", "did you mean 'per_pair'?"),
        ("backround", "did you mean 'backgrounds'?"),
        ("centerrow", "did you mean 'centre_row'?"),
        ("xyzzy", "must be one of: backgrounds, "),
    ],
)
def test_unknown_key_names_the_nearest(tmp_path, key, said):
    file = tmp_path / "recipe.yaml"
    file.write_text(f"{FOLDERS}{key}: 3\n")
    with pytest.raises(QumadeError) as error:
        load_recipe(file)
    assert repr(key) in str(error.value) and str(file) in str(error.value) and said in str(error.value)


BAD_VALUES = [
    ("seed: -1", "seed", "-1"),
    ("seed: 9223372036854775808", "seed", "9223372036854775808"),
    ("seed: 1.5", "seed", "1.5"),
    ("size: 224", "size", "224"),
    ("size: [15, 224]", "size.0", "15"),
    ("size: [224, 8193]", "size.1", "8193"),
    ("size: [224]", "size", "[224]"),
    ("per_pair: 0", "per_pair", "0"),
    ("flip: maybe", "flip", "'maybe'"),
    ("crop: [0, 1]", "crop.0", "0"),
    ("crop: [0.9, 0.8]", "crop", "[0.9, 0.8]"),
    ("crop: [0.9, 1.1]", "crop.1", "1.1"),
    ("objects: [0, 1]", "objects.0", "0"),
    ("objects: [1, 17]", "objects.1", "17"),
    ("objects: [3, 1]", "objects", "[3, 1]"),
    ("scale: [0.5, 0.1]", "scale", "[0.5, 0.1]"),
    ("scale: {a.png: [0.1, .nan]}", "scale.a.png.1", "nan"),
    ("scale: {a.png: [0.0, 1.0]}", "scale.a.png.0", "0.0"),
    ("scale: {a.png: [0.1, 4.1]}", "scale.a.png.1", "4.1"),
    ("centre_row: [-0.1, 1]", "centre_row.0", "-0.1"),
    ("min_visible: 0", "min_visible", "0"),
    ("retries: 0", "retries", "0"),
    ("retries: 1001", "retries", "1001"),
    ("horizon: 1.0", "horizon", "1.0"),
    ("horizon: .inf", "horizon", "inf"),
    ("mask: hard", "mask", "'hard'"),
    ("encoding: webp", "encoding", "'webp'"),
    ("depth_near: 0", "depth_near", "0"),
    ("depths_kind: disparity", "depths_kind", "'disparity'"),
    ("depth_quantization: image\nencoding: lossless", "depth_quantization", "'image'"),
    ("split: [0.5, 0.1, 0.1]", "split", "[0.5, 0.1, 0.1]"),
    ("masks: 3", "masks", "3"),
    (
        "policy_weights: {random: 1.0e+308, semantic: 1.0e+308}\nlabels: l\nlabel_names: camvid",
        "policy_weights",
        "1e+308",
    ),
]


@pytest.mark.parametrize(("line", "field", "value"), BAD_VALUES, ids=[line for line, _, _ in BAD_VALUES])
def test_bad_value_is_refused_with_file_field_and_value(tmp_path, line, field, value):
    file = tmp_path / "recipe.yaml"
    file.write_text(FOLDERS + line)
    with pytest.raises(QumadeError) as error:
        load_recipe(file)
    message = str(error.value)
    assert message.startswith("Invalid ") and "\n" not in message
    assert str(file) in message and field in message and value in message.replace(str(file), "")


def test_folders_are_required(tmp_path):
    with pytest.raises(QumadeError, match=r"^Invalid foregrounds: got nothing in recipe\.yaml; must be given$"):
        recipe_from_dict({"backgrounds": "b"}, "recipe.yaml", tmp_path)


BOMB = "".join(f"{a}: &{a} [{','.join([f'*{b}'] * 9)}]\n" for a, b in zip("bcdefghijk", "abcdefghij", strict=True))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FOLDERS + "seed: 1\nseed: 2", "'seed' is given twice"),
        (FOLDERS + "scale: {a: [0.1, 0.2], a: [0.1, 0.3]}", "'a' is given twice"),
        (FOLDERS + "? [1, 2]\n: 3", "unhashable"),
        (FOLDERS + "1: 2", "got 1 in"),
        (FOLDERS + "seed: 2001-99-99", "not valid YAML"),
        (FOLDERS + "seed: !!int x", "not valid YAML"),
        (FOLDERS + "seed: " + "9" * 5000, "not valid YAML"),
        (FOLDERS + "seed: !!python/object/apply:os.getcwd []", "not valid YAML"),
        (FOLDERS + "seed: &a [*a]", "seed"),
        (FOLDERS + "seed: " + "[" * 100_000, "not valid YAML"),
        ("a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + BOMB + FOLDERS, "got 'a'"),
        (FOLDERS + "seed: {a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1],\n" + BOMB.replace("\n", ",\n") + "}", "seed"),
        ("- backgrounds", "got ['backgrounds'] in"),
        ("", "got None in"),
        ("{", "not valid YAML"),
        ("format: 1\nrecipe: 3", "got 3 in"),
    ],
    ids=range(16),
)
def test_hostile_file_is_refused_in_one_short_line(tmp_path, text, said):
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    with pytest.raises(QumadeError) as error:
        load_recipe(file)
    message = str(error.value)
    assert said in message and str(file) in message
    assert "\n" not in message and len(message) < 1000


def test_file_that_cannot_be_read(tmp_path):
    with pytest.raises(QumadeError, match=r"cannot read .*missing\.yaml"):
        load_recipe(tmp_path / "missing.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"backgrounds: \xff\xfe\n")
    with pytest.raises(QumadeError, match=r"cannot read .*latin\.yaml"):
        load_recipe(tmp_path / "latin.yaml")


STREET = {
    "objects": (1, 6), "min_visible": 0.35, "crop": (0.5, 1.0), "contact_sampling": "distance",
    "scale": {"default": (0.03, 0.7)}, "effects": Effects(shadow=0.7),
}  # fmt: skip


def test_perspective_for_all_samples_lays_out_a_street(make_recipe):
    recipe = make_recipe(placement="perspective", labels="labels")
    assert {name: getattr(recipe, name) for name in STREET} == STREET
    mixed = make_recipe(policy_weights={"perspective": 0.9, "random": 0.1}, placement="perspective", labels="labels")
    semantic = make_recipe(placement="semantic", labels="labels")
    for plain in (mixed, semantic):
        assert {name: getattr(plain, name) for name in STREET} == {
            "objects": (1, 1), "min_visible": 0.7, "crop": (1.0, 1.0), "contact_sampling": "picture",
            "scale": {"default": (0.1, 0.5)}, "effects": Effects(),
        }  # fmt: skip


def test_what_is_given_wins_over_the_defaults_of_a_street(make_recipe):
    recipe = make_recipe(placement="perspective", labels="labels", objects=(2, 2), scale={"bus*": (0.2, 0.9)})
    assert recipe.objects == (2, 2) and recipe.crop == (0.5, 1.0)
    assert recipe.scale == {"bus*": (0.2, 0.9), "default": (0.03, 0.7)}
    assert "crop" not in recipe.model_fields_set and "objects" in recipe.model_fields_set
    without = make_recipe(placement="perspective", labels="labels", effects="none")
    assert without.effects == Effects() and without.crop == (0.5, 1.0)


@pytest.mark.parametrize(
    ("fields", "prior"),
    [
        ({}, "flat"),
        ({"labels": "labels"}, "upright"),
        ({"labels": "labels", "depths": "depths"}, "flat"),
        ({"labels": "labels", "prior": "flat"}, "flat"),
    ],
)
def test_label_maps_without_depth_maps_give_the_upright_prior(make_recipe, tmp_path, fields, prior):
    recipe = make_recipe(**fields)
    assert recipe.prior == prior
    save_recipe(recipe, tmp_path / "recipe.yaml")
    assert load_recipe(tmp_path / "recipe.yaml") == recipe


def test_the_upright_prior_needs_label_maps(make_recipe):
    with pytest.raises(ValueError, match="prior 'upright' needs"):
        make_recipe(prior="upright")
