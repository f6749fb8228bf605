"""The work that an executor runs where the command's own process shall not run the networks: it labels pictures."""

import hashlib
import platform
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qumade.errors import AssetError, RunError
from qumade.generation.executors import Executor
from qumade.io.decode import read_rgb
from qumade.io.pictures import printable, read_picture
from qumade.teachers.cache import Chunk, Map

__all__ = ["LabelPictures", "label_elsewhere"]

Files = list[tuple[Path, Path, bytes]]
"""The file for each map, the picture, and the picture's content: other machines need not reach it."""


@dataclass
class LabelPictures:
    """Labels chunks of pictures with the teacher that `teacher(model)` makes in each process.

    The machine must have the same model: raises QumadeError for one whose fingerprint is not `fingerprint`, and for a
    picture whose content has not the hash that the file of its map is named by.
    """

    teacher: Callable[[str | Path], Any]
    model: str | Path
    fingerprint: str
    opened: Any = field(default=None, init=False)

    def open(self) -> None:
        self.opened = self.teacher(self.model)
        if self.opened.fingerprint != self.fingerprint:
            raise RunError(
                f"Invalid cluster: got another network {self.model} on node {platform.node()} than where the command "
                "runs; must be the same files"
            )

    def close(self) -> None:
        self.opened = None

    def __call__(self, unit: Files, stopped: Callable[[], bool]) -> tuple[Chunk, list[Map]]:
        """Returns the chunk and its maps. It is not stopped within: it has a few pictures."""
        pictures = []
        with tempfile.TemporaryDirectory() as folder:
            for file, path, content in unit:
                if hashlib.sha256(content).hexdigest() != file.stem:
                    raise AssetError(f"Invalid picture: {printable(path)} has changed meanwhile; must stay unchanged")
                copy = Path(folder) / path.name
                copy.write_bytes(content)
                pictures.append(read_rgb(copy))
        return [(file, path) for file, path, _ in unit], self.opened.predict(pictures, self.opened.batch_size)


def label_elsewhere(
    executor: Executor, work: LabelPictures, chunks: Iterable[Chunk]
) -> Iterator[tuple[Chunk, list[Map]]]:
    """Yields each chunk with the maps of its pictures, in any order, predicted where `executor` runs the work."""
    return executor(work, ([(file, path, read_picture(path)) for file, path in chunk] for chunk in chunks))
