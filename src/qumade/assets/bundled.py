"""The samples that come with the package: a rendered road world with pixel-exact ground truth."""

import json
import logging
import os
from importlib.resources import files
from pathlib import Path

import yaml

from qumade.errors import AssetError
from qumade.io.files import is_temporary, remove_temporary_files, write_bytes
from qumade.io.pictures import printable

__all__ = ["bundled_folder", "write_samples"]

_log = logging.getLogger(__name__)


def bundled_folder() -> Path:
    """Return the folder of the bundled samples; its README.md describes the contents."""
    return Path(str(files("qumade.assets") / "bundled"))


def write_samples(folder: Path) -> None:
    """Copy the bundled samples into `folder` and write a recipe.yaml that works on them.

    Each file appears under its name only when it is complete. Existing samples are written again, so a second run
    completes an interrupted copy. A recipe.yaml that is not as it was written is kept, and a note says so. Raises
    QumadeError if `folder` is not a folder or contains other files.
    """
    source = bundled_folder()
    names = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    recipe = Path("recipe.yaml")
    _refuse_others(folder, {*names, recipe})
    try:
        for place in {(folder / name).parent for name in (*names, recipe)}:
            place.mkdir(parents=True, exist_ok=True)
            remove_temporary_files(place)
        for name in names:
            write_bytes(folder / name, (source / name).read_bytes())
        written = _recipe(source).encode()
        if (folder / recipe).is_file() and (folder / recipe).read_bytes() != written:
            _log.warning("%s differs from the samples' own and is kept", printable(folder / recipe))
        else:
            write_bytes(folder / recipe, written)
    except OSError as error:
        raise AssetError(
            f"Invalid folder: got {error.strerror} in {error.filename or os.path.abspath(folder)}; "
            "must be writable with room for the samples."
        ) from error


def _recipe(source: Path) -> str:
    """Return a recipe for the samples: metric depth, cars on the road at true size, 30 % placed at random."""
    cameras = json.loads((source / "cameras.json").read_text("utf-8"))["backgrounds"]
    cars = json.loads((source / "foregrounds.json").read_text("utf-8"))
    fields = {
        "backgrounds": "backgrounds",
        "foregrounds": "foregrounds",
        "depths": "depths",
        "labels": "labels",
        "label_names": "cityscapes",
        "reliefs": "reliefs",
        "size": [224, 224],
        "per_pair": 20,
        "seed": 0,
        "scale": [0.05, 0.7],
        "ground": ["road"],
        "policy_weights": {"perspective": 0.7, "random": 0.3},
        "height_m": {f"{name}.png": round(car["height_m"], 3) for name, car in sorted(cars.items())},
        "camera_height_m": {f"{name}.jpg": round(view["height_m"], 3) for name, view in sorted(cameras.items())},
    }
    comment = "# A recipe for the samples beside it. Paths are relative to this file.\n"
    return comment + yaml.safe_dump(fields, sort_keys=False, default_flow_style=None)


def _refuse_others(folder: Path, names: set[Path]) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise AssetError(f"Invalid folder: got a file in {os.path.abspath(folder)}; must be a folder or not exist yet.")
    for path in sorted(folder.rglob("*")):
        if not path.is_dir() and path.relative_to(folder) not in names and not is_temporary(path.name):
            raise AssetError(
                f"Invalid folder: got other content ({path.relative_to(folder)}) in {os.path.abspath(folder)}; "
                "must be empty, new, or hold the samples only."
            )
