"""Choose the crop of a sample and the position and size of its objects. Compiled, over the arrays of PlanTables.

The code uses only + - * /, square roots and comparisons of doubles, which every machine rounds in the same way.
"""

import numpy as np

from qumade.jit import compiled
from qumade.plan.coordinates import to_background, to_sample
from qumade.plan.random_numbers import Stream, uniforms
from qumade.plan.tables import POLICIES
from qumade.plan.visibility import all_visible

__all__ = ["CROP_STEPS", "crop_share", "place_sample", "resized_size"]

CROP_STEPS = 16
"""Number of steps in a range of crop sizes. Each background is resized to at most this many sizes."""

_CROP, _OBJECT_COUNT = int(Stream.CROP), int(Stream.OBJECT_COUNT)
_FOREGROUND, _PLACEMENT = int(Stream.FOREGROUND), int(Stream.PLACEMENT)
_POLICY, _STANDING = int(Stream.POLICY), int(Stream.STANDING)
_RANDOM, _PERSPECTIVE = POLICIES.index("random"), POLICIES.index("perspective")
_SEARCH = 16  # rows and columns of the grid on which the fallback searches for ground
_PROBES = 64  # standing pixels that are tested to see whether a crop contains any


@compiled()
def crop_share(low, high, step):  # type: ignore[no-untyped-def]
    """Return the crop size of a step, as a share of the largest crop."""
    return low + (high - low) * step / (CROP_STEPS - 1)


@compiled()
def resized_size(background_width, background_height, width, height, share):  # type: ignore[no-untyped-def]
    """Return the size to which a background is resized so that a crop of that share has width x height pixels."""
    scale = max(width / background_width, height / background_height) / share
    return max(width, int(background_width * scale + 0.5)), max(height, int(background_height * scale + 0.5))


@compiled()
def _draw_crop(t, sample, attempt):  # type: ignore[no-untyped-def]
    size, x, y, flip = uniforms(t.seed, _CROP, sample.index, 0, attempt)
    width, height = t.background_size[sample.background]
    steps = 1 if t.crop[0] == t.crop[1] else CROP_STEPS
    sample.crop_step = int(size * steps)
    share = crop_share(t.crop[0], t.crop[1], sample.crop_step)
    resized_width, resized_height = resized_size(width, height, t.width, t.height, share)
    sample.crop_x = int(x * (resized_width - t.width + 1))
    sample.crop_y = int(y * (resized_height - t.height + 1))
    sample.scale_x = resized_width / width
    sample.scale_y = resized_height / height
    sample.flip = t.mirror_backgrounds and flip < 0.5


@compiled()
def _ground_inverse_depth(t, background, u, v):  # type: ignore[no-untyped-def]
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
def _stands(t, background, inverse_depth):  # type: ignore[no-untyped-def]
    """Whether the inverse depth is known and, if the horizon is known too, lies below it."""
    level = t.horizon_level[background]
    return inverse_depth > level if level == level else inverse_depth == inverse_depth


@compiled()
def _has_ground(t, sample):  # type: ignore[no-untyped-def]
    """Whether any point of a grid over the crop is ground that an object can stand on."""
    for row in range(_SEARCH, 0, -1):
        for column in range(_SEARCH):
            u, v = to_background(t, sample, (column + 0.5) / _SEARCH * t.width, row / _SEARCH * t.height)
            if _stands(t, sample.background, _ground_inverse_depth(t, sample.background, u, v)):
                return True
    return False


@compiled()
def _set_size(t, thing, scale):  # type: ignore[no-untyped-def]
    width, height = t.foreground_size[thing.foreground]
    factor = scale * np.sqrt(t.width * t.height / (width * height))
    thing.scale = scale
    thing.width = width * factor
    thing.height = height * factor


@compiled()
def _set_position(t, sample, thing, left, top):  # type: ignore[no-untyped-def]
    """Set an object's position, contact and inverse depth. Returns False if it cannot stand at the contact."""
    width, height = t.foreground_size[thing.foreground]
    u, v = t.contact[thing.foreground]
    thing.left, thing.top = left, top
    thing.contact_u = left + u / width * thing.width
    thing.contact_v = top + v / height * thing.height
    background_u, background_v = to_background(t, sample, thing.contact_u, thing.contact_v)
    thing.contact_background_u, thing.contact_background_v = background_u, background_v
    inverse_depth = np.float32(_ground_inverse_depth(t, sample.background, background_u, background_v))
    thing.inverse_depth = inverse_depth
    return _stands(t, sample.background, inverse_depth)


