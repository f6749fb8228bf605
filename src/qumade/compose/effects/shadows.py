"""Shadows on the ground below a thing. They darken the image, and change neither mask nor depth."""

import numpy as np

from qumade.geometry import BEHIND
from qumade.jit import compiled

__all__ = ["cast_shadow"]

_FADE = 0.5  # the end of a shadow is lighter by this share: the sky lights it from more sides
_WIDE, _DEEP, _LEAST_DEEP = 0.5, 0.5, 0.06  # half the contact shadow in widths, in widths along the ground, in heights
_BEFORE = 0.35  # share of the contact shadow that lies before the contact


@compiled(nogil=True)
def _alpha(pixels, start, columns, rows, u, v):  # type: ignore[no-untyped-def]
    """Return alpha in [0, 1] at (u, v) of a bordered level, interpolated; 0 outside."""
    if not (0.0 <= u < columns + 1.0 and 0.0 <= v < rows + 1.0):
        return 0.0
    x, y, stride = int(u), int(v), columns + 2
    at = start + y * stride + x
    right, down = u - x, v - y
    upper = pixels[at, 3] * (1.0 - right) + pixels[at + 1, 3] * right
    lower = pixels[at + stride, 3] * (1.0 - right) + pixels[at + stride + 1, 3] * right
    return (upper * (1.0 - down) + lower * down) / 65535.0


@compiled(nogil=True)
def cast_shadow(  # type: ignore[no-untyped-def]
    image, owner, occluder, horizon_level, pixels, levels, left, top, width, height, contact_u, contact_v, depth,
    strength, along, away, tilt, softness,
):  # fmt: skip
    """Darken the ground in an image uint8 [H, W, 3], in place.

    Two shadows, of which the darker counts at each pixel: that of the sky, an ellipse under the contact (contact_u,
    contact_v), and that of the sun, the silhouette projected on the ground. A point at height t falls at
    (contact + along t, contact_v - tilt away t). See `plan.effects.Shadow` for along, away, tilt, strength and
    softness, and `paste` for the rest. Pixels that an object owns, or that belong to something before the contact, stay
    as they are.
    """
    rows, columns = owner.shape
    # A coarser level is a softer silhouette: its pixels are as large as the soft edge.
    chosen = 0
    for level in range(len(levels)):
        if max(levels[level, 1], levels[level, 2]) * softness >= 1.0:
            chosen = level
    start, level_width, level_height = levels[chosen]
    step_x, step_y = level_width / width, level_height / height
    upright = contact_v - top
    deep = max(_DEEP * tilt * width, _LEAST_DEEP * height)
    wide = _WIDE * width
    centre_u, centre_v = left + 0.5 * width, contact_v - (1.0 - 2.0 * _BEFORE) * deep
    soft = min(max(3.0 * softness, 0.15), 0.6)
    end_u, end_v = along * upright, -tilt * away * upright
    first_x = max(0, int(np.floor(left + min(end_u, 0.0) - soft * wide)))
    last_x = min(columns, int(np.ceil(left + width + max(end_u, 0.0) + soft * wide)) + 1)
    first_y = max(0, int(np.floor(min(centre_v - (1.0 + soft) * deep, contact_v + min(end_v, 0.0)))))
    last_y = min(rows, int(np.ceil(max(centre_v + (1.0 + soft) * deep, contact_v + max(end_v, 0.0)))) + 1)
    hide, before = occluder.size > 0, np.float32((depth - horizon_level) * BEHIND)
    per_row = -1.0 / (tilt * away)
    for y in range(first_y, last_y):
        offset_v = y + 0.5 - contact_v
        t = offset_v * per_row
        lit = 1.0 - _FADE * min(max(t / upright, 0.0), 1.0)
        source_v = (contact_v - t - top) * step_y + 0.5
        down = (y + 0.5 - centre_v) / deep
        for x in range(first_x, last_x):
            if owner[y, x] > 0 or (hide and occluder[y, x] > before):
                continue
            across = (x + 0.5 - centre_u) / wide
            radius = np.sqrt(across * across + down * down)
            share = min(max((1.0 + soft - radius) / (2.0 * soft), 0.0), 1.0)
            share = share * share * (3.0 - 2.0 * share)
            if t >= 0.0:
                source_u = (x + 0.5 - along * t - left) * step_x + 0.5
                share = max(share, lit * _alpha(pixels, start, level_width, level_height, source_u, source_v))
            if share > 0.0:
                keep = 1.0 - strength * share
                for channel in range(3):
                    image[y, x, channel] = np.uint8(image[y, x, channel] * keep + 0.5)
