"""Decode the pixels of a catalog's assets on first use and cache them."""

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qumade.assets.catalog import Background, Catalog, Foreground
from qumade.assets.cutouts import read_cutout
from qumade.assets.depths import read_inverse_depth
from qumade.assets.ground import occluding
from qumade.assets.label_scheme import label_scheme
from qumade.assets.labels import read_labels, target_pixels
from qumade.assets.local_recipe import asset_file
from qumade.assets.reliefs import read_relief
from qumade.assets.upright_prior import things_depth, upright_prior
from qumade.compose.pyramid import Pyramid, build_pyramid
from qumade.compose.sample import PRESENT, UNLABELLED, PreparedBackground
from qumade.geometry import inverse_depth_map
from qumade.io.decode import read_rgb
from qumade.plan.placement import crop_share, resized_size
from qumade.recipe import Recipe, is_named

__all__ = ["AssetCache"]

_ROOM_BYTES = 192 * 2**20


class _LeastRecentlyUsed:
    """A thread-safe cache that drops the least recently used values when they exceed its size."""

    def __init__(self, room_bytes: int) -> None:
        self.room_bytes = room_bytes
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        with self._lock:
            return self._get(key, make)

    def _get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key][0]
        value = make()
        size = sum(part.nbytes for part in value if isinstance(part, np.ndarray))
        self._values[key] = (value, size)
        self._bytes += size
        while self._bytes > self.room_bytes and len(self._values) > 1:
            self._bytes -= self._values.popitem(last=False)[1][1]
        return value


class _Read(NamedTuple):
    """A photo and its maps, in the photo's own size; None without the map that tells."""

    photo: NDArray[np.uint8]
    inverse_depth: NDArray[np.float32] | None
    occluder: NDArray[np.float32] | None
    present: NDArray[np.uint8] | None


