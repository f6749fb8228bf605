"""Writes the tables in docs/ that come from the code: fields of the recipe and the training config, the command line.

`python tools/docs_tables.py` rewrites the text between the marks; with `--check` it changes nothing and exits 1 where a
page is out of date.
"""

import inspect
import json
import sys
import types
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt
from cyclopts import App
from cyclopts.argument import Argument
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from qumade.cli.app import make_app
from qumade.cli.model_flags import flag_of
from qumade.data.augmentation import Augmentation
from qumade.effects import Effects
from qumade.recipe import Recipe
from qumade.training.config import ExtraDataset, TrainConfig, UnlabelledPhotos

DOCS = Path(__file__).resolve().parents[1] / "docs"
# Groups of flags, each with the model of their fields, its page, and a field as an example.
FIELD_PAGES: dict[str, tuple[type[BaseModel], str, str]] = {
    "Recipe fields": (Recipe, "recipe.md", "per_pair"),
    "Training fields": (TrainConfig, "train-config.md", "batch_size"),
}
WORDS = {Path: "path", str: "string", bool: "true or false", int: "integer", float: "number"}


def field_table(model: type[BaseModel]) -> str:
    """A Markdown table of a model's fields: name, type in words, default, docstring."""
    hints = get_type_hints(model, include_extras=True)
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        meaning = " ".join((field.description or "").split())
        if not meaning:
            raise SystemExit(f"Invalid field: {model.__name__}.{name} has no docstring; every field must have one")
        rows.append(f"| `{name}` | {_escaped(in_words(hints[name]))} | {_default(field)} | {_escaped(meaning)} |")
    return "\n".join(rows)


def in_words(annotation: Any) -> str:
    """A type as the reader of a config sees it: `pair of integers (16 to 8192)`."""
    *first, last = _options(annotation)
    return f"{', '.join(first)} or {last}" if first else last


