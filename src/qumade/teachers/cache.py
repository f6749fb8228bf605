"""Labels that were computed once are kept: one .npy a picture, named by the content hashes of picture and teacher."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from qumade.io.pictures import content_hash, read_rgb

__all__ = ["cached_maps", "file_fingerprint", "write_npy"]

_CHUNK_BATCHES = 4

Map = NDArray[Any]
Predict = Callable[[Sequence[NDArray[np.uint8]]], list[Map]]


def cached_maps(paths: Sequence[Path], folder: Path, predict: Predict, *, batch_size: int, what: str) -> list[Path]:
    """The .npy file in `folder` of every picture's map, in order; those that are missing are predicted and written.

    `folder` must belong to one teacher. Pictures are read and predicted a few batches at a time; equal pictures once.
    Whatever stops the work, what is written stays and is whole. `what` names the progress bar.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{content_hash(path)}.npy" for path in paths]
    missing = {file: path for file, path in zip(files, paths, strict=True) if not file.exists()}
    work = list(missing.items())
    step = batch_size * _CHUNK_BATCHES
    with tqdm(total=len(work), desc=what, unit="picture", disable=not work) as bar:
        for start in range(0, len(work), step):
            chunk = work[start : start + step]
            maps = predict([read_rgb(path) for _, path in chunk])
            for (file, _), one in zip(chunk, maps, strict=True):
                write_npy(file, one)
            bar.update(len(chunk))
    return files


def write_npy(file: Path, array: Map) -> None:
    """Write an array so that the file is either whole or not there, after a crash or a power cut too."""
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            np.save(stream, array, allow_pickle=False)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def file_fingerprint(files: Sequence[Path]) -> str:
    """One hash of the names and contents of files."""
    total = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.name):
        with file.open("rb") as stream:
            total.update(f"{file.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()
