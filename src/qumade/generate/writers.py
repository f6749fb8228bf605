"""Writers take the files of drawn samples. Nothing else knows where samples go."""

import os
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from qumade.data.encode import Encoded
from qumade.io.files import write_in_folder

__all__ = ["FolderWriter", "Writer"]


class Writer(Protocol):
    """Takes drawn samples. A sample that has been written is there whole, or not at all."""

    def write(self, stem: str, encoded: Encoded) -> None: ...


class FolderWriter:
    """One file a sample in each folder. A file gets its name only when it is whole."""

    def __init__(self, root: Path, suffixes: dict[str, str]) -> None:
        """`suffixes`: of each folder's files; the folders are made where they are missing."""
        self.root = root
        self.suffixes = suffixes
        self._folders = {}
        for folder in suffixes:
            (root / folder).mkdir(exist_ok=True)
            self._folders[folder] = os.open(root / folder, os.O_RDONLY)

    def write(self, stem: str, encoded: Encoded) -> None:
        """Writes a sample's files, over older ones. OSError names the file."""
        for folder, content in encoded.files.items():
            name = stem + self.suffixes[folder]
            try:
                write_in_folder(self._folders[folder], name, content)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self.root / folder / name)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for folder in self._folders.values():
            os.close(folder)