def _options(annotation: Any) -> list[str]:
    """The alternatives that a type allows; None is not named, for it is what leaving the field out means."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return [words + _bounds(words, arguments[1:]) for words in _options(arguments[0])]
    if origin is Literal:
        return [f"`{value}`" for value in arguments]
    if origin in (Union, types.UnionType) and arguments == (Path, str):
        return ["path", "URL"]
    if origin in (Union, types.UnionType):
        return [words for option in arguments if option is not type(None) for words in _options(option)]
    if origin is tuple and arguments[-1] is not Ellipsis:
        count = "pair of" if len(arguments) == 2 else str(len(arguments))
        return [f"{count} {_plural(in_words(arguments[0]))}"]
    if origin in (tuple, list):
        return [f"list of {_plural(in_words(arguments[0]))}"]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return [f"table: {in_words(arguments[1])}"]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [f"[{annotation.__name__}](#{annotation.__name__.lower()})"]
    return [WORDS[annotation]]


def _plural(words: str) -> str:
    noun, space, bounds = words.partition(" ")
    return (f"{noun}s" if noun in WORDS.values() else noun) + space + bounds


def _bounds(words: str, metadata: tuple[Any, ...]) -> str:
    """The limits of a number in words, or nothing."""
    limits = {type(limit): limit for part in metadata if isinstance(part, FieldInfo) for limit in part.metadata}
    low, high = limits.get(Ge), limits.get(Le)
    if low and high:
        return f" ({low.ge:g} to {high.le:.10g})"
    parts = [f"at least {low.ge:g}"] if low else []
    parts += [f"above {limits[Gt].gt:g}"] if Gt in limits else []
    parts += [f"at most {high.le:g}"] if high else []
    # The largest integer of a machine is no limit that anybody meets.
    parts += [f"below {limits[Lt].lt:g}"] if Lt in limits and words == "number" else []
    return f" ({', '.join(parts)})" if parts else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return f"[its defaults](#{type(value).__name__.lower()})"
    return _value(value)


def _value(value: Any) -> str:
    if value is None:
        return "-"
    value = list(value) if isinstance(value, tuple) else value
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def commands(root: App) -> str:
    """Every verb with its first lines of help, and a table of its arguments and flags with their defaults."""
    return "\n\n".join(_command(root, name) for name in root if not name.startswith("-"))


def _command(root: App, name: str) -> str:
    verb = root[name]
    text, _, _ = inspect.cleandoc(verb.help).partition("\nParameters\n---")
    parts = [f"## {name}", text.replace("<", "&lt;").strip()]
    rows = ["| argument | values | default | meaning |", "|---|---|---|---|"]
    arguments = verb.assemble_argument_collection(default_parameter=root.default_parameter, parse_docstring=True)
    field_groups = set()
    for argument in arguments:
        if not argument.show:
            continue
        groups = {group.name for group in argument.parameter.group} & FIELD_PAGES.keys()
        field_groups |= groups
        if groups:
            continue
        names = ", ".join(f"`{flag}`" for flag in argument.names)
        values = in_words(argument.hint)
        values = "switch" if values == WORDS[bool] else values
        meaning = " ".join((argument.parameter.help or "").split())
        rows.append(f"| {names} | {_escaped(values)} | {_argument_default(argument)} | {_escaped(meaning)} |")
    flags = {flag for argument in arguments for flag in argument.names}
    return "\n\n".join([*parts, "\n".join(rows), *(_fields_as_flags(group, flags) for group in sorted(field_groups))])


def _argument_default(argument: Argument) -> str:
    value = argument.field_info.default
    if argument.required or value is argument.field_info.empty:  # of *names, too, every verb needs at least one
        return "required"
    if isinstance(value, bool):
        return "on" if value else "off"
    if value == ():
        return "-"
    return _value(str(value) if isinstance(value, Path) else value)


def _fields_as_flags(group: str, flags: Set[str]) -> str:
    """The sentence on the flags that a verb has for the fields of a model."""
    model, page, example = FIELD_PAGES[group]
    *first, last = [f"`{name}`" for name in model.model_fields if flag_of(name) not in flags] or [""]
    without = f" but {', '.join(first)} and {last}" if first else f" but {last}" if last else ""
    return f"Every [field]({page}){without} is a flag too, as `{flag_of(example)}` of `{example}`."


def blocks() -> dict[tuple[str, str], str]:
    """The text of each generated block, by page and name of the block."""
    return {
        ("recipe.md", "recipe"): field_table(Recipe),
        ("recipe.md", "effects"): field_table(Effects),
        ("train-config.md", "config"): field_table(TrainConfig),
        ("train-config.md", "extra_datasets"): field_table(ExtraDataset),
        ("train-config.md", "unlabelled"): field_table(UnlabelledPhotos),
        ("train-config.md", "augmentation"): field_table(Augmentation),
        ("command-line.md", "commands"): commands(make_app()),
    }


def with_block(page: str, name: str, text: str) -> str:
    """The page with what lies between the marks of a block replaced."""
    start, end = f"<!-- generated by tools/docs_tables.py: {name} -->\n", f"\n<!-- end: {name} -->"
    head, found, rest = page.partition(start)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"Invalid page: it must have the marks {start.strip()} and {end.strip()}")
    return f"{head}{start}\n{text}\n{end}{tail}"


def main(*, check: bool) -> int:
    """Write the pages, or name those that are out of date. Returns the exit status."""
    stale = []
    pages = {name: (DOCS / name).read_text("utf-8") for name, _ in blocks()}
    for name in pages:
        new = pages[name]
        for (page, block), text in blocks().items():
            new = with_block(new, block, text) if page == name else new
        if new != pages[name]:
            stale.append(name)
            if not check:
                (DOCS / name).write_text(new, "utf-8")
    for name in stale:
        print(f"{DOCS / name} {'is out of date; run python tools/docs_tables.py' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
