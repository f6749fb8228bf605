from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from qumade.cli.model_flags import flag_of, flag_values, flags_of
from qumade.effects import Effects
from qumade.errors import QumadeError
from qumade.recipe import Recipe
from qumade.training.config import TrainConfig


class Example(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    folder: Path
    """Where things are."""
    count: Annotated[int, Field(ge=1)] = 3
    """How many."""
    share: float | None = None
    ends: tuple[float, float] = (0.1, 0.5)
    by_file: Mapping[str, tuple[float, float]] = {"default": (0.1, 0.5)}
    row: Mapping[str, float | Literal["labels"]] = {}
    names: tuple[str, ...] = ("road", "sky")
    clip: float | None = 1.0
    mirror: bool = True
    kind: Literal["a", "b"] = "a"
    hidden: int = 0


FLAGS = flags_of(Example, "Example", without={"hidden"})


def given(**values: Any) -> dict[str, Any]:
    return flag_values(FLAGS(**values), Example)


def test_each_field_is_a_flag_unless_left_out() -> None:
    assert [one.name for one in fields(FLAGS)] == [name for name in Example.model_fields if name != "hidden"]
    assert flag_of("by_file") == flag_of("by_file.0") == "--by-file"
    assert flag_of("effects.haze.0") == "haze of --effects" and flag_of("scale.a.png.1") == "a.png of --scale"


def test_help_and_defaults_come_from_the_model() -> None:
    texts = {one.name: one.type.__metadata__[0].help for one in fields(FLAGS)}
    assert texts["folder"] == "Where things are."
    assert texts["count"] == "How many. [default: 3]"
    assert texts["ends"].endswith("[default: 0.1,0.5]") and texts["by_file"].endswith("[default: 0.1,0.5]")
    assert texts["names"].endswith("[default: road,sky]") and texts["mirror"].endswith("[default: yes]")
    assert "default" not in texts["share"] and "default" not in texts["row"]


def test_flags_that_are_not_given_have_no_value() -> None:
    assert given() == {}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("ends", "0.2,1", [0.2, 1]),
        ("ends", "0.3", [0.3, 0.3]),
        ("ends", "320x240", [320, 240]),
        ("ends", "[1, 2]", [1, 2]),
        ("ends", "low,high", ["low", "high"]),  # the model refuses it, naming the flag
        ("by_file", "0.2,1", [0.2, 1]),
        ("by_file", "{truck_*: [0.3, 0.6]}", {"truck_*": [0.3, 0.6]}),
        ("row", "0.45", 0.45),
        ("row", "labels", "labels"),
        ("names", "road,", ["road"]),
        ("names", "", []),
        ("clip", "none", None),
        ("clip", "2e-3", 0.002),
    ],
)
def test_text_becomes_the_value_of_yaml(name: str, text: str, value: Any) -> None:
    assert given(**{name: text}) == {name: value}


def test_values_converted_by_the_command_line_stay() -> None:
    values = {"folder": Path("x"), "count": 4, "share": 0.5, "mirror": False, "kind": "b"}
    assert given(**values) == values


def test_invalid_yaml_is_refused_naming_the_flag() -> None:
    with pytest.raises(QumadeError, match=r"Invalid --by-file: got '\{a: \['; must be valid YAML"):
        given(by_file="{a: [")


@pytest.mark.parametrize("model", [Recipe, TrainConfig])
def test_every_field_of_the_models_has_help(model: type[BaseModel]) -> None:
    assert all(one.type.__metadata__[0].help for one in fields(flags_of(model, "Fields")))


def test_a_group_of_fields_is_a_preset_or_a_file_or_yaml(tmp_path):
    flags = flags_of(Recipe, "Recipe fields")
    (tmp_path / "haze.yaml").write_text("haze: [0.1, 0.2]\n")
    for text, expected in [
        ("all", "all"),
        (str(tmp_path / "haze.yaml"), {"haze": [0.1, 0.2]}),
        ("{haze: [0.1, 0.2]}", {"haze": [0.1, 0.2]}),
    ]:
        assert flag_values(flags(effects=text), Recipe) == {"effects": expected}
    with pytest.raises(QumadeError, match=r"no_such\.yaml"):
        flag_values(flags(effects=str(tmp_path / "no_such.yaml")), Recipe)
    for text, message in [
        ("shadow: 3", r"Invalid shadow: got 3 in /.*haze\.yaml; must be at least 0 and at most 1"),
        ("shadw: 1", r"Invalid effects field: got 'shadw' in /.*haze\.yaml; did you mean 'shadow'\?"),
        ("- 1", r"Invalid effects: got \[1\] in /.*haze\.yaml; must be a mapping of fields"),
    ]:
        (tmp_path / "haze.yaml").write_text(text)
        with pytest.raises(QumadeError, match=message):
            flag_values(flags(effects=str(tmp_path / "haze.yaml")), Recipe)
    assert Recipe(backgrounds="b", foregrounds="f", effects="all").effects == Effects.all()
