"""Draw a sample's effects: distractors before the objects, the look of each object, haze and camera after them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qumade.compose.effects.camera import photographed
from qumade.compose.effects.harmonise import harmonised, surroundings
from qumade.compose.effects.haze import haze_shares, nearest_ground, veil
from qumade.compose.effects.layers import Layer, blended_edge, cut_layer, lay, lay_photo
from qumade.compose.effects.shadows import cast_shadow
from qumade.compose.kernel import paste
from qumade.compose.pyramid import Pyramid
from qumade.plan.effects import Distractor, Haze, Look, SampleEffects, Shadow

__all__ = ["Canvas", "Thing", "draw_distractors", "finished", "paste_with_look"]


class Canvas(NamedTuple):
    """What objects are drawn on and hidden by, as in `paste`; `photo` uint8 [H, W, 3] is the background alone, and
    `nearest` the inverse depth of its lower edge relative to infinity, 0 without haze."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    inverse_depth: NDArray[np.float32]
    owner: NDArray[np.uint8]
    visible: NDArray[np.int64]
    occluder: NDArray[np.float32]
    horizon_level: float
    photo: NDArray[np.uint8]
    nearest: float

    @classmethod
    def on(
        cls, image: NDArray[np.uint8], mask: NDArray[np.uint8], inverse_depth: NDArray[np.float32],
        owner: NDArray[np.uint8], visible: NDArray[np.int64], occluder: NDArray[np.float32], horizon_level: float,
        haze: Haze,
    ) -> "Canvas":  # fmt: skip
        """Return a canvas whose image shows the background alone."""
        nearest = nearest_ground(inverse_depth, horizon_level) if haze.density > 0 else 0.0
        return cls(image, mask, inverse_depth, owner, visible, occluder, horizon_level, image.copy(), nearest)


class Thing(NamedTuple):
    """A cut-out and its place: box and contact in sample pixels, and the inverse depth of the contact."""

    pyramid: Pyramid
    left: float
    top: float
    width: float
    height: float
    contact_u: float
    contact_v: float
    inverse_depth: np.float32


def paste_with_look(canvas: Canvas, number: int, thing: Thing, look: Look) -> int:
    """Paste object `number` with its shadow, edge and colours; returns what `paste` returns.

    Mask, depth and visibility are exactly those of `paste`: a look changes the colours of the image alone.
    """
    _shade(canvas, thing, look.shadow)
    plain = look.blend == "alpha" and look.harmonise <= 0
    if not plain:
        layer = _layer(canvas, thing)
        rows, columns = layer.pixels.shape[:2]
        box_rows = slice(max(layer.y, 0), max(layer.y + rows, 0))
        box_columns = slice(max(layer.x, 0), max(layer.x + columns, 0))
        before = canvas.image[box_rows, box_columns].copy()
    pyramid = thing.pyramid
    box = np.float64(thing.left), np.float64(thing.top), np.float64(thing.width), np.float64(thing.height)
    whole: int = paste(
        canvas.image, canvas.mask, canvas.inverse_depth, canvas.owner, canvas.visible, canvas.occluder,
        canvas.horizon_level, pyramid.pixels, pyramid.levels, pyramid.relief, number, *box, thing.inverse_depth,
    )  # fmt: skip
    if not plain:
        window = surroundings(canvas.photo, (thing.contact_u, thing.contact_v), (thing.width, thing.height))
        pixels = harmonised(layer.pixels, np.ascontiguousarray(window), look.harmonise)
        canvas.image[box_rows, box_columns] = before
        lay(canvas.image, blended_edge(pixels, look.blend, look.edge_px), layer.x, layer.y)
    return whole


def draw_distractors(
    canvas: Canvas,
    distractors: tuple[Distractor, ...],
    cutout: Callable[[int], Pyramid],
    other: Callable[[int], Pyramid],
    present: NDArray[np.bool_] | None,
) -> NDArray[np.bool_] | None:
    """Draw what is not the object on a canvas without objects. Returns bool [H, W], where cut-outs of other things are.

    Patches and shadows are painted on the surfaces of the photo, whose depth stays. A cut-out of `other` has the depth
    of its contact. None of them changes the mask. Pixels that already show the object's class (`present`) are neither
    copied by patches nor covered by them.
    """
    size = canvas.mask.shape[1], canvas.mask.shape[0]
    covered, nowhere = None, np.zeros((0, 0), np.bool_) if present is None else np.ascontiguousarray(present)
    for one in distractors:
        pyramid = (other if one.kind == "thing" else cutout)(one.asset)
        place = one.left, one.top, one.width, one.height, one.contact_u, one.contact_v
        thing = Thing(pyramid, *place, np.float32(one.inverse_depth))
        if one.kind == "patch":
            layer = cut_layer(pyramid, place[:4], size, 0.0, np.zeros((0, 0), np.float32), 0.0)
            pixels = blended_edge(layer.pixels, one.look.blend, one.look.edge_px)
            lay_photo(canvas.image, canvas.photo, pixels, layer.x, layer.y, *one.shift, nowhere)
        elif one.kind == "shadow":
            _shade(canvas, thing, one.look.shadow)
        else:
            nobody = np.zeros_like(canvas.owner)
            own = canvas._replace(mask=np.zeros_like(canvas.mask), owner=nobody, visible=np.zeros(2, np.int64))
            paste_with_look(own, 1, thing, one.look)
            covered = nobody > 0 if covered is None else covered | (nobody > 0)
    return covered


def finished(canvas: Canvas, effects: SampleEffects) -> NDArray[np.uint8]:
    """Return the picture of a composed canvas through haze and camera."""
    haze, image = effects.haze, canvas.image
    if haze.density > 0 and canvas.nearest > 0:
        shares, light = haze_shares(haze.density, haze.far), np.array(haze.light, np.float32)
        veil(image, canvas.inverse_depth, canvas.horizon_level, canvas.nearest, shares, light)
    return photographed(image, effects.camera)


def _shade(canvas: Canvas, thing: Thing, shadow: Shadow) -> None:
    if shadow.strength > 0:
        cast_shadow(
            canvas.image, canvas.owner, canvas.occluder, canvas.horizon_level,
            thing.pyramid.pixels, thing.pyramid.levels,
            float(thing.left), float(thing.top), float(thing.width), float(thing.height),
            float(thing.contact_u), float(thing.contact_v), float(thing.inverse_depth),
            shadow.strength, shadow.along, shadow.away, shadow.tilt, shadow.softness,
        )  # fmt: skip


def _layer(canvas: Canvas, thing: Thing) -> Layer:
    box = float(thing.left), float(thing.top), float(thing.width), float(thing.height)
    size = canvas.mask.shape[1], canvas.mask.shape[0]
    return cut_layer(thing.pyramid, box, size, float(thing.inverse_depth), canvas.occluder, canvas.horizon_level)
