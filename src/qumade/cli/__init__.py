"""The command line: parse, call, print. Verbs import heavy libraries when they run, so --help is fast."""

import logging
import os
import re
import signal
import sys
import warnings
from io import TextIOWrapper
from types import FrameType
from typing import Any

from cyclopts import CycloptsError

from qumade.cli.app import RESUMING, VERBS, make_app
from qumade.cli.common import escaped, say
from qumade.cli.usage import usage_error
from qumade.errors import QumadeError
from qumade.extras import missing

__all__ = ["main"]


def main() -> None:
    """Run the `qumade` command. Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot say is no reason to fail
    signal.signal(signal.SIGTERM, _interrupt)
    warnings.showwarning = _show_warning
    log = logging.getLogger("qumade")
    log.handlers = [_Stderr()]
    log.setLevel(logging.INFO)
    try:
        code = make_app(sys.argv[1:])(exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        code = 2
        say(escaped(f"Error: {usage_error(error, sys.argv[1])}", one_line=True))
        if example := _example(sys.argv[1:2]):
            say(f"Example: {example}")
    except QumadeError as error:
        say(escaped(f"Error: {error}", one_line=True))
        code = 1
    except ModuleNotFoundError as error:
        absent = missing(error, f"qumade {sys.argv[1]}")
        if absent is None:
            raise
        say(escaped(f"Error: {absent}", one_line=True))
        code = 1
    except OSError as error:
        where = f": {os.path.abspath(error.filename)}" if isinstance(error.filename, str) else ""
        said = f"Error: {error.strerror or error}{where}; the same command {_again()} once this is fixed"
        say(escaped(said, one_line=True))
        code = 1
    except KeyboardInterrupt:
        say(f"Interrupted; the same command {_again()}")
        code = 130
    sys.exit(code or 0)


def _example(verb: list[str]) -> str:
    """Return the example in the docstring of a verb; "" for anything else."""
    from importlib import import_module

    if not verb or verb[0] not in VERBS:
        return ""
    module, _, function = VERBS[verb[0]][0].partition(":")
    text = getattr(import_module(f"qumade.cli.{module}"), function).__doc__ or ""
    found = re.search(r"Example: `(.+?)`", text, re.DOTALL)
    return " ".join(found.group(1).split()) if found else ""


def _again() -> str:
    """Return what the same command does after an interruption."""
    verb = sys.argv[1] if sys.argv[1:] else ""
    if verb == "studio":
        return "opens the page again"
    return "resumes from here" if verb in RESUMING else "starts over"


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class _Stderr(logging.Handler):
    """Shows what the library logs on stderr, one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        text = escaped(record.getMessage(), one_line=True)
        say(text if record.levelno < logging.WARNING else f"Note: {text}")


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    say(escaped(f"Note: {message}", one_line=True))
