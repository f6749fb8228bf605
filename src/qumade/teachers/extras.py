"""Packages that only teachers need: where one is missing, the line that says how to install it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from qumade.errors import QumadeError

__all__ = ["needs"]


@contextmanager
def needs(extra: Literal["teachers", "onnx"]) -> Iterator[None]:
    """Around imports of packages of an extra. Raises QumadeError, with the command that installs it, without them."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise QumadeError(
            f"Invalid installation: got no package {error.name}, which the teacher needs; install it with: "
            f"pip install 'qumade[{extra}]'"
        ) from error
