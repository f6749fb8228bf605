"""Packages that only some verbs need: where one is missing, the line that says how to install it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from qumade.errors import QumadeError

__all__ = ["needs"]


@contextmanager
def needs(extra: Literal["teachers", "onnx", "explain", "imports"], what: str = "the teacher") -> Iterator[None]:
    """Around imports of packages of an extra that `what` needs. Raises QumadeError, with the command that installs it,
    where one is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise QumadeError(
            f"Invalid installation: got no package {error.name}, which {what} needs; install it with: "
            f"pip install 'qumade[{extra}]'"
        ) from error
