from pathlib import Path

import pytest

from qumade.effects import PRESETS, Effects
from qumade.errors import QumadeError
from qumade.recipe import Recipe, load_recipe, recipe_from_dict, save_recipe


def test_the_defaults_change_nothing_and_every_preset_is_an_effect():
    assert not Effects().on and not Effects.none().on and Effects.all().on
    assert PRESETS.keys() == {"none", "all"}


@pytest.mark.parametrize(
    "fields",
    [
        {"distractors": (0, 1)}, {"blend": ("hard",)}, {"shadow": 0.1}, {"harmonise": (0, 0.1)}, {"haze": (0, 0.1)},
        {"blur_px": (0, 1)}, {"vignette": (0, 0.1)}, {"exposure": (-1, 0)}, {"gamma": (0, 1)}, {"noise": (0, 0.1)},
        {"jpeg_quality": (50, 60)},
    ],
)  # fmt: skip
def test_each_effect_alone_is_on(fields):
    assert Effects(**fields).on


def test_details_of_an_effect_that_is_off_change_nothing():
    assert not Effects(feather_px=(2, 4), sun_deg=(20, 30), haze_far=5, often=0.5, distractor_scale=(0.1, 0.2)).on


@pytest.mark.parametrize(("given", "expected"), [("all", Effects.all()), ("none", Effects()), (None, Effects())])
def test_a_recipe_file_names_a_preset(tmp_path: Path, given, expected):
    text = "backgrounds: b\nforegrounds: f\n" + (f"effects: {given}\n" if given else "")
    (tmp_path / "recipe.yaml").write_text(text)
    assert load_recipe(tmp_path / "recipe.yaml").effects == expected


def test_effects_survive_a_file(tmp_path: Path):
    recipe = Recipe(
        backgrounds=tmp_path / "b", foregrounds=tmp_path / "f", distractor_foregrounds=tmp_path / "d",
        effects=Effects.all().model_copy(update={"haze": (0.1, 0.2)}),
    )  # fmt: skip
    save_recipe(recipe, tmp_path / "recipe.yaml")
    assert load_recipe(tmp_path / "recipe.yaml") == recipe


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("some", "Invalid effects: got 'some' in here; must be none or all, or a mapping of fields"),
        ({"haze": [0.2, 0.1]}, "Invalid effects.haze: got "),
        ({"fog": [0.2, 0.1]}, "fog"),
        ({"shadow": 2}, "Invalid effects.shadow: got 2 in here; must be at least 0 and at most 1"),
        ({"blend": []}, "Invalid effects.blend"),
    ],
)
def test_wrong_values_are_named(value, message):
    with pytest.raises(QumadeError) as error:
        recipe_from_dict({"backgrounds": "b", "foregrounds": "f", "effects": value}, "here", Path())
    assert message in str(error.value)
