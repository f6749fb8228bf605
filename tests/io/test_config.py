from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pytest
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from qumade.errors import QumadeError
from qumade.io.config import (
    Ascending,
    RelativePath,
    parse_model,
    plain_values,
    read_yaml,
    shown,
    write_yaml,
    wrong_field,
)


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    data: RelativePath
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    count: Annotated[int, Field(ge=0, lt=10)] = 0
    sides: tuple[PositiveInt, PositiveInt] = (1, 1)
    mixed: tuple[int, str] = (1, "a")
    limit: Annotated[float, Field(gt=0)] | None = None
    free: FiniteFloat = 0.0
    positive: PositiveFloat = 1.0
    ends: Annotated[tuple[float, float], Ascending] = (0.0, 1.0)
    row: Annotated[
        Mapping[str, Annotated[float, Field(ge=-1, lt=1)] | Literal["labels"]],
        BeforeValidator(lambda value: value if isinstance(value, Mapping) else {"default": value}),
    ] = {}
    extent: tuple[float, float] | Literal["image"] | None = None
    weights: Mapping[Literal["a", "b"], float] = {}
    switch: bool = False
    text: str = ""
    names: tuple[str, ...] = ()
    numbers: list[int] = []
    tasks: Annotated[tuple[Literal["mask", "depth"], ...], Field(min_length=1)] = ("mask",)
    where: RelativePath | None = None
    known: Literal["one"] | RelativePath = "one"
    part: Part | None = None
    parts: tuple[Part, ...] = ()
    even: int = 0

    @field_validator("even")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("an even number")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.count > 5 and self.limit is None:
            raise wrong_field("limit", "given where count is above 5")
        if self.count > 5 and self.switch:
            raise wrong_field("switch", "false where count is above 5")
        return self


def parse(values: object, **options: Any) -> Settings:
    return parse_model(Settings, values, "FILE", what="settings", **options)


COUNT = "a whole number of at least 0 and at most 9"
SIDES = "two values, each a whole number of at least 1"
BOUNDS = "at least -1 and below 1, or 'labels'"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": -1}, f"Invalid count: got -1 in FILE; must be {COUNT}"),
        ({"count": "many"}, f"Invalid count: got 'many' in FILE; must be {COUNT}"),
        ({"sides": 3}, f"Invalid sides: got 3 in FILE; must be {SIDES}"),
        ({"sides": [3]}, f"Invalid sides: got [3] in FILE; must be {SIDES}"),
        ({"sides": [3, 4, 5]}, f"Invalid sides: got [3, 4, 5] in FILE; must be {SIDES}"),
        ({"sides": [3, 0]}, "Invalid sides.1: got 0 in FILE; must be a whole number of at least 1"),
        ({"mixed": "x"}, "Invalid mixed: got 'x' in FILE; must be a list of a whole number, text"),
        ({"limit": 0}, "Invalid limit: got 0 in FILE; must be above 0"),
        ({"limit": float("inf")}, "Invalid limit: got inf in FILE; must be finite and above 0"),
        ({"free": float("nan")}, "Invalid free: got nan in FILE; must be a finite number"),
        ({"free": "x"}, "Invalid free: got 'x' in FILE; must be a number"),
        ({"positive": 0}, "Invalid positive: got 0 in FILE; must be above 0"),
        ({"ends": [2, 1]}, "Invalid ends: got [2, 1] in FILE; must be a low and a high end, in this order"),
        ({"row": 45}, f"Invalid row: got 45 in FILE; must be {BOUNDS}"),
        ({"row": {"default": 45}}, f"Invalid row.default: got 45 in FILE; must be {BOUNDS}"),
        ({"row": {"a.png": "low"}}, f"Invalid row.a.png: got 'low' in FILE; must be {BOUNDS}"),
        ({"extent": "whole"}, "Invalid extent: got 'whole' in FILE; must be two values, each a number, or 'image'"),
        ({"extent": [0, "x"]}, "Invalid extent: got [0, 'x'] in FILE; must be two values, each a number, or 'image'"),
        ({"weights": {"c": 1}}, "Invalid weights: got 'c' in FILE; must be 'a' or 'b'"),
        ({"weights": 3}, "Invalid weights: got 3 in FILE; must be a mapping, each value a number"),
        ({"switch": "maybe"}, "Invalid switch: got 'maybe' in FILE; must be true or false"),
        ({"text": 3}, "Invalid text: got 3 in FILE; must be text"),
        ({"names": "road"}, "Invalid names: got 'road' in FILE; must be a list of names"),
        ({"names": [3]}, "Invalid names.0: got 3 in FILE; must be text"),
        ({"numbers": 3}, "Invalid numbers: got 3 in FILE; must be a list, each item a whole number"),
        ({"tasks": []}, "Invalid tasks: got [] in FILE; must be a list of at least 1, each item 'mask' or 'depth'"),
        ({"where": 3}, "Invalid where: got 3 in FILE; must be a path"),
        ({"known": 3}, "Invalid known: got 3 in FILE; must be 'one', or a path"),
        ({"part": 3}, "Invalid part: got 3 in FILE; must be a mapping of fields"),
        ({"part": {}}, "Invalid part.data: got nothing in FILE; must be given"),
        ({"part": {"data": "d", "share": 1}}, "Invalid part.share: got 1 in FILE; must be above 0 and below 1"),
        (
            {"parts": [{"data": "d"}, {"data": "d", "share": 2}]},
            "Invalid parts.1.share: got 2 in FILE; must be above 0 and below 1",
        ),
        ({"even": 3}, "Invalid even: got 3 in FILE; must be an even number"),
        ({"count": 6}, "Invalid limit: got nothing in FILE; must be given where count is above 5"),
        (
            {"count": 6, "limit": 1, "switch": True},
            "Invalid switch: got True in FILE; must be false where count is above 5",
        ),
        ({"count": -1, "row": {"a": 2}, "text": 3}, f"Invalid count: got -1 in FILE; must be {COUNT} (and 2 more)"),
        ([3], "Invalid settings: got [3] in FILE; must be a mapping of fields"),
        (None, "Invalid settings: got None in FILE; must be a mapping of fields"),
        ({"cuont": 3, "text": 3}, "Invalid settings field: got 'cuont' in FILE; did you mean 'count'?"),
        ({"part": {"dta": "d"}}, "Invalid part field: got 'dta' in FILE; did you mean 'data'?"),
        ({"parts": [{"data": "d", "xyz": 1}]}, "Invalid parts.0 field: got 'xyz' in FILE; must be one of: data, share"),
        ({1: 2}, "Invalid settings field: got 1 in FILE; must be one of: " + ", ".join(Settings.model_fields)),
    ],
)  # fmt: skip
def test_a_wrong_value_is_reported_in_one_line(values: object, message: str) -> None:
    with pytest.raises(QumadeError) as caught:
        parse(values)
    assert str(caught.value) == message


