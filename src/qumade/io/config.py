"""YAML files and frozen pydantic models: read, validate, save, and report a wrong value.

Every message is one line: "Invalid FIELD: got V in SOURCE; must be ...". The words after "must be" come from the type
and the limits of the field, so a model states them once. A validator of a field raises ValueError with a text that
completes "must be"; a validator of several fields raises `wrong_field`.
"""

import difflib
import os
import reprlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    PlainSerializer,
    SerializationInfo,
    ValidationError,
    ValidationInfo,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from qumade.errors import ConfigError
from qumade.io.files import read_bytes, write_bytes
from qumade.io.storage import is_url

__all__ = [
    "DATASET_BYTES",
    "Ascending",
    "DatasetLocation",
    "RelativePath",
    "bare_type",
    "parse_model",
    "parse_yaml",
    "plain_values",
    "read_yaml",
    "shown",
    "write_yaml",
    "wrong_field",
]

DATASET_BYTES = 1 << 28
"""The most that a dataset.yaml may hold: it names every asset."""

_FOLDER = "folder"  # the key of the pydantic context under which the file's folder is
_NUMBERS = {2: "two", 3: "three", 4: "four"}
_ENDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}

Model = TypeVar("Model", bound=BaseModel)


def _resolved(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str | os.PathLike):
        return value
    if is_url(os.fspath(value)):
        raise ValueError("a path on this machine, not a URL")
    # os.path.expanduser leaves alone users that do not exist, and "./~name"; Path.expanduser does not.
    expanded = os.path.expanduser(os.fspath(value))  # noqa: PTH111
    return Path(os.path.abspath(Path((info.context or {}).get(_FOLDER, "")) / expanded))


def _location(value: Any, info: ValidationInfo) -> Any:
    return value if is_url(value) else _resolved(value, info)


def _relative(value: Any, info: SerializationInfo) -> Any:
    folder = (info.context or {}).get(_FOLDER)
    if not isinstance(value, Path) or folder is None:
        return str(value)
    try:
        relative = Path(os.path.relpath(value, folder)).as_posix()
    except ValueError:  # another drive
        return value.as_posix()
    return f"./{relative}" if relative.startswith("~") else relative  # "~name" would be somebody's home


RelativePath = Annotated[Path, BeforeValidator(_resolved), PlainSerializer(_relative, when_used="json")]
"""A path that is absolute in the model and, in a file, relative to the file's folder."""


DatasetLocation = Annotated[Path | str, BeforeValidator(_location), PlainSerializer(_relative, when_used="json")]
"""A RelativePath, or a URL such as s3://bucket/name."""


def _ascending(ends: tuple[Any, Any]) -> tuple[Any, Any]:
    if ends[0] > ends[1]:
        raise ValueError("a low and a high end, in this order")
    return ends


Ascending = AfterValidator(_ascending)
"""For a range (low, high): refuses a low end above the high end."""


def wrong_field(field: str, must_be: str) -> PydanticCustomError:
    """Return the error that a validator of a whole model raises about one field; `must_be` completes "must be"."""
    return PydanticCustomError("wrong_field", "{field} must be {must_be}", {"field": field, "must_be": must_be})


def shown(value: object) -> str:
    """Return a value as one short line. YAML aliases can make a value of a few bytes print as gigabytes."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother = 2, 100, 100
    return " ".join(short.repr(value).split())[:200]


def read_yaml(path: Path, what: str, *, at_most: int = 1 << 20) -> object:
    """Return the parsed YAML of a file; tags construct plain values only. `what` names the kind of file in messages.

    Raises ConfigError if the file cannot be read, is larger than `at_most` bytes, is not valid YAML or repeats a key.
    """
    path = path.absolute()
    return parse_yaml(read_bytes(path, at_most, ConfigError), what, str(path))


def parse_yaml(data: bytes, what: str, path: str) -> object:
    """Return the parsed content of a YAML file, see `read_yaml`; `path` names it in messages."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"Invalid {what}: cannot read {path}: it is not UTF-8 text") from error
    try:
        try:
            return yaml.load(text, _FastLoader)
        except yaml.YAMLError:  # libyaml refuses names with undecodable bytes, PyYAML reads them
            return yaml.load(text, _Loader)
    except Exception as error:  # YAMLError, and ValueError for impossible dates and numbers of 5000 digits
        said = " ".join(str(error).split())[:300]
        raise ConfigError(f"Invalid {what}: {path} is not valid YAML: {said}") from error