@compiled()
def _place_random(t, sample, things, which):  # type: ignore[no-untyped-def]
    """Draw size and position, the centre in the recipe's rows, until the object stands on ground and is visible."""
    thing = things[which]
    low, high = t.scale[thing.foreground]
    for attempt in range(t.retries):
        size, x, y, _ = uniforms(t.seed, _PLACEMENT, sample.index, which, attempt)
        _set_size(t, thing, low + (high - low) * size)
        centre_v = (t.centre_row[0] + (t.centre_row[1] - t.centre_row[0]) * y) * t.height
        left, top = x * t.width - thing.width / 2, centre_v - thing.height / 2
        if not _set_position(t, sample, thing, left, top):
            thing.rejected_horizon += 1
        elif not all_visible(t, sample, things, which + 1):
            thing.rejected_hidden += 1
        else:
            return True
    return False


@compiled()
def _standing_range(t, sample, foreground):  # type: ignore[no-untyped-def]
    """Return the range of standing_pixels where a cut-out may stand on the sample's background."""
    starts = t.standing_start[sample.background]
    return starts[t.place[foreground]], starts[t.place[foreground] + 1]


@compiled()
def _draw_entry(t, start, stop, r):  # type: ignore[no-untyped-def]
    if len(t.standing_weights) == 0:
        return start + int(r * (stop - start))
    return start + np.searchsorted(t.standing_weights[start : stop - 1], r, side="right")


