"""The samples that come with the package: a rendered road world of which everything is known to the pixel."""

import json
import os
import shutil
from importlib.resources import files
from pathlib import Path

import yaml

from qumade.errors import QumadeError

__all__ = ["bundled_folder", "write_samples"]


def bundled_folder() -> Path:
    """Give the folder of the bundled samples; its README.md says what lies in it."""
    return Path(str(files("qumade.assets") / "bundled"))


def write_samples(folder: Path) -> None:
    """Copy the bundled samples into `folder` and write a recipe.yaml that works on them.

    Each file appears under its name only when it is whole, and running again after a kill completes the copy; what is
    already there is written anew. Raises QumadeError if `folder` is no folder, or holds anything else.
    """
    source = bundled_folder()
    names = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    contents: dict[Path, bytes | Path] = {name: source / name for name in names}
    contents[Path("recipe.yaml")] = _recipe(source).encode()
    _refuse_others(folder, set(contents))
    try:
        for name, content in contents.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            part = _part(target)
            if isinstance(content, bytes):
                part.write_bytes(content)
            else:
                shutil.copyfile(content, part)
            part.replace(target)
    except OSError as error:
        raise QumadeError(
            f"Invalid folder: got {error.strerror} in {error.filename or os.path.abspath(folder)}; "
            "must be writable with room for the samples."
        ) from error


def _recipe(source: Path) -> str:
    """A recipe for the samples: metric depth, cars on the road at their true size, three in ten at random."""
    cameras = json.loads((source / "cameras.json").read_text("utf-8"))["backgrounds"]
    cars = json.loads((source / "foregrounds.json").read_text("utf-8"))
    fields = {
        "backgrounds": "backgrounds",
        "foregrounds": "foregrounds",
        "depths": "depths",
        "labels": "labels",
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


def _part(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


def _refuse_others(folder: Path, names: set[Path]) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise QumadeError(
            f"Invalid folder: got a file in {os.path.abspath(folder)}; must be a folder or not exist yet."
        )
    known = names | {_part(name) for name in names}
    for path in sorted(folder.rglob("*")):
        if not path.is_dir() and path.relative_to(folder) not in known:
            raise QumadeError(
                f"Invalid folder: got other content ({path.relative_to(folder)}) in {os.path.abspath(folder)}; "
                "must be empty, new, or hold the samples only."
            )
