"""Files that every export writes: copied images, and nothing twice."""

from pathlib import Path

from qumade.convert.exporters.samples import Chunk
from qumade.io.files import write_bytes

__all__ = ["copy_image", "write_missing"]


def copy_image(chunk: Chunk, n: int, folder: Path) -> str:
    """Copy the image of a sample byte for byte, unless it is there; return its file name."""
    name = chunk.dataset.file_name("images", n)
    if not (folder / name).exists():
        write_bytes(folder / name, chunk.dataset.content("images", n))
    return name


def write_missing(path: Path, data: bytes) -> None:
    """Write a whole file unless it is there: an earlier run of the same command has written it."""
    if not path.exists():
        write_bytes(path, data)
