"""Optional packages: report how to install the one that is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from qumade.errors import MissingPackage

__all__ = ["TRAIN_PACKAGES", "missing", "needs"]

TRAIN_PACKAGES = ("torch", "torchvision", "timm", "accelerate", "tensorboard", "matplotlib", "safetensors")
"""Packages of the extra `train`, by the names under which they are imported."""


@contextmanager
def needs(
    extra: Literal["train", "teachers", "onnx", "explain", "imports", "studio", "cluster", "video"],
    what: str = "the teacher",
) -> Iterator[None]:
    """Wrap the imports of optional packages that `what` needs.

    Raises MissingPackage with the command that installs the extra if a package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise _absent(error, extra, what) from error


def missing(error: ModuleNotFoundError, what: str) -> MissingPackage | None:
    """Return the error to raise where `what` needs a package of the extra `train`; None for any other module."""
    if (error.name or "").partition(".")[0] not in TRAIN_PACKAGES:
        return None
    return _absent(error, "train", what)


def _absent(error: ModuleNotFoundError, extra: str, what: str) -> MissingPackage:
    return MissingPackage(
        f"Invalid installation: got no package {error.name}, which {what} needs; install it with: "
        f"pip install 'qumade[{extra}]'"
    )
