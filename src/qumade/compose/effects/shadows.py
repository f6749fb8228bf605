"""Shadows on the ground below a thing. They darken the image, and change neither mask nor depth."""

import numpy as np

from qumade.geometry import BEHIND
from qumade.jit import compiled

__all__ = ["cast_shadow"]

_FADE = 0.5  # the end of a shadow is lighter by this share: the sky lights it from more sides
_BEFORE, _LEAST_BEFORE = (
    0.15,
    0.05,
)  # reach of the contact shadow before the object: in widths on the ground, in heights
_RAISED = 0.35  # parts of the underside that are so high above the contact, in heights, cast no contact shadow
_PROFILE_PX = 64


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
def _underside(pixels, levels):  # type: ignore[no-untyped-def]
    """Return, for each column of a small level, its lowest opaque row and the line that bounds all of them from below.

    Both are float64 [columns], as shares of the height; the row is -1 without any. The line is the convex hull: it
    connects the wheels of a car.
    """
    chosen = 0
    for level in range(len(levels)):
        if max(levels[level, 1], levels[level, 2]) >= _PROFILE_PX:
            chosen = level
    start, columns, rows = levels[chosen]
    lowest, line = np.full(columns, -1.0), np.full(columns, -1.0)
    corners, count = np.empty(columns, np.int64), 0
    for x in range(columns):
        for y in range(rows, 0, -1):
            if pixels[start + y * (columns + 2) + x + 1, 3] >= 32768:
                lowest[x] = y / rows
                break
        if lowest[x] < 0.0:
            continue
        while count >= 2:
            one, two = corners[count - 2], corners[count - 1]
            # The middle corner is above the line from the first to the new one: it does not bound anything.
            if (lowest[two] - lowest[one]) * (x - one) <= (lowest[x] - lowest[one]) * (two - one):
                count -= 1
            else:
                break
        corners[count] = x
        count += 1
    for n in range(count - 1):
        one, two = corners[n], corners[n + 1]
        for x in range(one, two + 1):
            line[x] = lowest[one] + (lowest[two] - lowest[one]) * (x - one) / (two - one)
    if count == 1:
        line[corners[0]] = lowest[corners[0]]
    return lowest, line


@compiled(nogil=True)
def cast_shadow(  # type: ignore[no-untyped-def]
    image, owner, occluder, horizon_level, pixels, levels, left, top, width, height, contact_u, contact_v, depth,
    strength, along, away, tilt, softness,
):  # fmt: skip
    """Darken the ground in an image uint8 [H, W, 3], in place.

    Two shadows, of which the darker counts at each pixel: that of the sky, under the object and a little before it, and
    that of the sun, the silhouette projected on the ground. A point at height t above the contact (contact_u,
    contact_v) falls `along` t to the right of its foot and `tilt` times `away` t above it. See `plan.effects.Shadow`
    for along, away, tilt, strength and softness, and `paste` for the rest. Pixels that an object owns, or that belong
    to something before the contact, stay as they are.
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
    before_px = max(_BEFORE * tilt * width, _LEAST_BEFORE * height) * (1.0 + 3.0 * softness)
    fade_px = softness * width
    lowest, line = _underside(pixels, levels)
    end_u, end_v = along * upright, -tilt * away * upright
    first_x = max(0, int(np.floor(left + min(end_u, 0.0) - fade_px)))
    last_x = min(columns, int(np.ceil(left + width + max(end_u, 0.0) + fade_px)) + 1)
    first_y = max(0, int(np.floor(min(contact_v - _RAISED * upright, contact_v + min(end_v, 0.0)))))
    last_y = min(rows, int(np.ceil(max(contact_v + before_px, contact_v + max(end_v, 0.0)))) + 1)
    hide, before = occluder.size > 0, np.float32((depth - horizon_level) * BEHIND)
    per_row = -1.0 / (tilt * away)
    for y in range(first_y, last_y):
        offset_v = y + 0.5 - contact_v
        t = offset_v * per_row
        lit = 1.0 - _FADE * min(max(t / upright, 0.0), 1.0)
        source_v = (contact_v - t - top) * step_y + 0.5
        for x in range(first_x, last_x):
            if owner[y, x] > 0 or (hide and occluder[y, x] > before):
                continue
            share = 0.0
            at = (x + 0.5 - left) / width
            column = min(max(int(np.floor(at * len(line))), 0), len(line) - 1)
            line_v, lowest_v = top + line[column] * height, top + lowest[column] * height
            beside = max(-at, at - 1.0) * width  # pixels beyond the object's side
            if line[column] >= 0.0 and beside < fade_px and y + 1.5 >= lowest_v:
                share = min(max(1.0 - (y + 0.5 - line_v) / before_px, 0.0), 1.0)
                share = share * share * (3.0 - 2.0 * share)
                share *= min(max(1.0 - (contact_v - line_v) / (_RAISED * upright), 0.0), 1.0)
                if beside > 0.0:
                    share *= 1.0 - beside / fade_px
            if t >= 0.0:
                source_u = (x + 0.5 - along * t - left) * step_x + 0.5
                share = max(share, lit * _alpha(pixels, start, level_width, level_height, source_u, source_v))
            if share > 0.0:
                keep = 1.0 - strength * share
                for channel in range(3):
                    image[y, x, channel] = np.uint8(image[y, x, channel] * keep + 0.5)
