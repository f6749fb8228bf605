"""Relief maps of cut-outs: how far behind its contact each pixel of an object lies."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qumade.io.pictures import MAX_PIXELS, UnusablePicture

__all__ = ["read_relief"]

_ZERO, _LEVELS_A_METRE = 32768, 1024


def read_relief(path: Path, size: tuple[int, int]) -> NDArray[np.float32]:
    """Signed metres along the view axis from the contact, positive farther, float32 [H, W]; 0 outside the object.

    16-bit PNG of `size` (width, height), that of the cut-out's file: 32768 + 1024 x metres, 0 outside. Raises
    UnusablePicture for anything else.
    """
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            if picture.size != size or picture.width * picture.height > MAX_PIXELS:
                got, allowed = f"{picture.width}x{picture.height} pixels", f"be {size[0]}x{size[1]} as its cut-out"
                raise UnusablePicture(path, "relief", got, allowed, what="relief map")
            if not picture.mode.startswith("I"):
                got = f"a PNG of mode {picture.mode}"
                raise UnusablePicture(path, "relief", got, "be 16-bit grey", what="relief map")
            codes = np.asarray(picture).astype(np.float32)
    except UnusablePicture:
        raise
    except Exception as error:  # a hostile file may raise anything
        got = f"{type(error).__name__} ({' '.join(str(error).split())})"
        raise UnusablePicture(path, "relief", got, "be a PNG", what="relief map") from None
    relief = (codes - np.float32(_ZERO)) / np.float32(_LEVELS_A_METRE)
    return np.where(codes == 0, np.float32(0.0), relief).astype(np.float32)
