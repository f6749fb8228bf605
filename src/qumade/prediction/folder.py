"""The folder of predictions: the names of its files, and predictions.json, which says what they are."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from qumade.errors import AssetError, RunError
from qumade.io.files import read_bytes, write_bytes
from qumade.io.pictures import printable

__all__ = [
    "INDEX", "OUTPUTS", "VIDEO_OUTPUTS", "OutputName", "VideoOutput", "make_folder", "one_of_each_stem", "read_index",
    "same_file", "save_index",
]  # fmt: skip

OutputName = Literal["mask", "depth", "depth_colour", "sheet", "cutout", "classes"]
OUTPUTS: tuple[OutputName, ...] = get_args(OutputName)
VideoOutput = Literal["overlay", "mask", "depth", "classes"]
VIDEO_OUTPUTS: tuple[VideoOutput, ...] = get_args(VideoOutput)

INDEX = "predictions.json"
FORMAT = "qumade-predictions/2"
MAX_INDEX_BYTES = 1 << 30
MAX_STEM_BYTES = 229  # so that the longest name, while it is written, has the 255 that file systems allow


def one_of_each_stem(paths: Iterable[Path], what: str) -> list[Path]:
    """Return paths of pictures or clips, each once. Raises QumadeError for a stem too long to name predictions after,
    and for two files of one stem."""
    by_stem: dict[str, Path] = {}
    for path in paths:
        if len(os.fsencode(path.stem)) > MAX_STEM_BYTES:
            raise AssetError(
                f"Invalid {what}: got a name of {len(os.fsencode(path.stem))} bytes before the suffix of "
                f"{printable(path)}; must be at most {MAX_STEM_BYTES}, for predictions are named after it"
            )
        other = by_stem.setdefault(path.stem, path)
        if not same_file(other, path):
            raise AssetError(
                f"Invalid {what}s: got the stem {path.stem!r} of {printable(other)} again in {printable(path)}; "
                "must differ, for predictions are named after it (use two runs with an --out each)"
            )
    return list(by_stem.values())


def same_file(one: Path, other: Path) -> bool:
    """Return whether two paths lead to one file."""
    return one == other or os.path.realpath(one) == os.path.realpath(other)


def make_folder(out: Path, pictures: Sequence[Path]) -> None:
    """Make the folder of predictions. Raises QumadeError where the pictures lie in it, or it cannot be made."""
    if os.path.realpath(out) in {os.path.realpath(folder) for folder in {path.parent for path in pictures}}:
        raise RunError(f"Invalid --out: got {printable(out)}, where the pictures are; must be another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"Invalid --out: cannot make {printable(out)}: {error.strerror}") from error


def read_index(out: Path) -> dict[str, Any]:
    """Return the content of the folder's predictions.json, an empty one where it has none."""
    file = out / INDEX
    if not file.exists():
        return {"format": FORMAT, "complete": False, "pictures": {}}
    try:
        index = json.loads(read_bytes(file, MAX_INDEX_BYTES))
        whole = index["format"] == FORMAT and all(
            isinstance(entry["source"], str)
            and isinstance(entry["outputs"], dict)
            and isinstance(entry["unfinished"], list)
            and {*entry["outputs"], *entry["unfinished"]} <= {*names}
            for kind, names in (("pictures", OUTPUTS), ("clips", VIDEO_OUTPUTS))
            for entry in index.get(kind, {}).values()
        )
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise RunError(f"Invalid --out: got a {INDEX} of something else in {printable(out)}; must be another folder")
    return dict(index)


def save_index(out: Path, index: dict[str, Any]) -> None:
    """Write the folder's predictions.json. It is complete when nothing in it is unfinished."""
    entries = [*index["pictures"].values(), *index.get("clips", {}).values()]
    index["complete"] = not any(entry["unfinished"] for entry in entries)
    write_bytes(out / INDEX, (json.dumps(index, indent=1) + "\n").encode())
