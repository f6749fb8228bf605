"""Paste one cut-out into image, mask and depth. Only the pixels of its box are touched."""

import numpy as np

from qumade.geometry import BEHIND
from qumade.jit import compiled

__all__ = ["paste"]

GREEN, BLUE, ALPHA, NEXT = np.uint32(1), np.uint32(2), np.uint32(3), np.uint32(4)
ONE, HALF = np.float32(1.0), np.float32(32767.5)
LEAST_NEARING = np.float32(0.05)
FROM_16_BITS, TO_8_BITS = np.float32(1.0 / 65535.0), np.float32(255.0 / 65535.0)


@compiled(nogil=True)
def _level_for(levels, width, height):  # type: ignore[no-untyped-def]
    """Return the smallest level that is at least as large as the drawn size, or else the largest level."""
    chosen = 0
    for level in range(1, len(levels)):
        if levels[level, 1] >= width and levels[level, 2] >= height:
            chosen = level
    return chosen


@compiled(nogil=True)
def _drawn_range(start, length, source_length):  # type: ignore[no-untyped-def]
    """Return the range of the pixels whose centres lie in the bordered source: 0 <= position < source_length + 1."""
    margin = 0.5 * length / source_length
    return int(np.ceil(start - margin - 0.5)), int(np.ceil(start + length + margin - 0.5))


@compiled(nogil=True)
def _position(pixel, start, step, source_length):  # type: ignore[no-untyped-def]
    """Return the position of a pixel's centre in the bordered source: 0 at the centre of its first column or row."""
    position = (pixel + 0.5 - start) * step + 0.5
    # Rounding may exceed the range by an ulp, which would read beyond the border.
    return min(max(position, 0.0), np.nextafter(source_length + 1.0, 0.0))


@compiled(nogil=True, inline="always")
def _over(near, far, fraction, under, through):  # type: ignore[no-untyped-def]
    """Interpolate one premultiplied channel between two columns and composite it over an 8-bit value, rounded."""
    value = (near + (far - near) * fraction) * TO_8_BITS + np.float32(under) * through
    return np.uint8(min(value + np.float32(0.5), np.float32(255.0)))


@compiled(nogil=True)
def paste(  # type: ignore[no-untyped-def]
    image, mask, inverse_depth, owner, visible, occluder, horizon_level,
    pixels, levels, relief, number, left, top, width, height, depth,
):  # fmt: skip
    """Paste object `number` (1, 2, ...; far to near) and return how many opaque pixels it has, hidden ones included.

    Updated in place: image uint8 [H, W, 3]; mask uint8 [H, W], coverage by all objects so far; inverse_depth float32
    [H, W]; owner uint8 [H, W], the object that covers at least half of a pixel, 0 for none; visible int64
    [objects + 1], the number of pixels of each owner. `occluder` float32 [H, W], or [0, 0] for none, is the inverse
    depth of everything that may hide objects, relative to `horizon_level`, the inverse depth at infinity. `pixels`,
    `levels` and `relief` are those of a Pyramid. (left, top, width, height) is the cut-out's box in sample pixels, and
    `depth` the inverse depth of its contact.

    Colours are blended source over destination, premultiplied (T. Porter, T. Duff, "Compositing digital images",
    SIGGRAPH 1984).
    Depth is never blended. It is written where alpha is at least one half: 1 / (Z + r) at distance Z with relief r.
    """
    rows, columns = mask.shape
    level = _level_for(levels, width, height)
    start, level_width, level_height = levels[level]
    stride = level_width + 2
    step_x, step_y = level_width / width, level_height / height
    # Pixels are drawn up to half a source pixel beyond the box; the border is transparent there.
    first_x, last_x = _drawn_range(left, width, level_width)
    first_y, last_y = _drawn_range(top, height, level_height)
    drawn = max(0, last_x - first_x)
    # Unsigned: an index that may be negative costs a test at every use.
    source = np.empty(drawn, np.uint32)
    fraction = np.empty(drawn, np.float32)
    for n in range(drawn):
        u = _position(first_x + n, left, step_x, level_width)
        source[n] = np.uint32(u) * np.uint32(4)
        fraction[n] = np.float32(u - np.floor(u))
    line = np.empty(stride * 4, np.float32)
    hide = occluder.size > 0
    solid = relief.size > 0
    relief_x, relief_y = relief.shape[1] / width, relief.shape[0] / height
    behind, level_zero = np.float32(BEHIND), np.float32(horizon_level)
    own = depth
    whole = 0
    for y in range(first_y, last_y):
        v = _position(y, top, step_y, level_height)
        upper = pixels[start + int(v) * stride : start + int(v) * stride + stride].reshape(-1)
        lower = pixels[start + (int(v) + 1) * stride : start + (int(v) + 2) * stride].reshape(-1)
        down = np.float32(v - np.floor(v))
        up = np.float32(1.0) - down
        for n in range(stride * 4):
            line[n] = upper[n] * up + lower[n] * down
        inside_row = 0 <= y < rows
        for n in range(drawn):
            at = source[n]
            right = fraction[n]
            alpha = line[at + ALPHA] + (line[at + NEXT + ALPHA] - line[at + ALPHA]) * right
            opaque = alpha >= HALF
            whole += opaque
            x = first_x + n
            if alpha < ONE or not inside_row or x < 0 or x >= columns:
                continue
            if solid:
                relief_row = min(max(int((y + 0.5 - top) * relief_y), 0), relief.shape[0] - 1)
                relief_column = min(max(int((x + 0.5 - left) * relief_x), 0), relief.shape[1] - 1)
                # A relief that extends to the camera or behind it was made for an object farther away.
                own = depth / max(ONE + depth * relief[relief_row, relief_column], LEAST_NEARING)
            if hide and occluder[y, x] > (own - level_zero) * behind:
                continue
            through = ONE - alpha * FROM_16_BITS
            pixel = image[y, x]
            pixel[0] = _over(line[at], line[at + NEXT], right, pixel[0], through)
            pixel[1] = _over(line[at + GREEN], line[at + NEXT + GREEN], right, pixel[1], through)
            pixel[2] = _over(line[at + BLUE], line[at + NEXT + BLUE], right, pixel[2], through)
            mask[y, x] = _over(alpha, alpha, right, mask[y, x], through)
            if opaque:
                inverse_depth[y, x] = own
                visible[owner[y, x]] -= 1
                visible[number] += 1
                owner[y, x] = number
    return whole
