"""What the verbs share: the app they belong to, how flags become values, and how results are told."""

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from qumade import __version__
from qumade.errors import QumadeError

__all__ = ["Json", "Switch", "app", "finish", "given_fields", "model", "range_of", "report_findings", "say", "size_of"]

app = App(
    name="qumade",
    version=__version__,
    help="Datasets of image, mask and depth, composed from a folder of background photos and a folder of cut-outs.",
    default_parameter=Parameter(negative_iterable=()),
    suppress_keyboard_interrupt=False,  # main says how to go on
)

Json = Annotated[bool, Parameter(negative="")]
Switch = Annotated[bool | None, Parameter()]


def say(text: object) -> None:
    print(text, file=sys.stderr, flush=True)


def finish(as_json: bool, result: Any, text: str) -> None:
    """Prints a result: as one JSON object on stdout, the text then on stderr, else the text."""
    if not as_json:
        print(text)
        return
    say(text)
    values = asdict(result) if is_dataclass(result) and not isinstance(result, type) else result
    print(json.dumps(values, default=str, allow_nan=False))


def size_of(text: str) -> tuple[int, int]:
    """Width and height from "224" or "320x240"."""
    numbers = text.lower().split("x")
    if len(numbers) > 2 or not all(number.isascii() and number.isdigit() for number in numbers):
        raise QumadeError(f"Invalid --size: got {text!r}; must be a side as 224, or width x height as 320x240")
    return int(numbers[0]), int(numbers[-1])


def range_of(flag: str, text: str, number: Callable[[str], Any] = float) -> tuple[Any, Any]:
    """Low and high end from "0.3" or "0.1,0.5"."""
    try:
        ends = [number(part) for part in text.split(",")]
    except ValueError:
        ends = []
    if len(ends) not in (1, 2):
        raise QumadeError(f"Invalid {flag}: got {text!r}; must be a number, or a range as LOW,HIGH")
    return ends[0], ends[-1]


def report_findings(findings: Iterable[Any]) -> None:
    for finding in findings:
        if finding.severity != "info":
            say(finding)


def model(text: str) -> str | Path:
    """A network named on the command line: a path where one is there, for recipes keep paths apart from names."""
    return Path(text).absolute() if Path(text).is_dir() or text.lower().endswith(".onnx") else text


def given_fields(verb: str, recipe: Path | None, flags: dict[str, Any]) -> dict[str, Any]:
    """The fields of a recipe that a file and the flags give; flags win. Leaves with 2 where no assets are named."""
    from qumade.recipe import load_recipe

    given = {name: value for name, value in flags.items() if value is not None}
    if recipe is not None:
        return load_recipe(recipe).model_dump() | given
    if "backgrounds" not in given or "foregrounds" not in given:
        say(f"Error: qumade {verb} needs --backgrounds and --foregrounds, or a --recipe that names them")
        raise SystemExit(2)
    return given