def write_yaml(values: Mapping[str, Any], path: Path) -> None:
    """Write plain values that `read_yaml` reads back unchanged. Raises QumadeError if the file cannot be written."""
    write_bytes(path, yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True).encode())


def plain_values(model: BaseModel, folder: Path | None) -> dict[str, Any]:
    """Return values for YAML, with every field; paths are relative to `folder`, where the file will be, or absolute
    without one."""
    return model.model_dump(mode="json", context={_FOLDER: folder})


def parse_model(
    model: type[Model],
    values: object,
    source: str,
    *,
    what: str,
    folder: Path | None = None,
    name_field: Callable[[str], str] = str,
) -> Model:
    """Validate plain values, from YAML or from flags, and return the model.

    Messages name the `source`, such as "/a/recipe.yaml" or "the command line", and `what` it holds, such as "recipe".
    `name_field` turns the dotted name of a field into the name that the user knows, such as "--per-pair". Relative
    paths start at `folder`, by default the working directory. Raises ConfigError.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"Invalid {what}: got {shown(values)} in {source}; must be a mapping of fields")
    try:
        return model.model_validate(dict(values), context={_FOLDER: folder or Path.cwd()})
    except ValidationError as error:
        problems = error.errors(include_url=False)
    # Report a misspelt name first: the other errors may follow from it.
    unknown = [problem for problem in problems if problem["type"] in ("extra_forbidden", "invalid_key")]
    if unknown:
        raise ConfigError(_unknown_field(model, unknown[0]["loc"], source, what, name_field))
    places = [_locate(model, values, problem) for problem in problems]
    message = _wrong_value(problems[0], places[0], source, what, name_field)
    more = len({names for names, _, _ in places}) - 1
    raise ConfigError(f"{message} (and {more} more)" if more else message)


def _unknown_field(
    model: type[BaseModel], loc: tuple[int | str, ...], source: str, what: str, name_field: Callable[[str], str]
) -> str:
    owner: Any = model
    for part in loc[:-1]:
        owner = _step(owner, part)
    owner = bare_type(owner)[0]
    known = list(owner.model_fields)
    near = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
    inner = len(loc) > 1
    where, name = (name_field(_dotted(loc[:-1])), str) if inner else (what, name_field)
    hint = f"did you mean {name(near[0])!r}?" if near else f"must be one of: {', '.join(map(name, known))}"
    return f"Invalid {where} field: got {shown(loc[-1])} in {source}; {hint}"


_Place = tuple[tuple[int | str, ...], Any, Any]  # names of a value as its user wrote them, the value, its annotation
_NOTHING = object()


def _locate(model: type[BaseModel], values: Mapping[Any, Any], problem: Any) -> _Place:
    """Find the value that an error is about. Locations of pydantic also hold keys that a validator inserted and the
    names of union members."""
    loc: tuple[int | str, ...] = problem["loc"]
    if problem["type"] == "wrong_field":
        loc = (*loc, problem["ctx"]["field"])
    elif problem["type"] == "missing" and loc and isinstance(loc[-1], int):
        loc = loc[:-1]  # a list is too short
    elif loc and loc[-1] == "[key]":
        loc = loc[:-2]
    names: list[int | str] = []
    value: Any = values
    annotation: Any = model
    for part in loc:
        inner = _step(annotation, part)
        if inner is None:
            break
        annotation = inner
        if _holds(value, part):
            names.append(part)
            value = value[part]
        elif part == loc[-1] and problem["type"] in ("missing", "wrong_field"):
            names.append(part)
            value = _NOTHING
    return tuple(names), value, annotation


def _wrong_value(problem: Any, place: _Place, source: str, what: str, name_field: Callable[[str], str]) -> str:
    names, value, annotation = place
    got = "nothing" if value is _NOTHING else shown(value)
    kind = problem["type"]
    if kind == "wrong_field":
        must_be = problem["ctx"]["must_be"]
    elif kind == "value_error":
        must_be = str(problem["ctx"]["error"])
    elif kind == "missing" and value is _NOTHING:
        must_be = "given"
    elif problem["loc"] and problem["loc"][-1] == "[key]":
        got = shown(problem["input"])
        must_be = _allowed(get_args(bare_type(annotation)[0])[0]) or problem["msg"]
    else:
        must_be = _allowed(annotation, finite=kind == "finite_number") or problem["msg"].removeprefix(
            "Input should be "
        )
    return f"Invalid {name_field(_dotted(names)) if names else what}: got {got} in {source}; must be {must_be}"


def _dotted(names: Sequence[int | str]) -> str:
    return ".".join(str(name) for name in names)


def _holds(value: Any, part: int | str) -> bool:
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, list | tuple) and isinstance(part, int) and part < len(value)


def bare_type(annotation: Any) -> tuple[Any, list[Any]]:
    """Return a type without Annotated and None, and its limits: the metadata of Annotated, such as `Ge(0)`."""
    limits: list[Any] = []
    while True:
        members = _members(annotation)
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            for one in more:
                limits += one.metadata if isinstance(one, FieldInfo) else [one]
        elif len(members) == 1:
            annotation = members[0]
        else:
            return annotation, limits


def _members(annotation: Any) -> list[Any]:
    """Return the members of a union except None; empty for any other type."""
    if get_origin(annotation) not in (Union, UnionType):
        return []
    return [member for member in get_args(annotation) if member is not NoneType]


def _step(annotation: Any, part: int | str) -> Any:
    """Return the type of a part of a value, None if the type has no such part or is a union."""
    kind, _ = bare_type(annotation)
    origin, inner = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        return None if field is None else Annotated[(field.annotation, "", *field.metadata)]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return inner[1]
    if origin in (tuple, list) and isinstance(part, int):
        return inner[0] if origin is list or inner[-1] is Ellipsis else inner[part] if part < len(inner) else None
    return None


def _allowed(annotation: Any, *, finite: bool = False) -> str | None:
    """Describe the allowed values of a type in words that complete "must be"; None for a type without a description."""
    kind, limits = bare_type(annotation)
    origin, inner = get_origin(kind), get_args(kind)
    if members := _members(kind):
        if set(members) == {Path, str}:
            return "a path or a URL"
        parts = [_allowed(member) for member in members]
        return None if None in parts else ", or ".join(str(part) for part in parts)
    if origin is Literal:
        return _either([repr(one) for one in inner])
    if kind is int:
        ends = _ends(limits, whole=True)
        return f"a whole number of {ends}" if ends else "a whole number"
    if kind is float:
        ends = _ends(limits, whole=False)
        if finite:
            return f"finite and {ends}" if ends else "a finite number"
        return ends or "a number"
    if origin in (tuple, list):
        each = [_allowed(one) for one in inner if one is not Ellipsis]
        if origin is list or inner[-1] is Ellipsis:
            least = next((limit.min_length for limit in limits if getattr(limit, "min_length", None)), 0)
            some = f"a list of at least {least}" if least else "a list"
            return "a list of names" if each == ["text"] else f"{some}, each item {each[0]}"
        if len(set(each)) == 1:
            return f"{_NUMBERS.get(len(each), len(each))} values, each {each[0]}"
        return f"a list of {', '.join(map(str, each))}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a mapping, each value {_allowed(inner[1])}"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "a mapping of fields"
    return {bool: "true or false", str: "text", Path: "a path"}.get(kind)


def _ends(limits: Sequence[Any], *, whole: bool) -> str:
    """Describe the limits of a number: "at least 0 and below 1". A whole number has only "at least" and "at most"."""
    ends: dict[str, Any] = {}
    for limit in limits:
        ends |= {name: end for name in _ENDS if (end := getattr(limit, name, None)) is not None}
    if whole and "gt" in ends:
        ends["ge"] = ends.pop("gt") + 1
    if whole and "lt" in ends:
        ends["le"] = ends.pop("lt") - 1
    numbers = {name: f"{end:g}" if isinstance(end, float) else str(end) for name, end in ends.items()}
    return " and ".join(f"{word} {numbers[name]}" for name, word in _ENDS.items() if name in numbers)


def _either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


class _UniqueKeys(yaml.constructor.SafeConstructor):
    """Refuses a key given twice: the second value would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # "<<", which is no key
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):  # others are refused below
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"key {key!r} is given twice", key_node.start_mark
                    )
                seen.add(key)
        return super().construct_mapping(node, deep)


class _FastLoader(_UniqueKeys, yaml.CSafeLoader):
    """Four times as fast, which counts for the dataset.yaml of many assets."""


class _Loader(_UniqueKeys, yaml.SafeLoader):
    """Reads everything that `write_yaml` writes."""