def test_messages_use_the_given_names_of_fields() -> None:
    def flag(field: str) -> str:
        return "--" + field.partition(".")[0].replace("_", "-")

    for values, message in [
        ({"sides": [3, 0]}, "Invalid --sides: got 0 in FILE; must be a whole number of at least 1"),
        ({"cuont": 1}, "Invalid settings field: got 'cuont' in FILE; did you mean '--count'?"),
        ({"part": {"daat": 1}}, "Invalid --part field: got 'daat' in FILE; did you mean 'data'?"),
    ]:
        with pytest.raises(QumadeError) as caught:
            parse(values, name_field=flag)
        assert str(caught.value) == message


def test_paths_are_relative_to_the_folder_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    values = {
        "where": "../x", "known": "one", "part": {"data": "~/d"}, "parts": [{"data": "./~e"}, {"data": "/abs"}],
    }  # fmt: skip
    settings = parse(values, folder=tmp_path / "here")
    assert settings.where == tmp_path / "x" and settings.known == "one"
    assert settings.part is not None and settings.part.data == Path("/home/somebody/d")
    assert [part.data for part in settings.parts] == [tmp_path / "here" / "~e", Path("/abs")]
    assert parse({"known": "two"}, folder=tmp_path).known == tmp_path / "two"
    written = plain_values(settings, tmp_path / "here")
    assert (written["where"], written["known"], written["parts"][0]["data"]) == ("../x", "one", "./~e")
    write_yaml(written, tmp_path / "settings.yaml")
    again = parse(read_yaml(tmp_path / "settings.yaml", "settings"), folder=tmp_path / "here")
    assert again == settings
    assert settings.model_dump(mode="json")["where"] == str(tmp_path / "x")
    monkeypatch.chdir(tmp_path)
    assert parse({"where": "y"}).where == tmp_path / "y" == Settings(where=Path("y")).where


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"a: 1\na: 2", "key 'a' is given twice"),
        (b"x: {b: 1, b: 1}", "key 'b' is given twice"),
        (b"a: [", "not valid YAML"),
        (b"a: 2001-99-99", "not valid YAML"),
        (b"a: " + b"9" * 5000, "not valid YAML"),
        (b"a: " + b"[" * 100_000, "not valid YAML"),
        (b"a: !!python/object/apply:os.getcwd []", "not valid YAML"),
        (b"\x00", "not valid YAML"),
        (b"a: \xff", "is not UTF-8 text"),
        (b"a: " + b"x" * (1 << 20), "at most 1048576"),
    ],
)
def test_invalid_yaml_is_reported_in_one_line(tmp_path: Path, text: bytes, said: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(text)
    with pytest.raises(QumadeError) as caught:
        read_yaml(path, "settings")
    message = str(caught.value)
    assert message.startswith("Invalid ") and said in message and str(path) in message
    assert "\n" not in message and len(message) < 1000


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(QumadeError, match=r"cannot read .*gone\.yaml: No such file"):
        read_yaml(tmp_path / "gone.yaml", "settings")


def test_merge_keys_and_keys_of_other_mappings_are_no_duplicates(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("\ufeffa: &a {x: 1}\nb: {<<: *a, y: 2}\n", "utf-8")
    assert read_yaml(tmp_path / "a.yaml", "settings") == {"a": {"x": 1}, "b": {"x": 1, "y": 2}}


def test_values_are_shown_on_one_short_line() -> None:
    bomb: list[Any] = [1]
    for _ in range(30):
        bomb = [bomb] * 9
    for value in ("a\nb", bomb, "x" * 10_000, 10**400):
        assert len(shown(value)) < 250 and "\n" not in shown(value)
