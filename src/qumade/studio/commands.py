"""The commands that the panel Run puts together: arguments of `qumade`, as a person would type them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qumade.studio.controls import Problem

__all__ = ["COMMANDS", "Command", "Part", "arguments_of"]


@dataclass(frozen=True)
class Part:
    """One value of a command. `flag` is "" for a value by position. `kind`: path of something that exists, out of what
    is written, number or text. `opens` is what an existing path must be."""

    name: str
    flag: str
    kind: Literal["path", "out", "number", "text"]
    help: str
    opens: Literal["recipe", "dataset", "run", "folder"] | None = None
    default: str = ""
    required: bool = False


@dataclass(frozen=True)
class Command:
    """One verb of `qumade` with the values that are asked for; `further` flags can be typed."""

    title: str
    parts: tuple[Part, ...]


COMMANDS: Mapping[str, Command] = {
    "generate": Command(
        "Generate a dataset",
        (
            Part("recipe", "--recipe", "path", "The recipe", "recipe", required=True),
            Part("out", "--out", "out", "Folder of the new dataset", default="dataset", required=True),
            Part("samples", "--limit", "number", "Number of samples; all if empty", default="1000"),
        ),
    ),
    "train": Command(
        "Train a network",
        (
            Part("dataset", "", "path", "The dataset", "dataset", required=True),
            Part("out", "--out", "out", "Folder of the new run", default="run", required=True),
            Part("minutes", "--minutes", "number", "How long it trains; 20 epochs if empty", default="10"),
        ),
    ),
    "evaluate": Command(
        "Evaluate a network",
        (
            Part("run", "", "path", "The run", "run", required=True),
            Part("dataset", "", "path", "The dataset", "dataset", required=True),
            Part("out", "--out", "out", "Folder of the evaluation", default="evaluation", required=True),
            Part("samples", "--limit", "number", "Number of samples; all if empty"),
        ),
    ),
    "compare": Command(
        "Compare two networks",
        (
            Part("run A", "", "path", "The first run", "run", required=True),
            Part("run B", "", "path", "The second run", "run", required=True),
            Part("dataset", "--on", "path", "The dataset on which they are compared", "dataset", required=True),
            Part("out", "--out", "out", "Folder of the comparison", default="comparison", required=True),
            Part("samples", "--limit", "number", "Number of samples; all if empty"),
        ),
    ),
    "adapt": Command(
        "Adapt a network to photos",
        (
            Part("run", "", "path", "The run", "run", required=True),
            Part(
                "photos",
                "",
                "path",
                "Folder of photos of the place, without labels; fifty or more",
                "folder",
                required=True,
            ),
            Part("out", "--out", "out", "Folder of the adapted run", default="adapted", required=True),
        ),
    ),
}


def arguments_of(verb: str, values: Mapping[str, str], folder: Path) -> tuple[list[str], Path]:
    """Return the arguments of `qumade` for typed values, and what it writes. Relative paths start at `folder`.

    Raises Problem naming the part that is missing or wrong.
    """
    arguments, out = [verb], folder
    for part in COMMANDS[verb].parts:
        text = values.get(part.name, "").strip()
        if not text:
            if part.required:
                raise Problem(f"Invalid {part.name}: got nothing; must be given", part.name)
            continue
        if part.kind in ("path", "out"):
            path = (folder / Path(text).expanduser()).absolute()
            if part.kind == "path" and not path.exists():
                raise Problem(f"Invalid {part.name}: got nothing at {path}; must be a {part.opens}", part.name)
            out = path if part.kind == "out" else out
            text = str(path)
        elif part.kind == "number" and not _is_number(text):
            raise Problem(f"Invalid {part.name}: got {text[:40]!r}; must be a number above 0", part.name)
        arguments += [f"{part.flag}={text}"] if part.flag else [text]
    return arguments, out


def _is_number(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False
