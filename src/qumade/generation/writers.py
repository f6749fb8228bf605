"""Writers store the files of drawn samples."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

from qumade.data.encode import Encoded
from qumade.generation.files_check import damaged_stems
from qumade.io.files import write_in_folder

__all__ = ["FolderWriter", "Writer"]


class Writer(Protocol):
    """Stores drawn samples, in one process at a time; it can be pickled while it is closed. A sample is stored
    completely or not at all."""

    def open(self) -> None: ...

    def write(self, stem: str, encoded: Encoded) -> None: ...

    def close(self) -> None: ...

    def damaged(self, stems: Collection[str], *, inside: bool, progress: bool = False) -> set[str]:
        """Returns those of these samples that are not wholly stored: missing, empty or, with `inside`, torn."""


class FolderWriter:
    """Writes one file per sample in each folder. A file gets its name only when it is complete."""

    def __init__(self, root: Path, suffixes: Mapping[str, str]) -> None:
        """`suffixes` are the file suffixes by folder; `open` creates missing folders."""
        self.root = root
        self.suffixes = dict(suffixes)
        self._folders: dict[str, int] = {}

    def open(self) -> None:
        """Opens the folders. Raises OSError."""
        for folder in self.suffixes:
            (self.root / folder).mkdir(exist_ok=True)
            # With names relative to an open folder the kernel need not resolve the path, three times per sample.
            self._folders[folder] = os.open(self.root / folder, os.O_RDONLY)

    def close(self) -> None:
        while self._folders:
            os.close(self._folders.popitem()[1])

    def damaged(self, stems: Collection[str], *, inside: bool, progress: bool = False) -> set[str]:
        """Returns the samples of which a file is missing, empty or, with `inside`, torn. Looks while it is closed."""
        return damaged_stems(self.root, self.suffixes, stems, inside=inside, progress=progress)

    def write(self, stem: str, encoded: Encoded) -> None:
        """Writes a sample's files and replaces older ones. Raises OSError naming the file."""
        for folder, content in encoded.files.items():
            name = stem + self.suffixes[folder]
            try:
                write_in_folder(self._folders[folder], name, content)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self.root / folder / name)) from None