class AssetCache:
    """Reads the assets of a recipe's catalog. Raises QumadeError for a file that has changed since then.

    Decoded assets take at most three times `room_bytes`, independent of their number. Drawing samples
    in index order reads each background once.
    """

    def __init__(
        self, recipe: Recipe, catalog: Catalog, *, room_bytes: int | None = None, like: "AssetCache | None" = None
    ) -> None:
        """Shares what is decoded with the cache `like`, also where its recipe differs; `room_bytes` is then that
        cache's."""
        room_bytes = _ROOM_BYTES if room_bytes is None else room_bytes
        self._recipe = recipe
        self._catalog = catalog
        self._scheme = label_scheme(recipe, catalog.classes)
        rooms = room_bytes // 2, room_bytes, room_bytes // 4, room_bytes, room_bytes // 4
        caches = tuple(map(_LeastRecentlyUsed, rooms)) if like is None else like._caches
        self._caches: tuple[_LeastRecentlyUsed, ...] = caches
        self._photos, self._backgrounds, self._things, self._cutouts, self._distractors = caches
        self._decode: Callable[[int], Pyramid] = self._build
        # What decoding depends on beside the asset itself: caches that are shared hold assets of several recipes.
        scheme = None if self._scheme is None else self._scheme.key
        maps = recipe.labels, recipe.depths, catalog.depth_kind, recipe.depths_scale, recipe.prior
        self._photo_settings = (recipe.backgrounds, *maps, scheme, recipe.knows_present)
        self._cutout_settings = (
            recipe.foregrounds,
            recipe.masks,
            recipe.reliefs,
            recipe.premultiplied,
            catalog.depth_kind,
        )

    def background(self, number: int, crop_step: int, flip: bool) -> PreparedBackground:
        """Returns background `number` at the size that a crop of that step needs."""
        size = self._resized_size(number, crop_step)
        key = *self._photo_key(number), size, flip
        prepared: PreparedBackground = self._backgrounds.get(key, lambda: self._prepare(number, size, flip))
        return prepared

    def cutout(self, number: int) -> Pyramid:
        """Returns cut-out `number` as a pyramid with the levels that its scale range may need."""
        asset = self._catalog.foregrounds[number]
        key = self._cutout_settings, *_content(asset), self._largest_px(asset)
        pyramid: Pyramid = self._cutouts.get(key, lambda: self._decode(number))
        return pyramid

    def cutouts_beyond_room(self) -> int:
        """Returns about how many bytes all decoded cut-outs take if that is more than the cache holds: most would be
        decoded for every sample. Else 0."""
        size = 0.0
        for asset in self._catalog.foregrounds:
            pixels = asset.width * asset.height
            shrunk = min(1.0, math.sqrt(2) * self._largest_px(asset) / max(asset.width, asset.height))
            # Levels of 8 bytes a pixel, each of half the pixels of the one before.
            size += 16 * pixels * shrunk**2 + (4 * pixels if asset.relief_name is not None else 0)
        return int(size) if size > self._cutouts.room_bytes else 0

    def take_cutouts(self, get: Callable[[int], Pyramid]) -> None:
        """Lets `get` return decoded cut-outs, whose arrays may be read-only, instead of decoding them here."""

        def copied(number: int) -> Pyramid:  # compiled code is for arrays of its own
            return Pyramid._make(part.copy() if isinstance(part, np.ndarray) else part for part in get(number))

        self._decode = copied

    def distractor(self, number: int) -> Pyramid:
        """Returns number `number` of the catalog's distractors."""
        asset = self._catalog.distractors[number]
        key = self._recipe.distractor_foregrounds, *_content(asset), self._largest_px(asset)
        pyramid: Pyramid = self._distractors.get(key, lambda: self._build_distractor(number))
        return pyramid

    def _photo_key(self, number: int) -> tuple[Hashable, ...]:
        asset = self._catalog.backgrounds[number]
        maps = asset.depth_name, asset.depth_sha256, asset.labels_name, asset.labels_sha256
        level = None if math.isnan(asset.horizon_level) else asset.horizon_level  # NaN differs from itself
        return self._photo_settings, asset.name, asset.sha256, *maps, level, asset.plane

    def _resized_size(self, number: int, crop_step: int) -> tuple[int, int]:
        background = self._catalog.backgrounds[number]
        share = crop_share(*self._recipe.crop, crop_step)
        width, height = resized_size(background.width, background.height, *self._recipe.size, share)
        return width, height

    def _prepare(self, number: int, size: tuple[int, int], flip: bool) -> PreparedBackground:
        background = self._catalog.backgrounds[number]
        read: _Read = self._photos.get(self._photo_key(number), lambda: self._read(number))
        image = np.asarray(Image.fromarray(read.photo).resize(size, Image.Resampling.BICUBIC))
        inverse_depth, occluder = self._depth(number, read, size)
        present = None if read.present is None else _nearest(read.present, size)
        level = 0.0 if math.isnan(background.horizon_level) else background.horizon_level
        prepared = PreparedBackground(image, inverse_depth, occluder, level, present)
        return _mirrored(prepared) if flip else prepared

    def _depth(
        self, number: int, read: _Read, size: tuple[int, int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Returns the inverse depth of a background at a size, and that of what may hide objects."""
        if read.inverse_depth is not None:
            return _nearest(read.inverse_depth, size), None if read.occluder is None else _nearest(read.occluder, size)
        background = self._catalog.backgrounds[number]
        if background.plane is None:
            raise ValueError(f"background {background.name} has neither a plane nor a depth map")
        plane = background.plane.resized(size[0] / background.width, size[1] / background.height)
        if self._recipe.prior == "flat":
            return inverse_depth_map(plane, *size), None
        things: tuple[NDArray[np.float16]] = self._things.get(
            self._photo_key(number), lambda: (self._read_things(number),)
        )
        return upright_prior(*things, plane, size)

    def _read(self, number: int) -> _Read:
        background = self._catalog.backgrounds[number]
        photo = read_rgb(asset_file(self._recipe.backgrounds, background.name, background.sha256))
        size = background.width, background.height
        scheme, labels, depth, occluder, present = self._scheme, None, None, None, None
        if background.labels_name is not None:
            labels = self._read_labels(background)
        if background.depth_name is not None and self._recipe.depths is not None:
            path = asset_file(self._recipe.depths, background.depth_name, background.depth_sha256)
            depth = read_inverse_depth(path, size, self._catalog.depth_kind, self._recipe.depths_scale)
            occluder = occluding(depth, background.horizon_level, labels, scheme)
        if labels is not None and scheme is not None and self._recipe.knows_present:
            present = np.where(target_pixels(labels, scheme.named), 0, UNLABELLED).astype(np.uint8)
            present[target_pixels(labels, scheme.target)] = PRESENT
        return _Read(photo, depth, occluder, present)

    def _read_labels(self, background: Background) -> NDArray[np.int32]:
        if background.labels_name is None or self._recipe.labels is None:
            raise ValueError(f"background {background.name} has no label map")
        path = asset_file(self._recipe.labels, background.labels_name, background.labels_sha256)
        return read_labels(path, (background.width, background.height))

    def _read_things(self, number: int) -> NDArray[np.float16]:
        background = self._catalog.backgrounds[number]
        if self._scheme is None or background.plane is None:
            raise ValueError(f"background {background.name} has no labels or no plane")
        return things_depth(self._read_labels(background), self._scheme, background.plane)

    def _build(self, number: int) -> Pyramid:
        foreground = self._catalog.foregrounds[number]
        path = asset_file(self._recipe.foregrounds, foreground.name, foreground.sha256)
        mask = None
        if foreground.mask_name is not None and self._recipe.masks is not None:
            mask = asset_file(self._recipe.masks, foreground.mask_name, foreground.mask_sha256)
        cutout = read_cutout(path, mask, premultiplied=is_named(foreground.name, self._recipe.premultiplied))
        rgba, relief = cutout.rgba, None
        if (
            foreground.relief_name is not None
            and self._recipe.reliefs is not None
            and self._catalog.depth_kind == "metric"
        ):
            path = asset_file(self._recipe.reliefs, foreground.relief_name, foreground.relief_sha256)
            whole = read_relief(path, (cutout.file_width, cutout.file_height))
            relief = whole[cutout.top : cutout.top + rgba.shape[0], cutout.left : cutout.left + rgba.shape[1]].copy()
        if foreground.flip:
            rgba = np.ascontiguousarray(rgba[:, ::-1])
            relief = None if relief is None else np.ascontiguousarray(relief[:, ::-1])
        return build_pyramid(rgba, self._largest_px(foreground), relief)

    def _build_distractor(self, number: int) -> Pyramid:
        distractor = self._catalog.distractors[number]
        if self._recipe.distractor_foregrounds is None:
            raise ValueError("a catalog with distractors is of a recipe with distractor_foregrounds")
        path = asset_file(self._recipe.distractor_foregrounds, distractor.name, distractor.sha256)
        return build_pyramid(read_cutout(path).rgba, self._largest_px(distractor))

    def _largest_px(self, foreground: Foreground) -> float:
        """Returns the longest side at which a cut-out is drawn."""
        width, height = self._recipe.size
        aspect = max(foreground.width / foreground.height, foreground.height / foreground.width)
        return foreground.scale[1] * math.sqrt(width * height * aspect)


def _content(asset: Foreground) -> tuple[Hashable, ...]:
    maps = asset.mask_name, asset.mask_sha256, asset.relief_name, asset.relief_sha256
    return asset.name, asset.sha256, asset.flip, *maps


def _nearest(layer: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resizes without blending: no point of the scene has a depth between a pole and the street behind it."""
    return np.asarray(Image.fromarray(layer).resize(size, Image.Resampling.NEAREST))


def _mirrored(prepared: PreparedBackground) -> PreparedBackground:
    flipped = [np.ascontiguousarray(part[:, ::-1]) if isinstance(part, np.ndarray) else part for part in prepared]
    return PreparedBackground._make(flipped)
