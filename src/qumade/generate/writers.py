"""Writers store the files of drawn samples."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from qumade.data.encode import Encoded

__all__ = ["FolderWriter", "Writer", "remove_temporary_files"]

_TEMPORARY = ".tmp-"


class Writer(Protocol):
    """Stores drawn samples, in one process at a time; it can be pickled while it is closed. A sample is stored
    completely or not at all."""

    def open(self) -> None: ...

    def write(self, stem: str, encoded: Encoded) -> None: ...

    def close(self) -> None: ...


class FolderWriter:
    """Writes one file per sample in each folder. A file gets its name only when it is complete."""

    def __init__(self, root: Path, suffixes: Mapping[str, str]) -> None:
        """`suffixes` are the file suffixes by folder; `open` creates missing folders."""
        self.root = root
        self.suffixes = dict(suffixes)
        self._folders: dict[str, int] = {}

    def open(self) -> None:
        """Opens the folders. Raises OSError."""
        self._prefix = f"{_TEMPORARY}{os.getpid()}-"
        for folder in self.suffixes:
            (self.root / folder).mkdir(exist_ok=True)
            # With names relative to an open folder the kernel need not resolve the path, three times per sample.
            self._folders[folder] = os.open(self.root / folder, os.O_RDONLY)

    def close(self) -> None:
        while self._folders:
            os.close(self._folders.popitem()[1])

    def write(self, stem: str, encoded: Encoded) -> None:
        """Writes a sample's files and replaces older ones. Raises OSError naming the file."""
        for folder, content in encoded.files.items():
            name = stem + self.suffixes[folder]
            try:
                self._write(self._folders[folder], name, content)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self.root / folder / name)) from None

    def _write(self, folder: int, name: str, content: bytes) -> None:
        temporary = self._prefix + name
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666, dir_fd=folder)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(file, view) :]
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise
        finally:
            os.close(file)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


def remove_temporary_files(root: Path, folders: Iterable[str]) -> None:
    """Removes files that killed writers left behind."""
    for folder in folders:
        if not (root / folder).is_dir():
            continue
        with os.scandir(root / folder) as entries:
            left = [entry.path for entry in entries if entry.name.startswith(_TEMPORARY)]
        for path in left:
            Path(path).unlink(missing_ok=True)
