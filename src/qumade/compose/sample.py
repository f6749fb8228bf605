"""Draw image, mask and inverse depth of a sample, as a pure function of its plan and the assets' pixels."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qumade.compose.effects.scene import Canvas, Thing, draw_distractors, finished, paste_with_look
from qumade.compose.kernel import paste
from qumade.compose.pyramid import Pyramid
from qumade.plan.effects import SampleEffects
from qumade.plan.planner import Plan

__all__ = ["PRESENT", "UNLABELLED", "PreparedBackground", "Sample", "draw_sample"]

PRESENT, UNLABELLED = 1, 2
_NOTHING_HIDES = np.zeros((0, 0), np.float32)


class PreparedBackground(NamedTuple):
    """A background that is resized, and mirrored if the sample is, so that a crop is a plain window of pixels.

    `image` uint8 [H, W, 3]; `inverse_depth` float32 [H, W]; `occluder` float32 [H, W], the inverse depth of everything
    that may hide objects, relative to `horizon_level`, and 0 elsewhere, or None if nothing hides objects; `present`
    uint8 [H, W], PRESENT where the photo already shows the object's class, UNLABELLED where it may, 0 elsewhere, or
    None without a label map.
    """

    image: NDArray[np.uint8]
    inverse_depth: NDArray[np.float32]
    occluder: NDArray[np.float32] | None
    horizon_level: float = 0.0
    present: NDArray[np.uint8] | None = None


class Sample(NamedTuple):
    """One drawn triple of image, mask and depth, with the facts that only drawing reveals.

    `image` uint8 [H, W, 3] sRGB; `mask` uint8 [H, W], coverage by visible objects, 255 for full coverage;
    `inverse_depth` float32 [H, W]; `owner` uint8 [H, W], the object that a pixel shows (1 the farthest, 0 none);
    `visible_fraction` float32 [objects], the share of an object's opaque pixels that are inside the image and not
    hidden; `ignore` bool [H, W], pixels that losses and metrics leave out, or None if none are known.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    inverse_depth: NDArray[np.float32]
    owner: NDArray[np.uint8]
    visible_fraction: NDArray[np.float32]
    ignore: NDArray[np.bool_] | None = None


def draw_sample(
    plan: Plan,
    size: tuple[int, int],
    background: Callable[[int, int, bool], PreparedBackground],
    cutout: Callable[[int], Pyramid],
    *,
    binary_mask: bool = False,
    present_in_mask: bool = False,
    effects: SampleEffects | None = None,
    other: Callable[[int], Pyramid] | None = None,
) -> Sample:
    """Draw a planned sample of `size` (width, height).

    `background(number, crop_step, flip)` and `cutout(number)` return the assets of the catalog. Pixels of the
    background that already show the object's class are ignored, or set in the mask with `present_in_mask`; unlabelled
    ones are ignored. `effects` are those of `plan_effects`; `other(number)` returns the catalog's `distractors`.
    """
    row = plan.sample
    prepared = background(int(row["background"]), int(row["crop_step"]), bool(row["flip"]))
    width, height = size
    x, y = int(row["crop_x"]), int(row["crop_y"])
    if row["flip"]:
        x = prepared.image.shape[1] - width - x
    window = np.s_[y : y + height, x : x + width]
    image = prepared.image[window].copy()
    inverse_depth = prepared.inverse_depth[window].copy()
    occluder = _NOTHING_HIDES if prepared.occluder is None else prepared.occluder[window]
    mask = np.zeros((height, width), np.uint8)
    owner = np.zeros((height, width), np.uint8)
    visible = np.zeros(len(plan.objects) + 1, np.int64)
    whole = np.zeros(len(plan.objects), np.int64)
    canvas, covered = None, None
    if effects is not None:
        canvas = Canvas.on(image, mask, inverse_depth, owner, visible, occluder, prepared.horizon_level, effects.haze)
        present = None if prepared.present is None else prepared.present[window] > 0
        covered = draw_distractors(canvas, effects.distractors, cutout, other or cutout, present)
    for number, thing in enumerate(plan.objects):
        pyramid = cutout(int(thing["foreground"]))
        if canvas is not None and effects is not None:
            place = Thing(pyramid, *(thing[name] for name in Thing._fields[1:]))
            whole[number] = paste_with_look(canvas, number + 1, place, effects.objects[number])
            continue
        whole[number] = paste(
            image, mask, inverse_depth, owner, visible, occluder, prepared.horizon_level,
            pyramid.pixels, pyramid.levels, pyramid.relief, number + 1,
            thing["left"], thing["top"], thing["width"], thing["height"], thing["inverse_depth"],
        )  # fmt: skip
    if canvas is not None and effects is not None:
        image = finished(canvas, effects)
    ignore = None
    if prepared.present is not None:
        # What an object covers in part still shows the photo, and a soft mask tells how much.
        hidden = owner > 0 if binary_mask else mask == 255
        present = np.where(hidden, 0, prepared.present[window])
        if covered is not None:
            present[covered] = 0
        if present_in_mask:
            mask[present == PRESENT] = 255
        ignore = present == UNLABELLED if present_in_mask else present > 0
    if binary_mask:
        mask = np.where(mask >= 128, np.uint8(255), np.uint8(0))
    fraction = (visible[1:] / np.maximum(whole, 1)).astype(np.float32)
    return Sample(image, mask, inverse_depth, owner, fraction, ignore)
