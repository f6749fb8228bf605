"""The controls of a form, made from the fields of a pydantic model: kind, limits, choices, help.

Values of a form are the plain values of a YAML file, only the fields that were given. A control has the dotted name of
its field, such as "per_pair" or "effects.shadow".
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from qumade.errors import ConfigError
from qumade.io.config import bare_type
from qumade.recipe import Recipe, recipe_from_dict, recipe_to_dict

__all__ = [
    "GROUPS", "Control", "Problem", "as_text", "controls_of", "from_text", "given_of", "grouped", "parse_recipe",
    "value_of", "with_value", "yaml_of",
]  # fmt: skip

ControlKind = Literal["switch", "choice", "whole", "number", "range", "pair", "shares", "names", "table", "text"]

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Which samples", ("seed", "size", "per_pair", "flip", "mirror_backgrounds", "crop")),
    ("Objects", ("objects", "scale", "min_visible", "centre_row", "rows", "layout")),
    ("Where they stand", ("placement", "policy_weights", "ground", "place", "contact_rows", "contact_distance",
                          "contact_sampling", "no_ground", "prior")),
    ("Perspective", ("height_ratio", "height_m", "camera_height_m", "size_jitter", "horizon")),
    ("Effects", ("effects", "distractor_foregrounds")),
    ("Labels", ("target", "present", "classes", "instances", "depth", "depth_near", "depth_quantization",
                "depth_teacher", "mask", "encoding", "split", "retries")),
    ("Folders", ("backgrounds", "foregrounds", "exclude", "masks", "premultiplied", "depths", "depths_kind",
                 "depths_scale", "labels", "label_names", "reliefs")),
)  # fmt: skip
"""Sections of the form of a recipe. A field that is in none comes last, under "More"."""


@dataclass(frozen=True)
class Control:
    """One control. `low` and `high` are the limits of each number, None where there is no limit; `count` is how many
    numbers a pair or a row of shares has; `of` is the kind of a table's values, `choices` are those of a choice or the
    keys of shares. `optional`: the field may be unset."""

    name: str
    kind: ControlKind
    help: str
    default: Any
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    count: int = 1
    of: "Control | None" = None
    optional: bool = False
    whole: bool = False

    @property
    def title(self) -> str:
        return self.name.rsplit(".", 1)[-1].replace("_", " ")

    @property
    def step(self) -> float:
        if self.whole:
            return 1
        return 0.01 if self.high is None or self.high - (self.low or 0) <= 10 else 0.1


class Problem(ConfigError):
    """A value that a model refuses. `field` is the dotted name of the field, "" where it is about all of them."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


def controls_of(model: type[BaseModel], prefix: str = "") -> list[Control]:
    """Return a control for each field of a model; a field that is a model itself gives the controls of its fields."""
    made = []
    for name, info in model.model_fields.items():
        kind, _ = bare_type(_annotation(info))
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            made += controls_of(kind, f"{prefix}{name}.")
            continue
        default = None if info.is_required() else _plain(info.get_default(call_default_factory=True))
        text = " ".join((info.description or "").split())
        made.append(_control(f"{prefix}{name}", _annotation(info), text, default))
    return made


def grouped(controls: Sequence[Control]) -> list[tuple[str, list[Control]]]:
    """Return the controls by section, in the order of GROUPS."""
    left = list(controls)
    sections = []
    for title, names in GROUPS:
        found = [control for name in names for control in left if control.name.split(".")[0] == name]
        left = [control for control in left if control not in found]
        sections.append((title, found))
    return [*sections, *([("More", left)] if left else [])]


def value_of(recipe: BaseModel, name: str) -> Any:
    """Return the plain value of a field by its dotted name."""
    value: Any = recipe
    for part in name.split("."):
        value = getattr(value, part)
    return _plain(value)


def with_value(given: Mapping[str, Any], recipe: BaseModel, name: str, value: Any) -> dict[str, Any]:
    """Return the given values with another value of a field. A group of fields, such as effects, is spelled out."""
    first, _, rest = name.partition(".")
    if not rest:
        return {**given, first: value}
    group = getattr(recipe, first)
    inner = given.get(first)
    if not isinstance(inner, Mapping):
        inner = group.model_dump(mode="json", exclude_defaults=True)
    return {**given, first: with_value(inner, group, rest, value)}


