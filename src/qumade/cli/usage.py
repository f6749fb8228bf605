"""What is wrong with a command line, in one line."""

from typing import Any, get_args

from cyclopts import CycloptsError
from cyclopts.exceptions import CoercionError, MissingArgumentError, UnusedCliTokensError

__all__ = ["usage_error"]

_KINDS: dict[Any, str] = {int: "an integer", float: "a number"}


def usage_error(error: CycloptsError, verb: str) -> str:
    """Return the error of a command line of `qumade verb` as one line, with what is allowed."""
    name = error.argument.name if isinstance(error, MissingArgumentError | CoercionError) and error.argument else ""
    if isinstance(error, MissingArgumentError) and name:
        return f"qumade {verb} needs {'a value for ' if name.startswith('-') else ''}{name}"
    if isinstance(error, UnusedCliTokensError):
        more = ", ".join(map(repr, error.unused_tokens or ()))
        return f"qumade {verb} has no place for {more}; flags begin with -- (qumade {verb} --help lists them)"
    if isinstance(error, CoercionError) and error.token is not None:
        words = _choices(error.target_type)
        allowed = f"one of {', '.join(words)}" if words else _KINDS.get(error.target_type, "")
        if allowed:
            return f"Invalid {name}: got {error.token.value!r}; must be {allowed}"
    return " ".join(str(error).split())


def _choices(kind: Any) -> list[str]:
    """Return the words that a type allows: those of a Literal, or of a union of them."""
    return [word for each in get_args(kind) for word in ([each] if isinstance(each, str) else _choices(each))]
