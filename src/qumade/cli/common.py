"""Helpers of all verbs: convert flags to values, and print results."""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from qumade.errors import ConfigError

__all__ = ["Json", "Switch", "finish", "model", "recipe_fields", "refuse_all_but_png", "report_findings", "say"]

Json = Annotated[bool, Parameter(negative="")]
Switch = Annotated[bool | None, Parameter()]


def say(text: object) -> None:
    print(text, file=sys.stderr, flush=True)


def finish(as_json: bool, result: Any, text: str) -> None:
    """Print the text of a result; `as_json` prints one JSON object on stdout, and the text on stderr."""
    if not as_json:
        print(text)
        return
    say(text)
    values = asdict(result) if is_dataclass(result) and not isinstance(result, type) else result
    print(json.dumps(values, default=str, allow_nan=False))


def report_findings(findings: Iterable[Any]) -> None:
    for finding in findings:
        if finding.severity != "info":
            say(finding)
        elif finding.reason == "left-out":
            say(f"warning: {finding.kind}s {finding.path}: {finding.detail}")


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
