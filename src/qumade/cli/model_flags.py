"""Command-line flags from the fields of a pydantic model, which is the only source of names, choices, help and
defaults."""

import re
import types
from collections.abc import Collection, Mapping
from dataclasses import field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from cyclopts import Parameter
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from qumade.errors import ConfigError
from qumade.io.config import parse_model, read_yaml

__all__ = ["flag_of", "flag_values", "flags_of"]


def flag_of(name: str) -> str:
    """Return the flag of a field, or of a part of its value: --per-pair for per_pair, --size for size.0, and `shadow of
    --effects` for effects.shadow."""
    field, *parts = name.split(".")
    named = ".".join(part for part in parts if not part.isdecimal())
    flag = f"--{field.replace('_', '-')}"
    return f"{named} of {flag}" if named else flag


def flags_of(model: type[BaseModel], title: str, *, without: Collection[str] = ()) -> Any:
    """Return a dataclass for the signature of a command, with an optional flag per field of the model. None means that
    a flag was not given.

    The command line converts numbers, switches, choices and paths. All other flags are text as in the YAML file, with
    the shorthands of `flag_values`. `title` is the heading of the flags in --help.
    """
    made = []
    for name, info in model.model_fields.items():
        if name not in without:
            # Cyclopts parses the flags, the model validates the values.
            parameter = Parameter(name=flag_of(name), help=_help(info), group=title)
            made.append((name, Annotated[_flag_type(info) | None, parameter], field(default=None)))
    flags = make_dataclass(f"{model.__name__}Flags", made, frozen=True)
    flags.__module__ = __name__  # cyclopts treats classes of the standard library as single values
    return Parameter(name="*")(flags)


def flag_values(flags: Any, model: type[BaseModel]) -> dict[str, Any]:
    """Return the given fields with values as in a YAML file.

    Shorthands: a pair of numbers as LOW,HIGH or WIDTHxHEIGHT, or one number for both; names as A,B; `none` for a field
    that may be unset; a preset or a YAML file for a group of fields. Raises QumadeError naming the flag if
    its text is not valid YAML, and naming the file if it holds a wrong value.
    """
    values = {}
    for name in (one.name for one in fields(flags)):
        value = getattr(flags, name)
        if value is not None:
            info = model.model_fields[name]
            values[name] = _value(name, value, info) if isinstance(value, str) else value
    return values


def _help(info: FieldInfo) -> str:
    text = " ".join((info.description or "").split())
    default = info.get_default(call_default_factory=True)
    unsaid = default is None or isinstance(default, BaseModel) or (isinstance(default, Mapping | tuple) and not default)
    if info.is_required() or unsaid:
        return text
    return f"{text} [default: {_shown(default)}]"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return _shown(value["default"]) if set(value) == {"default"} else str(dict(value))
    if isinstance(value, tuple):
        return ",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _flag_type(info: FieldInfo) -> Any:
    """Return the type that cyclopts parses: bool, int, float, Path or choices if the field is one of these; or str."""
    kinds, optional = _kinds(info.annotation)
    if optional and info.default is not None:
        return str  # "none" unsets it
    if len(kinds) == 1:
        (kind,) = kinds
        if kind in (bool, int, float, Path) or get_origin(kind) is Literal:
            return kind
    return str


def _kinds(annotation: Any) -> tuple[list[Any], bool]:
    """Return the alternatives of a type without their constraints, and whether None is one of them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kinds(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        found, optional = [], False
        for part in get_args(annotation):
            kinds, none = _kinds(part)
            found += kinds
            optional |= none
        return found, optional
    if annotation is type(None):
        return [], True
    return [annotation], False


def _value(name: str, text: str, info: FieldInfo) -> Any:
    kinds, optional = _kinds(info.annotation)
    if optional and text == "none":
        return None
    if set(kinds) == {Path, str}:  # a path or a URL
        return text
    if text.lstrip().startswith(("{", "[")):
        return _yaml(name, text)
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return text if re.fullmatch(r"\w+", text) else _from_file(name, Path(text).absolute(), kind)
    tables = [kind for kind in kinds if _origin(kind) is Mapping]
    if tables:  # one value for all files
        kinds, _ = _kinds(get_args(tables[0])[1])
    for kind in kinds:
        if get_origin(kind) is tuple and Ellipsis in get_args(kind):
            return [part for part in text.split(",") if part]
        if get_origin(kind) is tuple:
            parts = [_scalar(part) for part in re.split(r"[,xX]", text)]
            return parts * len(get_args(kind)) if len(parts) == 1 else parts
    if any(kind in (int, float) for kind in kinds):
        return _scalar(text)
    return text


def _from_file(name: str, path: Path, model: type[BaseModel]) -> Any:
    """Return the fields of a group in a file. They are validated here, where the messages can name the file."""
    values = read_yaml(path, name)
    parse_model(model, values, str(path), what=name)
    return values


def _origin(kind: Any) -> Any:
    origin = get_origin(kind)
    return Mapping if isinstance(origin, type) and issubclass(origin, Mapping) else origin


def _scalar(text: str) -> Any:
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _yaml(name: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"Invalid {flag_of(name)}: got {text!r}; must be valid YAML ({reason})") from None
