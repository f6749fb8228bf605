"""Pictures for the browser: overlays on samples, and a bounded store that serves them by address."""

import hashlib
from collections import OrderedDict
from threading import Lock
from typing import Literal

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from qumade.io.encode import png_bytes
from qumade.viz.sheets import coloured_depth

__all__ = ["OBJECT_COLOURS", "Overlay", "PictureStore", "fitted", "overlaid", "thumbnail"]

Overlay = Literal["image", "mask", "instances", "depth"]
Picture = NDArray[np.uint8]

PREFIX = "/studio-picture/"
_ROOM_BYTES = 96 << 20
OBJECT_COLOURS = (
    (0, 158, 115), (230, 159, 0), (86, 180, 233), (213, 94, 0), (204, 121, 167), (0, 114, 178), (240, 228, 66),
)  # fmt: skip
"""Colours of objects that colour-blind people can distinguish (Okabe and Ito 2008), used again after the seventh."""
_IGNORED = (90, 90, 96)


class PictureStore:
    """Pictures by address, for as long as there is room: those that were asked for longest ago go first."""

    def __init__(self, room_bytes: int = _ROOM_BYTES) -> None:
        self._room_bytes = room_bytes
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def add(self, pixels: Picture | bytes) -> str:
        """Return the address of a picture, uint8 [H, W], [H, W, 3] or [H, W, 4], or the bytes of a PNG or JPEG file.

        Colours are sent as JPEG of high quality, whose levels differ by a few; what has alpha or is grey, as PNG.
        """
        data = pixels if isinstance(pixels, bytes) else _encoded(pixels)
        key = hashlib.sha256(data).hexdigest()[:32]
        with self._lock:
            if key not in self._pictures:
                self._bytes += len(data)
            self._pictures[key] = data
            self._pictures.move_to_end(key)
            while self._bytes > self._room_bytes and len(self._pictures) > 1:
                self._bytes -= len(self._pictures.popitem(last=False)[1])
        return f"{PREFIX}{key}"

    def get(self, key: str) -> bytes | None:
        """Return the bytes of a picture by the last part of its address; None if there is none."""
        with self._lock:
            return self._pictures.get(key)


def _encoded(pixels: Picture) -> bytes:
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=95, colorsubsampling="444")
        return data
    return png_bytes(pixels, 1)


def overlaid(
    overlay: Overlay,
    image: Picture,
    *,
    mask: Picture | None = None,
    owner: Picture | None = None,
    inverse_depth: NDArray[np.float32] | None = None,
    limits: tuple[float, float] | None = None,
    ignore: NDArray[np.bool_] | None = None,
) -> Picture:
    """Return an image uint8 [H, W, 3] with one of its labels over it.

    image: as it is; mask: coverage in the first of OBJECT_COLOURS, ignored pixels grey; instances: each object (owner
    1, 2, ... [H, W]) in its colour; depth: inverse depth in colours, over `limits` (far, near) or its own range. A
    label that does not exist leaves the image as it is.
    """
    if overlay == "depth" and inverse_depth is not None:
        return coloured_depth(inverse_depth, limits)
    out: NDArray[np.floating] = image.astype(np.float32)
    if overlay == "mask" and mask is not None:
        share = 0.6 * mask[:, :, None].astype(np.float32) / 255
        out = out * (1 - share) + share * np.array(OBJECT_COLOURS[0], np.float32)
        if ignore is not None:
            out[ignore] = 0.4 * out[ignore] + 0.6 * np.array(_IGNORED, np.float32)
    elif overlay == "instances" and owner is not None:
        colours = np.array([(0, 0, 0), *OBJECT_COLOURS], np.float32)
        number = np.where(owner > 0, (owner.astype(np.intp) - 1) % len(OBJECT_COLOURS) + 1, 0)
        out = np.where((owner > 0)[:, :, None], 0.35 * out + 0.65 * colours[number], out)
    else:
        return image
    return np.round(out).astype(np.uint8)


def thumbnail(pixels: Picture, side: int) -> Picture:
    """Return a picture whose longer side is at most `side` pixels; a cut-out [H, W, 4] keeps its alpha."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)


def fitted(layer: NDArray[np.uint8], size: tuple[int, int]) -> Picture:
    """Return a coloured map at a size (width, height) without blending neighbours."""
    return np.asarray(Image.fromarray(layer).resize(size, Image.Resampling.NEAREST))
