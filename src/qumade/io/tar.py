"""Members of tar files (POSIX ustar) without owner and time, so equal contents give equal bytes."""

import tarfile
from collections.abc import Iterator

from qumade.errors import DatasetError

__all__ = ["BLOCK", "END", "read_members", "tar_member"]

BLOCK = 512
END = bytes(2 * BLOCK)
"""The end of a tar file."""

_LONGEST_NAME = 100
_EMPTY = tarfile.TarInfo("").tobuf(tarfile.USTAR_FORMAT)
# The checksum adds up the bytes of a header, its own eight counted as spaces; here without name and size.
_SUM = sum(_EMPTY[:124]) + sum(_EMPTY[136:148]) + 8 * ord(" ") + sum(_EMPTY[156:])


def tar_member(name: str, content: bytes) -> bytes:
    """Return a member: header, content, and zeros up to the next block. The header is that of `tarfile`, which takes
    eight times as long to make it: there are four for each sample.

    `name` has at most 100 bytes, `content` less than 8 GiB.
    """
    encoded = name.encode()
    if not 0 < len(encoded) <= _LONGEST_NAME:
        raise DatasetError(f"Invalid file name: got {name!r}; must have 1 to {_LONGEST_NAME} bytes in a tar file")
    size = b"%011o\0" % len(content)
    header = bytearray(_EMPTY)
    header[: len(encoded)] = encoded
    header[124:136] = size
    header[148:156] = b"%06o\0 " % (_SUM + sum(encoded) + sum(size))  # adding up all 512 bytes takes much longer
    return bytes(header) + content + bytes(-len(content) % BLOCK)


def read_members(data: bytes, source: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each member in a run of whole members, as `tar_member` makes them.

    Raises QumadeError naming `source` where a header is torn or damaged, or a member is not complete.
    """
    at = 0
    while at < len(data):
        header = data[at : at + BLOCK]
        if not any(header):
            return
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as error:
            raise DatasetError(f"Invalid tar: got a damaged header ({error}) in {source}; must be whole") from error
        at += BLOCK
        content = data[at : at + info.size]
        if not info.isreg() or info.size < 0 or len(content) < info.size:
            raise DatasetError(f"Invalid tar: got a torn member {info.name!r} in {source}; must be a whole file")
        yield info.name, content
        at += info.size + -info.size % BLOCK
