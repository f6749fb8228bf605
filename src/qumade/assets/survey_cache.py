"""Surveys of backgrounds on disk, named by everything that they depend on. Making one takes a fifth of a second.

A cache never fails a command: an entry that cannot be read is made again, and one that cannot be written is left out.
Entries that are not used may be removed at any time.
"""

import hashlib
import io
import json
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from qumade import geometry
from qumade.assets.ground import Survey
from qumade.assets.label_scheme import LabelScheme
from qumade.assets.labels import StandingTable
from qumade.errors import AssetError, ConfigError
from qumade.geometry import GroundFit, GroundPlane
from qumade.io.files import cache_folder, read_bytes, write_bytes
from qumade.recipe import Recipe, for_file

__all__ = ["cached_survey", "survey_key"]

_MOST_BYTES = 1 << 28
_SETTINGS = ("contact_rows", "contact_distance", "contact_sampling", "prior", "depths_scale")


def survey_key(
    recipe: Recipe,
    name: str,
    size: tuple[int, int],
    scheme: LabelScheme | None,
    maps: tuple[str | None, ...],
    kind: str,
) -> str:
    """Return a hash of all that the survey of a photo depends on: the code, the recipe's settings for the file `name`,
    the photo's `size`, the classes, the hashes of its `maps` and the kind of their depth."""
    classes = None if scheme is None else scheme.key
    settings = {setting: getattr(recipe, setting) for setting in _SETTINGS} | {"target": bool(recipe.target)}
    horizon = for_file(name, recipe.horizon)
    content = json.dumps([_code_hash(), horizon, settings, size, classes, maps, kind], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def cached_survey(key: str, survey: Callable[[], Survey]) -> Survey:
    """Return the survey with this key from the cache, or else make it and store it."""
    try:
        path = cache_folder() / "ground" / f"{key}.npz"
    except ConfigError:  # a user without a home folder
        return survey()
    try:
        return _read(read_bytes(path, _MOST_BYTES, AssetError))
    except (AssetError, OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile, zlib.error):
        pass  # missing, or damaged
    made = survey()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, _written(made), error_class=AssetError)
    except (AssetError, OSError):
        pass
    return made


@cache
def _code_hash() -> str:
    digest = hashlib.sha256(Path(geometry.__file__).read_bytes())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _written(survey: Survey) -> bytes:
    arrays: dict[str, Any] = {"coarse_depth": survey.coarse_depth, "coarse_occluder": survey.coarse_occluder}
    for number, table in enumerate(survey.standing or ()):
        arrays |= {f"pixels_{number}": table.pixels, f"distance_{number}": table.distance}
    fit = survey.fit
    values = {
        "plane": survey.plane and [survey.plane.a, survey.plane.b, survey.plane.c],
        "fit": fit and [fit.plane.a, fit.plane.b, fit.plane.c, fit.inlier_share, fit.median_relative_residual],
        "horizon_level": survey.horizon_level,
        "horizon_known": survey.horizon_known,
        "places": None if survey.standing is None else len(survey.standing),
        "present_share": survey.present_share,
        "notes": survey.notes,
        "shape": None if survey.standable is None else survey.standable.shape,
    }
    if survey.standable is not None:
        arrays["standable"] = np.packbits(survey.standable)
    buffer = io.BytesIO()
    there: dict[str, Any] = {name: array for name, array in arrays.items() if array is not None}
    np.savez_compressed(buffer, values=np.array(json.dumps(values)), **there)
    return buffer.getvalue()


def _read(data: bytes) -> Survey:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        values = json.loads(arrays["values"].item())
        there = {name: arrays[name] for name in arrays.files}
    tables = None
    if values["places"] is not None:
        tables = tuple(
            StandingTable(there[f"pixels_{number}"], there.get(f"distance_{number}"))
            for number in range(values["places"])
        )
    standable, fit = None, values["fit"]
    if values["shape"] is not None:
        height, width = values["shape"]
        bits = np.unpackbits(there["standable"], count=height * width)
        standable = bits.reshape(height, width).astype(np.bool_)
    return Survey(
        plane=values["plane"] and GroundPlane(*values["plane"]),
        horizon_level=values["horizon_level"],
        horizon_known=values["horizon_known"],
        coarse_depth=there.get("coarse_depth"),
        coarse_occluder=there.get("coarse_occluder"),
        standing=tables,
        present_share=values["present_share"],
        notes=tuple(values["notes"]),
        fit=fit and GroundFit(GroundPlane(*fit[:3]), *fit[3:]),
        standable=standable,
    )
