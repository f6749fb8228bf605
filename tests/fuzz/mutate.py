"""Damage of bytes and of JSON values, from seeds: what disks, transfers, editors and attackers leave."""

from typing import Any

import numpy as np

Random = np.random.Generator

HOSTILE: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, float("inf"), float("nan"), 10**30, -(2**63), 2**31, "", "x" * 5000, "../../etc/passwd",
    "\x1b[31m\n\r\x07", "a\0b", [], [[]], [None], {}, {"a": {}}, "0", "nan",
)  # fmt: skip


def mutated(data: bytes, random: Random) -> bytes:
    """Return `data` with one to three damages; it may be equal by chance."""
    for _ in range(int(random.integers(1, 4))):
        data = DAMAGES[int(random.integers(len(DAMAGES)))](data, random)
    return data


def _at(data: bytes, random: Random) -> int:
    # The first bytes, which say what a file is, are as likely as all others together.
    end = min(len(data), 64) if random.random() < 0.5 else len(data)
    return int(random.integers(max(1, end)))


def _flip(data: bytes, random: Random) -> bytes:
    at = _at(data, random)
    return data[:at] + bytes([data[at] ^ 1 << int(random.integers(8))]) + data[at + 1 :] if data else data


def _overwrite(data: bytes, random: Random) -> bytes:
    at = _at(data, random)
    return data[:at] + random.bytes(int(random.integers(1, 9))) + data[at + 8 :]


def _cut(data: bytes, random: Random) -> bytes:
    return data[: _at(data, random)]


def _zeros(data: bytes, random: Random) -> bytes:
    """A block that a disk has lost."""
    at, length = _at(data, random), int(random.integers(1, 1 + max(1, len(data) // 3)))
    return data[:at] + bytes(len(data[at : at + length])) + data[at + length :]


def _remove(data: bytes, random: Random) -> bytes:
    at = _at(data, random)
    return data[:at] + data[at + int(random.integers(1, 40)) :]


def _repeat(data: bytes, random: Random) -> bytes:
    at = _at(data, random)
    return data[:at] + data[at : at + int(random.integers(1, 200))] * int(random.integers(2, 5)) + data[at:]


def _huge_number(data: bytes, random: Random) -> bytes:
    """A length that a parser may believe."""
    at = _at(data, random)
    return data[:at] + b"\xff\xff\xff\x7f" + data[at + 4 :]


def _text(data: bytes, random: Random) -> bytes:
    at = _at(data, random)
    words = (
        b"1e999",
        b"-1",
        b": [",
        b"\n- ",
        b"!!python/object/apply:os.system",
        b"&a [*a]",
        b"\x00",
        b"\xff\xfe",
        b"..",
    )
    return data[:at] + words[int(random.integers(len(words)))] + data[at:]


DAMAGES = (_flip, _flip, _overwrite, _cut, _zeros, _remove, _repeat, _huge_number, _text)


def with_hostile_value(value: Any, random: Random) -> Any:
    """Return plain lists and mappings with one value replaced, removed or repeated somewhere."""
    if isinstance(value, dict) and value and random.random() < 0.85:
        key = list(value)[int(random.integers(len(value)))]
        if random.random() < 0.1:
            return {other: each for other, each in value.items() if other != key}
        return value | {key: with_hostile_value(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.85:
        at = int(random.integers(len(value)))
        if random.random() < 0.1:
            return [*value, value[at]]
        return [*value[:at], with_hostile_value(value[at], random), *value[at + 1 :]]
    return HOSTILE[int(random.integers(len(HOSTILE)))]
