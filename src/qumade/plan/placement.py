"""Choose the crop of a sample and the position and size of its objects. Compiled, over the arrays of PlanTables.

The code uses only + - * /, square roots and comparisons of doubles, which every machine rounds in the same way.
"""

import numpy as np

from qumade.assets.catalog import SILHOUETTE_PX
from qumade.jit import compiled
from qumade.plan.contacts import (
    ground_inverse_depth,
    left_and_top,
    perspective_scale,
    set_position,
    set_size,
    settles,
    standing_range,
    stands,
)
from qumade.plan.coordinates import to_background, to_sample
from qumade.plan.cut_objects import cut_edge_left, cut_left, cut_place
from qumade.plan.layout_bins import accepted_share
from qumade.plan.random_numbers import Stream, uniforms
from qumade.plan.rows import place_in_row
from qumade.plan.tables import POLICIES
from qumade.plan.visibility import CUT_SHARE, LEAST_PX

__all__ = ["CROP_STEPS", "crop_share", "place_sample", "resized_size"]

CROP_STEPS = 16
"""Number of steps in a range of crop sizes. Each background is resized to at most this many sizes."""

# As np.int64: a plain int is a constant, and the compiler compiles a function once more for each constant it is given.
_CROP, _OBJECT_COUNT = np.int64(Stream.CROP), np.int64(Stream.OBJECT_COUNT)
_FOREGROUND, _PLACEMENT = np.int64(Stream.FOREGROUND), np.int64(Stream.PLACEMENT)
_POLICY, _STANDING = np.int64(Stream.POLICY), np.int64(Stream.STANDING)
_LAYOUT, _ROW = np.int64(Stream.LAYOUT), np.int64(Stream.ROW)
_RANDOM, _PERSPECTIVE = np.int64(POLICIES.index("random")), np.int64(POLICIES.index("perspective"))
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
def _has_ground(t, sample):  # type: ignore[no-untyped-def]
    """Whether any point of a grid over the crop is ground that an object can stand on."""
    for row in range(_SEARCH, 0, -1):
        for column in range(_SEARCH):
            u, v = to_background(t, sample, (column + 0.5) / _SEARCH * t.width, row / _SEARCH * t.height)
            if stands(t, sample.background, ground_inverse_depth(t, sample.background, u, v)):
                return True
    return False


@compiled()
def _draw_random(t, sample, things, which, attempt):  # type: ignore[no-untyped-def]
    """Draw size and position, the centre in the recipe's rows. Sets the size; returns left and top."""
    thing = things[which]
    low, high = t.scale[thing.foreground]
    size, x, y, _ = uniforms(t.seed, _PLACEMENT, sample.index, which, attempt)
    set_size(t, thing, low + (high - low) * size)
    centre_v = (t.centre_row[0] + (t.centre_row[1] - t.centre_row[0]) * y) * t.height
    left = cut_left(t, things, which, attempt, x) if t.cut[thing.foreground] else x * t.width - thing.width / 2
    return left, centre_v - thing.height / 2


@compiled()
def _draw_entry(t, foreground, start, stop, r):  # type: ignore[no-untyped-def]
    # A road reaches the edges of the image where it is near, and far from there most distances are.
    if len(t.standing_weights) == 0 or t.cut[foreground]:
        return start + int(r * (stop - start))
    return start + np.searchsorted(t.standing_weights[start : stop - 1], r, side="right")


