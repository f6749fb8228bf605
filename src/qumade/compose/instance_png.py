"""Instance maps as 16-bit grey PNG, a tenth of the time that a general compressor takes.

Such a map is long runs of few values, so its rows are written as runs: RFC 1951 (DEFLATE) with the fixed Huffman codes,
in the container of RFC 1950 with its Adler-32 checksum.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from qumade.compose.boxes import shows_any
from qumade.jit import compiled

__all__ = ["instances_png"]

_LONGEST = 258  # bytes that one match repeats
# Symbols 257 to 285 stand for lengths: the first length of each, and how many bits follow that count on from it.
_FIRST = (
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    13,
    15,
    17,
    19,
    23,
    27,
    31,
    35,
    43,
    51,
    59,
    67,
    83,
    99,
    115,
    131,
    163,
    195,
    227,
    258,
)
_EXTRA = (0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0)


def _fixed_code(symbol: int) -> tuple[int, int]:
    """Return the bits of a symbol in the order in which they are written, lowest first, and their number."""
    if symbol < 144:
        code, bits = 0x30 + symbol, 8
    elif symbol < 256:
        code, bits = 0x190 + symbol - 144, 9
    elif symbol < 280:
        code, bits = symbol - 256, 7
    else:
        code, bits = 0xC0 + symbol - 280, 8
    return int(f"{code:0{bits}b}"[::-1], 2), bits


_CODES = np.array([_fixed_code(symbol) for symbol in range(286)], np.uint64)


def _matches() -> NDArray[np.uint64]:
    """Return for each length the bits of a match without its distance, and their number, uint64 [259, 2]."""
    table = np.zeros((_LONGEST + 1, 2), np.uint64)
    for symbol, (first, extra) in enumerate(zip(_FIRST, _EXTRA, strict=True), 257):
        code, bits = _fixed_code(symbol)
        for more in range(1 << extra):
            if first + more <= _LONGEST:
                table[first + more] = code | more << bits, bits + extra
    return table


_MATCHES = _matches()


def instances_png(numbers: NDArray[np.unsignedinteger]) -> bytes:
    """Return an instance map [H, W] of numbers below 65536 as the bytes of a 16-bit grey PNG (ISO/IEC 15948)."""
    height, width = numbers.shape
    # At most 5 bytes for each pixel: two literals of 9 bits and two matches.
    packed = np.empty(5 * numbers.size + 4 * height + 64, np.uint8)
    size, checksum = _deflate(np.ascontiguousarray(numbers), packed, _CODES, _MATCHES)
    data = b"\x78\x01" + packed[:size].tobytes() + struct.pack(">I", checksum)
    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
        for kind, content in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    )


@compiled(nogil=True, inline="always")
def _put(packed, state, bits, count):  # type: ignore[no-untyped-def]
    """Append bits, lowest first. `state` is the bits that fill no byte yet, their number, and the size in bytes."""
    held = state[0] | bits << state[1]
    number = state[1] + count
    size = state[2]
    while number >= np.uint64(8):
        packed[size] = held & np.uint64(255)
        held >>= np.uint64(8)
        number -= np.uint64(8)
        size += np.uint64(1)
    state[0], state[1], state[2] = held, number, size


@compiled(nogil=True)
def _repeat(packed, state, length, distance, codes, matches):  # type: ignore[no-untyped-def]
    """Append `length` bytes that repeat the last `distance` bytes, 1 or 2. Fewer than 3 bytes must be zeros."""
    far = np.uint64(16) if distance == 2 else np.uint64(0)  # five bits of the distance's symbol, reversed
    while length >= 3:
        part = min(length, 258)
        if distance == 2 and length - part == 2:
            part -= 2  # so that what is left is long enough for a match
        _put(packed, state, matches[part, 0] | far << matches[part, 1], matches[part, 1] + np.uint64(5))
        length -= part
    for _ in range(length):
        _put(packed, state, codes[0, 0], codes[0, 1])


@compiled(nogil=True)
def _deflate(numbers, packed, codes, matches):  # type: ignore[no-untyped-def]
    """Compress rows of big-endian 16-bit pixels, each after the number 0 of its filter; return size in bytes and the
    checksum of what was compressed."""
    rows, columns = numbers.shape
    total = np.int64(rows) * (2 * columns + 1)
    first, second = np.int64(1), total % 65521  # the two sums of Adler-32
    state = np.zeros(3, np.uint64)
    _put(packed, state, np.uint64(3), np.uint64(3))  # the last block, with fixed codes
    zeros = 0  # bytes that are not written yet
    for y in range(rows):
        zeros += 1  # the filter
        if not shows_any(numbers[y]):
            zeros += 2 * columns
            continue
        x = 0
        while x < columns:
            value = numbers[y, x]
            end = x + 1
            while end < columns and numbers[y, end] == value:
                end += 1
            count = end - x
            if value == 0:
                zeros += 2 * count
                x = end
                continue
            if zeros > 0:
                _put(packed, state, codes[0, 0], codes[0, 1])
                _repeat(packed, state, zeros - 1, 1, codes, matches)
                zeros = 0
            high, low = np.int64(value) >> 8, np.int64(value) & 255
            for _ in range(count if count < 3 else 1):
                _put(packed, state, codes[high, 0], codes[high, 1])
                _put(packed, state, codes[low, 0], codes[low, 1])
            if count >= 3:
                _repeat(packed, state, 2 * (count - 1), 2, codes, matches)
            # The byte at place i, from 0, counts total - i times in the second sum.
            after = total - (np.int64(y) * (2 * columns + 1) + 1 + 2 * np.int64(x))
            reach = count * after - count * (count - 1)
            first = (first + count * (high + low)) % 65521
            second = (second + (reach % 65521) * high + ((reach - count) % 65521) * low) % 65521
            x = end
    if zeros > 0:
        _put(packed, state, codes[0, 0], codes[0, 1])
        _repeat(packed, state, zeros - 1, 1, codes, matches)
    _put(packed, state, codes[256, 0], codes[256, 1])  # the end of the block
    _put(packed, state, np.uint64(0), np.uint64(7))  # whole bytes
    return np.int64(state[2]), second << 16 | first
