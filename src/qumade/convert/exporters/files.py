"""Files that every export writes: copied images, and nothing twice."""

from pathlib import Path

from qumade.convert.exporters.samples import Chunk
from qumade.io.files import write_bytes
from qumade.io.pictures import read_picture

__all__ = ["copy_image", "write_missing"]


def copy_image(chunk: Chunk, n: int, folder: Path) -> str:
    """Copy the image of a sample byte for byte, unless it is there; return its file name."""
    source = chunk.dataset.path("images", n)
    target = folder / source.name
    if not target.exists():
        write_bytes(target, read_picture(source))
    return source.name


def write_missing(path: Path, data: bytes) -> None:
    """Write a whole file unless it is there: an earlier run of the same command has written it."""
    if not path.exists():
        write_bytes(path, data)