@compiled()
def _crop_holds_standing(t, sample):  # type: ignore[no-untyped-def]
    """Whether the crop contains a place for the first cut-out. Tests an evenly spaced subset of its standing pixels."""
    start, stop = _standing_range(t, sample, sample.foreground)
    width = t.background_size[sample.background, 0]
    for probe in range(min(_PROBES, stop - start)):
        pixel = t.standing_pixels[start + probe * (stop - start) // min(_PROBES, stop - start)]
        u, v = to_sample(t, sample, pixel % width + 0.5, pixel // width + 0.5)
        if 0 <= u < t.width and 0 <= v < t.height:
            return True
    return False


@compiled()
def _perspective_scale(t, sample, foreground, u, v, jitter):  # type: ignore[no-untyped-def]
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


@compiled()
def _place_standing(t, sample, things, which, policy):  # type: ignore[no-untyped-def]
    """Place an object on a pixel of its standing classes, with a random size or the size that perspective gives."""
    thing = things[which]
    low, high = t.scale[thing.foreground]
    start, stop = _standing_range(t, sample, thing.foreground)
    if start == stop:
        return False
    photo_width = t.background_size[sample.background, 0]
    width, height = t.foreground_size[thing.foreground]
    contact_u, contact_v = t.contact[thing.foreground]
    for attempt in range(t.retries):
        r, in_column, in_row, size = uniforms(t.seed, _STANDING, sample.index, which, attempt)
        pixel = t.standing_pixels[_draw_entry(t, start, stop, r)]
        # Anywhere in the pixel except at its very edge: rounding must not move the contact into the next pixel.
        background_u = pixel % photo_width + 0.001 + 0.998 * in_column
        background_v = pixel // photo_width + 0.001 + 0.998 * in_row
        if policy == _PERSPECTIVE:
            jitter = 1.0 + t.size_jitter * (2.0 * size - 1.0)
            scale = _perspective_scale(t, sample, thing.foreground, background_u, background_v, jitter)
            if not low <= scale <= high:
                thing.rejected_size += 1
                continue
        else:
            scale = low + (high - low) * size
        _set_size(t, thing, scale)
        u, v = to_sample(t, sample, background_u, background_v)
        left, top = u - contact_u / width * thing.width, v - contact_v / height * thing.height
        if not _set_position(t, sample, thing, left, top):
            thing.rejected_horizon += 1
        elif not all_visible(t, sample, things, which + 1):
            thing.rejected_hidden += 1
        else:
            thing.policy = policy
            return True
    return False


@compiled()
def _place(t, sample, things, which, policy):  # type: ignore[no-untyped-def]
    """Place an object by the sample's policy, or at random if that fails."""
    if policy != _RANDOM:
        if _place_standing(t, sample, things, which, policy):
            return True
        things[which].fallback = True
    return _place_random(t, sample, things, which)


@compiled()
def _draw_policy(t, index):  # type: ignore[no-untyped-def]
    draw, _, _, _ = uniforms(t.seed, _POLICY, index, 0, 0)
    policy = 0
    while policy < len(t.policy_end) - 1 and draw >= t.policy_end[policy]:
        policy += 1
    return policy


@compiled()
def _place_fallback(t, sample, thing):  # type: ignore[no-untyped-def]
    """Place an object at its smallest size on the lowest ground of the crop, within the image's width if it fits."""
    x, _, _, _ = uniforms(t.seed, _PLACEMENT, sample.index, 0, t.retries)
    thing.fallback = True
    _set_size(t, thing, t.scale[thing.foreground, 0])
    room = t.width - thing.width
    contact_x, contact_y = t.contact[thing.foreground] / t.foreground_size[thing.foreground]
    for row in range(_SEARCH, 0, -1):
        top = row / _SEARCH * t.height - contact_y * thing.height
        for column in range(_SEARCH):
            if _set_position(t, sample, thing, room * ((x + column / _SEARCH) % 1.0), top):
                return True
    # No ground at these positions. The object may stand wherever _has_ground found some, partly outside the image.
    for row in range(_SEARCH, 0, -1):
        top = row / _SEARCH * t.height - contact_y * thing.height
        for column in range(_SEARCH):
            left = (column + 0.5) / _SEARCH * t.width - contact_x * thing.width
            if _set_position(t, sample, thing, left, top):
                return True
    return False


@compiled()
def _draw_foregrounds(t, sample, things):  # type: ignore[no-untyped-def]
    """Choose the foregrounds of a sample: first the pair's own, then others from the same side of the split."""
    side = t.side[sample.foreground]
    start, stop = t.side_start[side], t.side_start[side + 1]
    things[0].foreground = sample.foreground
    for which in range(1, sample.wanted):
        choice, _, _, _ = uniforms(t.seed, _FOREGROUND, sample.index, which, 0)
        things[which].foreground = t.side_members[start + int(choice * (stop - start))]


@compiled()
def _sort_far_to_near(things, count):  # type: ignore[no-untyped-def]
    """Sort objects from far to near by insertion; ties keep their order."""
    for end in range(1, count):
        at = end
        while at > 0 and things[at - 1].inverse_depth > things[at].inverse_depth:
            nearer = things[at - 1 : at].copy()
            things[at - 1 : at] = things[at : at + 1]
            things[at : at + 1] = nearer
            at -= 1


@compiled()
def place_sample(t, index, sample, things):  # type: ignore[no-untyped-def]
    """Plan sample `index` into a SAMPLE_ROW and zeroed OBJECT_ROWs, far to near. Returns False if nothing can stand.

    The first object has a fallback. Once another object finds no place, it and all later ones are left out.
    """
    pair = index // t.per_pair
    sample.index = index
    sample.background = pair // len(t.foreground_size)
    sample.foreground = pair % len(t.foreground_size)
    policy = _draw_policy(t, index)
    start, stop = _standing_range(t, sample, sample.foreground)
    for attempt in range(t.retries):
        _draw_crop(t, sample, attempt)
        if _crop_holds_standing(t, sample) if policy != _RANDOM and start < stop else _has_ground(t, sample):
            break
        sample.crops_rejected += 1
    number, _, _, _ = uniforms(t.seed, _OBJECT_COUNT, index, 0, 0)
    sample.wanted = t.objects[0] + int(number * (t.objects[1] - t.objects[0] + 1))
    _draw_foregrounds(t, sample, things)
    if not _place(t, sample, things, 0, policy) and not _place_fallback(t, sample, things[0]):
        return False
    count = 1
    # Draws are keyed by the object's position in the list: after a failure, the next try would repeat the same draws.
    while count < sample.wanted and _place(t, sample, things, count, policy):
        count += 1
    sample.count = count
    _sort_far_to_near(things, count)
    return True
