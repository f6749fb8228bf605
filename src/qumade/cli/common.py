"""Helpers of all verbs: convert flags to values, and print results."""

import json
import sys
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from qumade.errors import ConfigError

if TYPE_CHECKING:
    from qumade.synth.synthesizer import Synthesizer

__all__ = [
    "Json",
    "Switch",
    "escaped",
    "finish",
    "model",
    "recipe_fields",
    "refuse_all_but_png",
    "report_findings",
    "require_workers",
    "say",
    "show",
]

Json = Annotated[bool, Parameter(negative="")]
Switch = Annotated[bool | None, Parameter()]


def say(text: object) -> None:
    print(escaped(str(text)), file=sys.stderr, flush=True)


def show(text: object) -> None:
    print(escaped(str(text)))


def escaped(text: str, *, one_line: bool = False) -> str:
    """Return text that no terminal obeys: names of files and classes may hold control characters. Line breaks stay,
    unless it is to be `one_line`."""
    if text.isprintable():
        return text
    kept = "" if one_line else "\n"
    return "".join(
        each if each.isprintable() or each in kept else each.encode("unicode_escape").decode() for each in text
    )


def require_workers(workers: int | None) -> None:
    if workers is not None and workers < 1:
        raise ConfigError(f"Invalid --workers: got {workers}; must be at least 1")


def finish(as_json: bool, result: Any, text: str) -> None:
    """Print the text of a result; `as_json` prints one JSON object on stdout, and the text on stderr."""
    if not as_json:
        show(text)
        return
    say(text)
    values = asdict(result) if is_dataclass(result) and not isinstance(result, type) else result
    print(json.dumps(values, default=str, allow_nan=False))


def report_findings(synthesizer: "Synthesizer") -> None:
    """Print how many backgrounds and cut-outs are used, and errors and warnings, few lines for each reason."""
    from qumade.assets.findings_text import left_out_line, short_findings
    from qumade.assets.scan import LEFT_OUT

    findings, catalog = synthesizer.findings, synthesizer.catalog
    originals = [foreground for foreground in catalog.foregrounds if not foreground.flip]
    left_out = [replace(found, severity="warning") for found in findings if found.reason == LEFT_OUT]
    for line in short_findings([*(found for found in findings if found.severity != "info"), *left_out]):
        say(line)
    lines = [
        left_out_line("background", len(catalog.backgrounds), findings),
        left_out_line("foreground", len(originals), findings),
    ]
    for line in filter(None, lines):
        say(f"{line}; `qumade check` names them")


def model(text: str) -> str | Path:
    """Return a network given on the command line: a path for a folder or an .onnx file, otherwise a name."""
    return Path(text).absolute() if Path(text).is_dir() or text.lower().endswith(".onnx") else text


def refuse_all_but_png(flag: str, path: Path) -> None:
    if path.suffix.lower() != ".png":
        raise ConfigError(f"Invalid {flag}: got {path}; must end in .png")


def recipe_fields(verb: str, file: Path | None, flags: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a recipe file and the flags, which override it. Exits with 2 if no assets are given."""
    from qumade.recipe import load_recipe

    if file is not None:
        return load_recipe(file).model_dump(exclude_unset=True) | flags
    if "backgrounds" not in flags or "foregrounds" not in flags:
        say(f"Error: qumade {verb} needs --backgrounds and --foregrounds, or a --recipe that names them")
        raise SystemExit(2)
    return flags
