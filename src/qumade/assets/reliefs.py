"""Read relief maps of cut-outs: the distance of each pixel of an object behind its contact."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qumade.io.decode import read_levels
from qumade.io.pictures import UnusablePicture

__all__ = ["read_relief"]

_ZERO, _LEVELS_A_METRE = 32768, 1024


def read_relief(path: Path, size: tuple[int, int]) -> NDArray[np.float32]:
    """Reads signed metres along the view axis from the contact, float32 [H, W]: positive farther, 0 outside the object.

    The file is a 16-bit PNG of `size` (width, height), the size of the cut-out's file: 32768 + 1024 x metres, 0
    outside. Raises UnusablePicture for anything else.
    """
    try:
        codes = read_levels(path)
    except UnusablePicture as error:
        raise _unusable(path, error.got, error.allowed) from error
    if codes.dtype != np.uint16:
        raise _unusable(path, "an 8-bit PNG", "be 16-bit grey")
    if codes.shape[::-1] != size:
        got = f"{codes.shape[1]}x{codes.shape[0]} pixels"
        raise _unusable(path, got, f"be {size[0]}x{size[1]} like its cut-out")
    relief = (codes.astype(np.float32) - np.float32(_ZERO)) / np.float32(_LEVELS_A_METRE)
    return np.where(codes == 0, np.float32(0.0), relief).astype(np.float32)


def _unusable(path: Path, got: str, allowed: str) -> UnusablePicture:
    return UnusablePicture(path, "relief", got, allowed, "relief map")
