"""Place objects in a row that runs along the view, such as parked cars. Compiled.

All objects of a row have the same lateral position on the ground, so in the photo their contacts lie on a line through
the vanishing point. It is taken to be on the horizon in the middle of the photo. Inverse depth is linear in pixels and
zero at the vanishing point: at the share s of the way from there to the first object's contact, the distance is 1/s
times that of the first object.
"""

import numpy as np

from qumade.jit import compiled
from qumade.plan.contacts import may_stand, perspective_scale, set_size, settles_at
from qumade.plan.random_numbers import Stream, uniforms
from qumade.plan.tables import POLICIES

__all__ = ["place_in_row"]

_ROW = np.int64(Stream.ROW)  # as in plan/placement.py
_RANDOM, _PERSPECTIVE = POLICIES.index("random"), POLICIES.index("perspective")
# Distance from one object to the next, in widths of the wider one. It grows by a quarter with every attempt.
_LEAST_SPACING, _SPACING_JITTER, _GROWTH = 1.1, 0.9, 0.25


@compiled()
def _ground_at(t, background, u, v):  # type: ignore[no-untyped-def]
    """Return the inverse depth of the ground plane above that of the horizon."""
    a, b, c = t.plane[background]
    return a * u + b * v + c - t.horizon_level[background]


@compiled()
def place_in_row(t, sample, things, which):  # type: ignore[no-untyped-def]
    """Place an object before or behind the objects 0 .. which - 1 of a row. Returns False if it has no place there.

    It is as high as the first object would be at its place, or as perspective says if that placed the first one.
    """
    first, thing, background = things[0], things[which], sample.background
    a, b, c = t.plane[background]
    level = t.horizon_level[background]
    middle = t.background_size[background, 0] / 2
    vanishing_v = -(a * middle + c - level) / b
    near = _ground_at(t, background, first.contact_background_u, first.contact_background_v)
    if not (near > 0.0 and vanishing_v == vanishing_v):  # without a plane or a horizon, these are NaN
        return False
    low, high = t.scale[thing.foreground]
    policy = first.policy
    nearest, farthest = 1.0, 1.0  # distance / distance of the first object
    for other in range(which):
        ground = _ground_at(t, background, things[other].contact_background_u, things[other].contact_background_v)
        if ground > 0.0:
            nearest, farthest = min(nearest, near / ground), max(farthest, near / ground)
    along_u, along_v = first.contact_background_u - middle, first.contact_background_v - vanishing_v
    own, reference = t.foreground_size[thing.foreground], t.foreground_size[first.foreground]
    foot = first.height * t.contact[first.foreground, 1] / reference[1]
    beside = foot / t.contact[thing.foreground, 1] * np.sqrt(own[0] * own[1] / (t.width * t.height))
    for attempt in range(t.retries):
        behind, gap, size, _ = uniforms(t.seed, _ROW, sample.index, which, attempt + 1)
        jitter = 1.0 + t.size_jitter * (2.0 * size - 1.0)
        if policy == _PERSPECTIVE:
            beside = perspective_scale(
                t, sample, thing.foreground, first.contact_background_u, first.contact_background_v, jitter
            )
        set_size(t, thing, beside)
        # On the ground, a width of w pixels is w / f times the distance. The focal length f is not known; it is taken
        # to be the width of the photo.
        width = max(thing.width, first.width) / (t.background_size[background, 0] * sample.scale_x)
        spacing = width * (_LEAST_SPACING + _SPACING_JITTER * gap) * (1.0 + _GROWTH * attempt)
        distance = farthest + spacing if behind < 0.5 else nearest - spacing
        if not distance > 0.0:
            thing.rejected_row += 1
            continue
        u, v = middle + along_u / distance, vanishing_v + along_v / distance
        if policy != _RANDOM and not may_stand(t, sample, thing.foreground, u, v):
            thing.rejected_row += 1
            continue
        scale = beside / distance
        if not low <= scale <= high:
            thing.rejected_size += 1
            continue
        set_size(t, thing, scale)
        if settles_at(t, sample, things, which, u, v):
            thing.policy = policy
            return True
    return False
