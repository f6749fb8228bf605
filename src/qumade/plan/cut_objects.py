"""Positions for objects that are cut on one side: it lies beyond the edge of the image, or behind another object.

Compiled.
"""

from qumade.assets.cut_sides import CUT_SIDES
from qumade.jit import compiled
from qumade.plan.contacts import may_stand, perspective_scale, set_size
from qumade.plan.coordinates import to_background, to_sample
from qumade.plan.tables import POLICIES
from qumade.plan.visibility import CUT_SHARE

__all__ = ["cut_edge_left", "cut_left", "cut_place"]

_LEFT, _PERSPECTIVE = CUT_SIDES.index("left"), POLICIES.index("perspective")
# Where the cut is drawn behind another object, as shares of that object's width from its left.
_BEHIND_FROM, _BEHIND_RANGE = 0.1, 0.8


@compiled()
def cut_edge_left(t, thing, hidden):  # type: ignore[no-untyped-def]
    """Return the left of an object of which the share `hidden` is beyond the edge of the image."""
    if t.cut[thing.foreground] == _LEFT:
        return -hidden * thing.width
    return t.width - (1.0 - hidden) * thing.width


@compiled()
def cut_left(t, things, which, attempt, r):  # type: ignore[no-untyped-def]
    """Return a left for an object that is cut, by a random number `r`: at the edge of the image, or with the cut behind
    an object that was placed before, in turn."""
    thing = things[which]
    if which > 0 and attempt % 2 == 1:
        other = things[(attempt // 2) % which]
        at = other.left + (_BEHIND_FROM + _BEHIND_RANGE * r) * other.width
        return at if t.cut[thing.foreground] == _LEFT else at - thing.width
    return cut_edge_left(t, thing, CUT_SHARE + r * max(0.0, 1.0 - t.min_visible - CUT_SHARE))


@compiled()
def cut_place(t, sample, things, which, policy, attempt, v, jitter, r):  # type: ignore[no-untyped-def]
    """Return whether an object that is cut may stand on the row `v` of the photo, and its left and top there, with its
    cut where it cannot be seen. Counts why it may not.

    Its size is set, and for perspective set again, since the horizon need not be level. At the edge of the image its
    contact may be outside: what counts is the ground at the edge.
    """
    thing = things[which]
    width, height = t.foreground_size[thing.foreground]
    contact_u, contact_v = t.contact[thing.foreground]
    if policy == _PERSPECTIVE:
        left = cut_left(t, things, which, attempt, r)
        u, _ = to_background(t, sample, left + contact_u / width * thing.width, 0.0)
        low, high = t.scale[thing.foreground]
        scale = perspective_scale(t, sample, thing.foreground, u, v, jitter)
        if not low <= scale <= high:
            thing.rejected_size += 1
            return False, 0.0, 0.0
        set_size(t, thing, scale)
    left = cut_left(t, things, which, attempt, r)
    at_u = left + contact_u / width * thing.width
    seen_u, _ = to_background(t, sample, min(max(at_u, 0.5), t.width - 0.5), 0.0)
    if not may_stand(t, sample, thing.foreground, seen_u, v):
        thing.rejected_horizon += 1
        return False, 0.0, 0.0
    _, at_v = to_sample(t, sample, seen_u, v)
    return True, left, at_v - contact_v / height * thing.height
