"""A cache of predicted labels: one .npy file per picture, named by the content hashes of picture and teacher."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qumade.io.decode import read_rgb
from qumade.io.files import new_file, open_regular
from qumade.io.pictures import content_hash
from qumade.io.progress import progress_bar

__all__ = ["cached_maps", "file_fingerprint"]

_CHUNK_BATCHES = 4

Map = NDArray[Any]
Predict = Callable[[Sequence[NDArray[np.uint8]]], list[Map]]
Chunk = list[tuple[Path, Path]]
"""Pictures: the file for the map of each, whose stem is the hash of the picture's content, and the picture."""
Run = Callable[[Iterable[Chunk]], Iterator[tuple[Chunk, list[Map]]]]
"""Yields each chunk with the maps of its pictures, in any order."""


def cached_maps(
    paths: Sequence[Path], folder: Path, predict: Predict, *, batch_size: int, what: str, run: Run | None = None
) -> list[Path]:
    """The .npy file in `folder` of every picture's map, in order; those that are missing are predicted and written.

    `folder` must belong to one teacher. Pictures are read and predicted a few batches at a time; equal pictures once.
    After an interruption the finished files remain and are whole. `what` names the progress bar. `run` predicts
    elsewhere; by default `predict` does it here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{content_hash(path)}.npy" for path in paths]
    missing = {file: path for file, path in zip(files, paths, strict=True) if not file.exists()}
    if not missing:
        return files
    work = list(missing.items())
    step = batch_size * _CHUNK_BATCHES
    chunks = (work[start : start + step] for start in range(0, len(work), step))
    run = partial(_here, predict) if run is None else run
    with progress_bar(total=len(work), desc=what, unit="picture") as bar, closing(run(chunks)) as done:  # type: ignore[type-var]
        for chunk, maps in done:
            for (file, _), one in zip(chunk, maps, strict=True):
                with new_file(file, durable=True) as opened:
                    np.save(opened, one, allow_pickle=False)
            bar.update(len(chunk))
    return files


def _here(predict: Predict, chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, list[Map]]]:
    for chunk in chunks:
        yield chunk, predict([read_rgb(path) for _, path in chunk])


def file_fingerprint(files: Sequence[Path]) -> str:
    """One hash of the names and contents of files."""
    total = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.name):
        with open_regular(file) as stream:
            line = f"{file.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n"
            total.update(line.encode(errors="surrogateescape"))
    return total.hexdigest()
