"""Optional packages: report how to install the one that is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from qumade.errors import QumadeError

__all__ = ["needs"]


@contextmanager
def needs(
    extra: Literal["teachers", "onnx", "explain", "imports", "studio", "video"], what: str = "the teacher"
) -> Iterator[None]:
    """Wrap the imports of optional packages that `what` needs.

    Raises QumadeError with the command that installs the extra if a package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise QumadeError(
            f"Invalid installation: got no package {error.name}, which {what} needs; install it with: "
            f"pip install 'qumade[{extra}]'"
        ) from error
