"""QuMaDe: datasets of image, mask and depth composed from background photos and cut-outs."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("qumade")
