from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from qumade.effects import Effects
from qumade.recipe import Recipe, load_recipe
from qumade.studio.controls import (
    Control,
    Problem,
    as_text,
    controls_of,
    from_text,
    given_of,
    grouped,
    parse_recipe,
    value_of,
    with_value,
    yaml_of,
)

CONTROLS = {control.name: control for control in controls_of(Recipe)}


def test_every_field_has_a_control_in_one_section():
    names = {name for name in Recipe.model_fields if name != "effects"}
    names |= {f"effects.{name}" for name in Effects.model_fields}
    assert CONTROLS.keys() == names
    listed = [control.name for _, controls in grouped(list(CONTROLS.values())) for control in controls]
    assert sorted(listed) == sorted(names)
    assert all(control.help for control in CONTROLS.values())


@pytest.mark.parametrize(
    ("name", "kind", "low", "high"),
    [
        ("seed", "whole", 0, 2**63 - 1),
        ("per_pair", "whole", 1, 1_000_000),
        ("size", "pair", 16, 8192),
        ("crop", "range", 0.0, 1.0),
        ("objects", "range", 1, 16),
        ("flip", "switch", None, None),
        ("placement", "choice", None, None),
        ("ground", "names", None, None),
        ("scale", "table", None, None),
        ("policy_weights", "shares", 0.0, None),
        ("effects.shadow", "number", 0.0, 1.0),
        ("effects.exposure", "range", -4.0, 4.0),
        ("effects.blend", "names", None, None),
        ("backgrounds", "text", None, None),
    ],
)
def test_kinds_and_limits_come_from_the_model(name, kind, low, high):
    control = CONTROLS[name]
    assert (control.kind, control.low, control.high) == (kind, low, high)


def test_choices_and_optional_fields():
    assert CONTROLS["placement"].choices == ("random", "semantic", "perspective")
    assert CONTROLS["effects.blend"].choices == ("alpha", "hard", "feather", "soften")
    assert CONTROLS["contact_distance"].optional and not CONTROLS["crop"].optional
    assert CONTROLS["scale"].of is not None and CONTROLS["scale"].of.high == 4.0


def test_a_field_that_no_section_names_comes_last():
    class Other(BaseModel):
        unheard_of: int = 3

    assert [title for title, controls in grouped(controls_of(Other)) if controls] == ["More"]


def test_every_field_of_a_recipe_has_a_section():
    assert "More" not in [title for title, _ in grouped(controls_of(Recipe))]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("size", "320x240", [320, 240]),
        ("size", "64", [64, 64]),
        ("crop", "0.5, 1", [0.5, 1]),
        ("crop", "0.5 .. 1", [0.5, "..", 1]),
        ("contact_distance", "", None),
        ("ground", "road, sidewalk ,", ["road", "sidewalk"]),
        ("scale", "default: [0.1, 0.5]\ncar*.png: [0.2, 0.3]", {"default": [0.1, 0.5], "car*.png": [0.2, 0.3]}),
        ("height_m", "", {}),
        ("seed", "12", 12),
        ("seed", "twelve", "twelve"),
        ("backgrounds", "../photos: x", "../photos: x"),
    ],
)
def test_typed_text_becomes_plain_values(name, text, value):
    assert from_text(CONTROLS[name], text) == value


def test_text_that_is_no_yaml_is_a_problem_of_its_field():
    with pytest.raises(Problem, match=r"Invalid scale: got .* must be valid YAML") as caught:
        from_text(CONTROLS["scale"], "default: [0.1")
    assert caught.value.field == "scale"
    with pytest.raises(Problem):
        from_text(CONTROLS["scale"], "!!python/object/apply:os.system ['true']")


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_the_text_of_a_default_is_read_back(name):
    control = CONTROLS[name]
    if control.kind not in ("switch", "choice"):
        again = from_text(control, as_text(control, control.default))
        assert again == control.default or (again is None and control.default in (None, ""))


@given(st.lists(st.floats(0, 1, allow_nan=False), min_size=2, max_size=2))
def test_ranges_survive_as_text(ends):
    assert from_text(CONTROLS["crop"], as_text(CONTROLS["crop"], ends)) == pytest.approx(ends)


def make(tmp_path: Path, **values) -> Recipe:
    return parse_recipe({"backgrounds": "b", "foregrounds": "f", **values}, tmp_path)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"min_visible": 7}, "min_visible"),
        ({"size": [3, 64]}, "size.0"),
        ({"scale": {"default": [0.5, 0.1]}}, "scale.default"),
        ({"effects": {"shadow": 2}}, "effects.shadow"),
        ({"placement": "semantic"}, "labels"),
        ({"colour": 1}, "recipe"),
    ],
)
def test_a_wrong_value_names_its_field(tmp_path, values, field):
    with pytest.raises(Problem, match=r"^Invalid ") as caught:
        make(tmp_path, **values)
    assert caught.value.field == field or field == "recipe"


def test_one_field_of_a_group_changes_alone(tmp_path):
    recipe = make(tmp_path, effects="all")
    given = with_value({"backgrounds": "b", "foregrounds": "f", "effects": "all"}, recipe, "effects.shadow", 0.1)
    changed = parse_recipe(given, tmp_path)
    assert changed.effects == recipe.effects.model_copy(update={"shadow": 0.1})
    assert value_of(changed, "effects.shadow") == 0.1


def test_the_yaml_is_what_the_command_line_uses(tmp_path):
    values = {"scale": [0.1, 0.3], "effects": {"shadow": 0.5}, "layout": "l.yaml", "policy_weights": {"random": 1.0}}
    recipe = make(tmp_path, **values)
    path = tmp_path / "there" / "recipe.yaml"
    path.parent.mkdir()
    path.write_text(yaml_of(recipe, path.parent))
    again = load_recipe(path)
    assert again == recipe
    assert again.model_fields_set == recipe.model_fields_set
    assert given_of(again, path.parent)["backgrounds"] == "../b"


def test_a_step_fits_the_range():
    assert CONTROLS["objects"].step == 1 and CONTROLS["crop"].step == 0.01
    assert Control("a.b_c", "number", "", None).title == "b c"
