"""The ground under a contact, and the size and position of an object that stands there. Compiled."""

import numpy as np

from qumade.jit import compiled
from qumade.plan.coordinates import to_background, to_sample
from qumade.plan.visibility import all_visible

__all__ = [
    "ground_inverse_depth",
    "left_and_top",
    "may_stand",
    "perspective_scale",
    "set_position",
    "set_size",
    "settles",
    "settles_at",
    "standing_range",
    "stands",
]


@compiled()
def ground_inverse_depth(t, background, u, v):  # type: ignore[no-untyped-def]
    """Return the inverse depth of the ground at a point of the background; NaN where unknown.

    It comes from the ground plane, which extends beyond the edges of the photo, or else from the coarse map, which does
    not. The map is interpolated bilinearly, which is exact for a plane.
    """
    a, b, c = t.plane[background]
    if b == b:  # not NaN: the plane is known
        return a * u + b * v + c
    width, height = t.background_size[background]
    columns, rows = t.coarse_size[background]
    if columns == 0 or not (0 <= u <= width and 0 <= v <= height):
        return np.nan
    x = min(max(u / width * columns - 0.5, 0.0), columns - 1.0)
    y = min(max(v / height * rows - 0.5, 0.0), rows - 1.0)
    x0, y0 = int(x), int(y)
    x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
    x, y = x - x0, y - y0
    start = t.coarse_start[background]
    upper = t.coarse_depth[start + y0 * columns + x0] * (1 - x) + t.coarse_depth[start + y0 * columns + x1] * x
    lower = t.coarse_depth[start + y1 * columns + x0] * (1 - x) + t.coarse_depth[start + y1 * columns + x1] * x
    return upper * (1 - y) + lower * y


@compiled()
def stands(t, background, inverse_depth):  # type: ignore[no-untyped-def]
    """Whether the inverse depth is known and, if the horizon is known too, lies below it and not too far away."""
    least = t.farthest_ground[background]
    return inverse_depth > least if least == least else inverse_depth == inverse_depth


@compiled()
def set_size(t, thing, scale):  # type: ignore[no-untyped-def]
    width, height = t.foreground_size[thing.foreground]
    factor = scale * np.sqrt(t.width * t.height / (width * height))
    thing.scale = scale
    thing.width = width * factor
    thing.height = height * factor


@compiled()
def set_position(t, sample, thing, left, top):  # type: ignore[no-untyped-def]
    """Set an object's position, contact and inverse depth. Returns False if it cannot stand at the contact."""
    width, height = t.foreground_size[thing.foreground]
    u, v = t.contact[thing.foreground]
    thing.left, thing.top = left, top
    thing.contact_u = left + u / width * thing.width
    thing.contact_v = top + v / height * thing.height
    background_u, background_v = to_background(t, sample, thing.contact_u, thing.contact_v)
    thing.contact_background_u, thing.contact_background_v = background_u, background_v
    inverse_depth = np.float32(ground_inverse_depth(t, sample.background, background_u, background_v))
    thing.inverse_depth = inverse_depth
    return stands(t, sample.background, inverse_depth)


@compiled()
def settles(t, sample, things, which, left, top):  # type: ignore[no-untyped-def]
    """Set the position of an object whose size is set. Returns False, and counts why, if it cannot be there."""
    thing = things[which]
    if not set_position(t, sample, thing, left, top):
        thing.rejected_horizon += 1
        return False
    if not all_visible(t, sample, things, which + 1):
        thing.rejected_hidden += 1
        return False
    return True


@compiled()
def left_and_top(t, sample, thing, background_u, background_v):  # type: ignore[no-untyped-def]
    """Return left and top of an object whose size is set and whose contact is at a point of the background."""
    width, height = t.foreground_size[thing.foreground]
    contact_u, contact_v = t.contact[thing.foreground]
    u, v = to_sample(t, sample, background_u, background_v)
    return u - contact_u / width * thing.width, v - contact_v / height * thing.height


@compiled()
def settles_at(t, sample, things, which, background_u, background_v):  # type: ignore[no-untyped-def]
    """Put the contact of an object at a point of the background; see `settles`."""
    left, top = left_and_top(t, sample, things[which], background_u, background_v)
    return settles(t, sample, things, which, left, top)


@compiled()
def standing_range(t, sample, foreground):  # type: ignore[no-untyped-def]
    """Return the range of standing_pixels where a cut-out may stand on the sample's background."""
    starts = t.standing_start[sample.background]
    return starts[t.place[foreground]], starts[t.place[foreground] + 1]


@compiled()
def may_stand(t, sample, foreground, u, v):  # type: ignore[no-untyped-def]
    """Whether a point of the photo is in the standing table of a cut-out, or between neighbouring entries of it."""
    photo_width, photo_height = t.background_size[sample.background]
    if not (0 <= u < photo_width and 0 <= v < photo_height):
        return False
    start, stop = standing_range(t, sample, foreground)
    pixel = int(v) * photo_width + int(u)
    at = start + np.searchsorted(t.standing_pixels[start:stop], pixel)
    if at < stop and t.standing_pixels[at] == pixel:
        return True
    if not start < at < stop:
        return False
    before, after = t.standing_pixels[at - 1], t.standing_pixels[at]
    same_row = before // photo_width == after // photo_width == int(v)
    return same_row and after - before <= t.standing_step[sample.background, t.place[foreground]]


@compiled()
def perspective_scale(t, sample, foreground, u, v, jitter):  # type: ignore[no-untyped-def]
    """Return the scale of an upright object at a contact in the photo: the object is (v - v0) H / h pixels high.

    Valid for small pitch (Hoiem, Efros, Hebert 2008, "Putting objects in perspective"). The scale is zero on the
    horizon and negative above it.
    """
    a, b, c = t.plane[sample.background]
    horizon_v = -(a * u + c - t.horizon_level[sample.background]) / b
    ratio = t.object_height_m[foreground] / t.camera_height_m[sample.background]
    if not ratio > 0:  # one of the heights is unknown
        ratio = t.height_ratio
    height_px = (v - horizon_v) * ratio * sample.scale_y * jitter
    width, height = t.foreground_size[foreground]
    factor = height_px / t.contact[foreground, 1]
    return factor * np.sqrt(width * height / (t.width * t.height))