def given_of(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Return the plain values of the fields that were given to a recipe; paths are relative to `folder`."""
    values = recipe_to_dict(recipe, folder)
    given = {name: values[name] for name in Recipe.model_fields if name in recipe.model_fields_set}
    if "effects" in given:
        given["effects"] = recipe.effects.model_dump(mode="json", exclude_defaults=True)
    return given


def parse_recipe(given: Mapping[str, Any], folder: Path) -> Recipe:
    """Return the recipe of given values, exactly as the command line makes it. Raises Problem naming the field."""
    fields: list[str] = []

    def note(field: str) -> str:
        fields.append(field)
        return field

    try:
        return recipe_from_dict(given, "the form", folder, name_field=note)
    except Problem:
        raise
    except ConfigError as error:
        named = [
            field for field in fields if f"Invalid {field}: " in str(error) or f"Invalid {field} field" in str(error)
        ]
        raise Problem(str(error), named[0] if named else "") from None


def yaml_of(recipe: Recipe, folder: Path) -> str:
    """Return the recipe as the YAML of a file in `folder`: the given fields. `load_recipe` reads an equal one."""
    return yaml.safe_dump(given_of(recipe, folder), sort_keys=False, allow_unicode=True, default_flow_style=None)


def as_text(control: Control, value: Any) -> str:
    """Return a value as it is typed: names and ranges as a, b; tables and other values as YAML, a line each."""
    if value is None:
        return ""
    if control.kind in ("names", "range", "pair"):
        return ", ".join(part if isinstance(part, str) else f"{part:.10g}" for part in value)
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        lines = [f"{_flow(key)}: {_flow(inner)}" for key, inner in value.items()]
        return "\n".join(lines)
    return _flow(value)


def from_text(control: Control, text: str) -> Any:
    """Return the plain value of typed text; empty text unsets a field. Raises Problem if it is not valid YAML."""
    text = text.strip()
    if control.kind == "names":
        return [name.strip() for name in text.split(",") if name.strip()]
    if not text:
        return {} if control.kind == "table" else None
    if control.kind == "text":
        return text
    if control.kind in ("range", "pair"):
        parts = [_number(part) for part in re.split(r"[\s,x]+", text.strip("[]() "))]
        return parts * control.count if len(parts) == 1 else parts
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())[:200]
        raise Problem(
            f"Invalid {control.name}: got {text[:60]!r}; must be valid YAML ({reason})", control.name
        ) from None
    return value


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _flow(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()


def _annotation(info: FieldInfo) -> Any:
    return Annotated[(info.annotation, "", *info.metadata)]


def _optional(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return _optional(get_args(annotation)[0])
    return type(None) in get_args(annotation)


def _control(name: str, annotation: Any, text: str, default: Any) -> Control:
    kind, limits = bare_type(annotation)
    origin, inner = get_origin(kind), get_args(kind)
    optional = _optional(annotation)

    def make(what: ControlKind, **more: Any) -> Control:
        return Control(name, what, text, default, optional=optional, **more)

    if kind is bool:
        return make("switch")
    if origin is Literal:
        return make("choice", choices=inner)
    if kind in (int, float):
        return make("whole" if kind is int else "number", whole=kind is int, **_ends(limits, whole=kind is int))
    if origin is tuple and Ellipsis in inner:
        choices = get_args(bare_type(inner[0])[0]) if get_origin(bare_type(inner[0])[0]) is Literal else ()
        return make("names", choices=choices)
    if origin is tuple:
        part, part_limits = bare_type(inner[0])
        ends = _ends(part_limits, whole=part is int)
        ascending = len(inner) == 2 and any(getattr(limit, "func", None) is not None for limit in limits)
        return make("range" if ascending else "pair", whole=part is int, count=len(inner), **ends)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key, _ = bare_type(inner[0])
        of = _control(name, inner[1], "", None)
        if get_origin(key) is Literal:
            return make("shares", choices=get_args(key), low=of.low, high=of.high)
        return make("table", of=of)
    return make("text")


def _ends(limits: Sequence[Any], *, whole: bool) -> dict[str, float | None]:
    ends: dict[str, float | None] = {"low": None, "high": None}
    for limit in limits:
        for attribute, end, inward in (("ge", "low", 0), ("gt", "low", 1), ("le", "high", 0), ("lt", "high", -1)):
            value = getattr(limit, attribute, None)
            if value is not None:
                ends[end] = value + inward if whole else value
    return ends


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value
