"""The work that an executor runs where the command's own process shall not run the networks: it labels pictures."""

import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qumade.errors import AssetError, RunError
from qumade.io.decode import read_rgb
from qumade.io.pictures import content_hash, printable
from qumade.teachers.cache import Chunk, Map

__all__ = ["LabelPictures"]


@dataclass
class LabelPictures:
    """Labels chunks of pictures with the teacher that `teacher(model)` makes in each process.

    The machine must have the same model and the same pictures under the same paths: raises QumadeError for a teacher
    whose fingerprint is not `fingerprint`, and for a picture of other content.
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

    def __call__(self, unit: Chunk, stopped: Callable[[], bool]) -> tuple[Chunk, list[Map]]:
        """Returns the chunk and its maps. It is not stopped within: it has a few pictures."""
        for file, path in unit:
            if content_hash(path) != file.stem:
                where = f"{printable(path)} on node {platform.node()}"
                raise AssetError(f"Invalid picture: got other content of {where} than where the command runs")
        return unit, self.opened.predict([read_rgb(path) for _, path in unit], self.opened.batch_size)