@compiled()
def _crop_holds_standing(t, sample):  # type: ignore[no-untyped-def]
    """Whether the crop contains a place for the first cut-out. Tests an evenly spaced subset of its standing pixels."""
    start, stop = standing_range(t, sample, sample.foreground)
    width = t.background_size[sample.background, 0]
    for probe in range(min(_PROBES, stop - start)):
        pixel = t.standing_pixels[start + probe * (stop - start) // min(_PROBES, stop - start)]
        u, v = to_sample(t, sample, pixel % width + 0.5, pixel // width + 0.5)
        if 0 <= u < t.width and 0 <= v < t.height:
            return True
    return False


@compiled()
def _draw_standing(t, sample, things, which, policy, attempt):  # type: ignore[no-untyped-def]
    """Draw a pixel of the object's standing classes, and a random size or the size that perspective gives.

    Sets the size; returns whether the object may stand there, and its left and top.
    """
    thing = things[which]
    low, high = t.scale[thing.foreground]
    start, stop = standing_range(t, sample, thing.foreground)
    if start == stop:
        return False, 0.0, 0.0
    photo_width = t.background_size[sample.background, 0]
    r, in_column, in_row, size = uniforms(t.seed, _STANDING, sample.index, which, attempt)
    pixel = t.standing_pixels[_draw_entry(t, thing.foreground, start, stop, r)]
    # Anywhere in the pixel except at its very edge: rounding must not move the contact into the next pixel.
    background_u = pixel % photo_width + 0.001 + 0.998 * in_column
    background_v = pixel // photo_width + 0.001 + 0.998 * in_row
    jitter = 1.0 + t.size_jitter * (2.0 * size - 1.0)
    if policy == _PERSPECTIVE:
        scale = perspective_scale(t, sample, thing.foreground, background_u, background_v, jitter)
        if not low <= scale <= high:
            thing.rejected_size += 1
            return False, 0.0, 0.0
    else:
        scale = low + (high - low) * size
    set_size(t, thing, scale)
    if t.cut[thing.foreground]:
        return cut_place(t, sample, things, which, policy, attempt, background_v, jitter, in_column)
    left, top = left_and_top(t, sample, thing, background_u, background_v)
    return True, left, top


@compiled()
def _try(t, sample, things, which, policy, attempt):  # type: ignore[no-untyped-def]
    """Draw size and position of an object by a policy. Returns False if it cannot be there."""
    # What `settles` calls is large, and the compiler copies it to every place that calls it: there is one.
    if policy == _RANDOM:
        left, top = _draw_random(t, sample, things, which, attempt)
    else:
        stands_there, left, top = _draw_standing(t, sample, things, which, policy, attempt)
        if not stands_there:
            return False
    if not settles(t, sample, things, which, left, top):
        return False
    if policy != _RANDOM:
        things[which].policy = policy
    return True


@compiled()
def _place_by(t, sample, things, which, policy):  # type: ignore[no-untyped-def]
    """Place an object by a policy, in the sizes and rows of the layout. Returns False if it can be nowhere.

    If the layout accepts no draw, one of them is taken, with a probability in proportion to the share of such
    placements that the layout accepts (D. B. Rubin, "The calculation of posterior distributions by data augmentation:
    comment", 1987: sampling importance resampling).
    """
    thing = things[which]
    chosen, total = -1, 0.0
    for attempt in range(t.retries + 1):
        last = attempt == t.retries
        if last and chosen < 0:
            return False
        if not _try(t, sample, things, which, policy, chosen if last else attempt):
            if last:
                return False
            continue
        if last:
            return True
        share = accepted_share(t, thing)
        accept, choose, _, _ = uniforms(t.seed, _LAYOUT, sample.index, which, attempt)
        if share >= 1.0 or accept < share:
            return True
        thing.rejected_layout += 1
        total += share
        if chosen < 0 or choose * total < share:
            chosen = attempt
    return False


@compiled()
def _place(t, sample, things, which, policy, in_row):  # type: ignore[no-untyped-def]
    """Place an object in the row of the others or by the sample's policy, or at random if that fails."""
    if in_row and not t.cut[things[which].foreground]:
        if place_in_row(t, sample, things, which):
            return True
        things[which].fallback = True
    by = policy
    while not _place_by(t, sample, things, which, by):
        if by == _RANDOM:
            return False
        things[which].fallback = True
        by = _RANDOM
    return True


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
    # The smallest that can be seen: a size of less than a pixel would leave the mask empty.
    low, high = t.scale[thing.foreground]
    opaque = t.silhouette_sums[thing.foreground, -1, -1] / (SILHOUETTE_PX * SILHOUETTE_PX)
    set_size(t, thing, min(max(low, np.sqrt(2.0 * LEAST_PX / (opaque * t.width * t.height))), high))
    room = t.width - thing.width
    contact_x, contact_y = t.contact[thing.foreground] / t.foreground_size[thing.foreground]
    for row in range(_SEARCH, 0, -1):
        top = row / _SEARCH * t.height - contact_y * thing.height
        for column in range(_SEARCH):
            left = room * ((x + column / _SEARCH) % 1.0)
            if t.cut[thing.foreground]:
                left = cut_edge_left(t, thing, CUT_SHARE)
            if set_position(t, sample, thing, left, top):
                return True
    # No ground at these positions. The object may stand wherever _has_ground found some, partly outside the image.
    for row in range(_SEARCH, 0, -1):
        top = row / _SEARCH * t.height - contact_y * thing.height
        for column in range(_SEARCH):
            left = (column + 0.5) / _SEARCH * t.width - contact_x * thing.width
            if set_position(t, sample, thing, left, top):
                return True
    return False


@compiled()
def _wanted(t, number):  # type: ignore[no-untyped-def]
    """Return the number of objects for a random number in [0, 1)."""
    if len(t.number_end) == 0:
        return t.objects[0] + int(number * (t.objects[1] - t.objects[0] + 1))
    more = 0
    while more < len(t.number_end) - 1 and number >= t.number_end[more]:
        more += 1
    return t.objects[0] + more


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
    start, stop = standing_range(t, sample, sample.foreground)
    for attempt in range(t.retries):
        _draw_crop(t, sample, attempt)
        if _crop_holds_standing(t, sample) if policy != _RANDOM and start < stop else _has_ground(t, sample):
            break
        sample.crops_rejected += 1
    number, _, _, _ = uniforms(t.seed, _OBJECT_COUNT, index, 0, 0)
    sample.wanted = _wanted(t, number)
    _draw_foregrounds(t, sample, things)
    in_row = uniforms(t.seed, _ROW, index, 0, 0)[0] < t.rows
    count = np.int64(0)
    # Draws are keyed by the object's position in the list: after a failure, the next try would repeat the same draws.
    while count < sample.wanted:
        if not _place(t, sample, things, count, policy, in_row and count > 0):
            if count > 0:
                break
            if not _place_fallback(t, sample, things[0]):
                return False
        count += 1
    sample.count = count
    _sort_far_to_near(things, count)
    return True
