"""The pixels of a catalog's assets, decoded when first asked for and kept while there is room."""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qumade.assets.catalog import Catalog
from qumade.assets.cutouts import read_cutout
from qumade.assets.depths import read_inverse_depth
from qumade.assets.pictures import read_rgb
from qumade.compose.pyramid import Pyramid, build_pyramid
from qumade.compose.sample import PreparedBackground
from qumade.errors import QumadeError
from qumade.geometry import inverse_depth_map
from qumade.plan.placement import crop_share, resized_size
from qumade.recipe import Recipe

__all__ = ["AssetStore"]

_ROOM_BYTES = 192 * 2**20


class _Kept:
    """Values by key, the least recently used dropped when they outgrow their room."""

    def __init__(self, room_bytes: int) -> None:
        self._room_bytes = room_bytes
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key][0]
        value = make()
        size = sum(part.nbytes for part in value if isinstance(part, np.ndarray))
        self._values[key] = (value, size)
        self._bytes += size
        while self._bytes > self._room_bytes and len(self._values) > 1:
            self._bytes -= self._values.popitem(last=False)[1][1]
        return value


class AssetStore:
    """Reads the assets of a recipe's catalog. Whatever changed since the catalog was made is refused, by name.

    Memory is bounded whatever the number of assets; samples in index order read each background once.
    """

    def __init__(self, recipe: Recipe, catalog: Catalog) -> None:
        self._recipe = recipe
        self._catalog = catalog
        self._photos = _Kept(_ROOM_BYTES // 2)
        self._backgrounds = _Kept(_ROOM_BYTES)
        self._cutouts = _Kept(_ROOM_BYTES)

    def background(self, number: int, crop_step: int, flip: bool) -> PreparedBackground:
        """Background `number` at the size that its crop of that step needs."""
        key = number, crop_step, flip
        prepared: PreparedBackground = self._backgrounds.get(key, lambda: self._prepare(*key))
        return prepared

    def cutout(self, number: int) -> Pyramid:
        """Cut-out `number` as a pyramid with the levels that its scale range can need."""
        pyramid: Pyramid = self._cutouts.get(number, lambda: self._build(number))
        return pyramid

    def _prepare(self, number: int, crop_step: int, flip: bool) -> PreparedBackground:
        background = self._catalog.backgrounds[number]
        photo, depth = self._photos.get(number, lambda: self._read(number))
        share = crop_share(*self._recipe.crop, crop_step)
        size = resized_size(background.width, background.height, *self._recipe.size, share)
        image = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC))
        occluder = None
        if depth is not None:
            # Nearest: a depth between that of a pole and of the street behind it is nowhere in the scene.
            inverse_depth = np.asarray(Image.fromarray(depth).resize(size, Image.Resampling.NEAREST))
            occluder = inverse_depth
        elif background.plane is not None:
            plane = background.plane.resized(size[0] / background.width, size[1] / background.height)
            inverse_depth = inverse_depth_map(plane, *size)
        else:
            raise ValueError(f"background {background.name} has neither a plane nor a depth map")
        layers = [image, inverse_depth, occluder]
        if flip:
            layers = [None if layer is None else np.ascontiguousarray(layer[:, ::-1]) for layer in layers]
        return PreparedBackground(*layers)  # type: ignore[arg-type]

    def _read(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
        background = self._catalog.backgrounds[number]
        photo = read_rgb(_unchanged(self._recipe.backgrounds / background.name, background.sha256))
        if background.depth_name is None or self._recipe.depths is None:
            return photo, None
        path = _unchanged(self._recipe.depths / background.depth_name, background.depth_sha256)
        return photo, read_inverse_depth(path, (background.width, background.height), self._catalog.depth_kind)

    def _build(self, number: int) -> Pyramid:
        foreground = self._catalog.foregrounds[number]
        path = _unchanged(self._recipe.foregrounds / foreground.name, foreground.sha256)
        mask = None
        if foreground.mask_name is not None and self._recipe.masks is not None:
            mask = _unchanged(self._recipe.masks / foreground.mask_name, foreground.mask_sha256)
        rgba = read_cutout(path, mask).rgba
        if foreground.flip:
            rgba = np.ascontiguousarray(rgba[:, ::-1])
        width, height = self._recipe.size
        aspect = max(foreground.width / foreground.height, foreground.height / foreground.width)
        return build_pyramid(rgba, foreground.scale[1] * math.sqrt(width * height * aspect))


def _unchanged(path: Path, sha256: str | None) -> Path:
    try:
        with path.open("rb") as file:
            now = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise QumadeError(f"Invalid asset: cannot read {path}: {error.strerror}; it was there at the start") from None
    if now != sha256:
        raise QumadeError(f"Invalid asset: {path} has changed since the work began; must be as it was")
    return path
