"""What was found in asset files, kept to build the catalog of a changed recipe without reading the files again."""

import hashlib
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qumade.assets.backgrounds import Maps, SurveyedBackground, survey_photo
from qumade.assets.label_scheme import LabelScheme
from qumade.assets.local_recipe import LocalRecipe
from qumade.assets.reliefs import read_relief
from qumade.assets.scan import Finding, ScannedBackground, ScannedForeground, scan_backgrounds, scan_foregrounds
from qumade.geometry import GroundFit, fit_ground_plane
from qumade.io.pictures import UnusablePicture
from qumade.recipe import for_file

__all__ = ["NOT_SURVEYED", "AssetMemory"]

NOT_SURVEYED = frozenset(
    {
        "backgrounds", "foregrounds", "masks", "reliefs", "exclude", "premultiplied", "distractor_foregrounds",
        "layout", "seed", "size", "per_pair", "flip", "mirror_backgrounds", "crop", "objects", "scale", "height_ratio",
        "height_m", "camera_height_m", "size_jitter", "rows", "centre_row", "min_visible", "retries", "depth",
        "depth_teacher", "mask", "depth_near", "depth_quantization", "split", "effects",
        "horizon", "placement", "policy_weights",  # the survey reads the photo's own horizon and the set of policies
    }
)  # fmt: skip
"""Fields of a recipe that the survey of a photo does not depend on. A field that is missing here only costs time."""

_KEPT = 2  # results per file: the last one, and the one before it for going back


class AssetMemory:
    """Scans of folders and surveys of photos. A result holds for as long as the files and the settings that it depends
    on are the same; files count as the same if name, size and time of change are."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, list[tuple[Hashable, Any]]] = {}

    def backgrounds(
        self, recipe: LocalRecipe, *, workers: int | None = None, progress: bool = False
    ) -> tuple[list[ScannedBackground], list[Finding]]:
        """Returns what `scan_backgrounds` does."""
        folder = recipe.backgrounds
        scanned, findings = self._get(
            ("backgrounds", folder),
            _stamps(folder),
            lambda: scan_backgrounds(folder, workers=workers, progress=progress),
        )
        return scanned, list(findings)

    def foregrounds(
        self, recipe: LocalRecipe, *, workers: int | None = None, progress: bool = False
    ) -> tuple[list[ScannedForeground], list[Finding]]:
        """Returns what `scan_foregrounds` does."""
        folder, masks = recipe.foregrounds, recipe.masks
        stamps = _stamps(folder), None if masks is None else _stamps(masks)
        what = "foregrounds", folder, masks
        scanned, findings = self._get(
            what, stamps, lambda: scan_foregrounds(folder, masks, workers=workers, progress=progress)
        )
        return scanned, list(findings)

    def survey(
        self, recipe: LocalRecipe, scan: ScannedBackground, scheme: LabelScheme | None, maps: Maps
    ) -> SurveyedBackground:
        """Returns what `survey_photo` does, but for the maps [H, W], which are not kept."""
        settings = tuple(repr(getattr(recipe, name)) for name in type(recipe).model_fields if name not in NOT_SURVEYED)
        files = [scan.path, maps.labels.get(scan.path), maps.depths.get(scan.path)]
        # Depth with a known zero shows its own horizon.
        given = for_file(scan.name, recipe.horizon) if maps.kind == "affine" or scan.path not in maps.depths else None
        depends = (
            scan.sha256, maps.kind, given, frozenset(recipe.policies), settings, scheme,
            tuple(None if path is None else _stamp(path) for path in files),
        )  # fmt: skip
        found: SurveyedBackground = self._get(
            ("survey", scan.path),
            depends,
            lambda: _small(survey_photo(recipe, scan, scheme, maps, partial(self._fit_plane, scan.path))),
        )
        return found

    def _fit_plane(self, photo: Path, inverse_depth: NDArray[np.floating], ground: NDArray[np.bool_]) -> GroundFit:
        """Return what `fit_ground_plane` does: most of a survey's time goes there."""
        same = hashlib.blake2b(inverse_depth.tobytes() + ground.tobytes()).digest()
        fit: GroundFit = self._get(("plane", photo), same, lambda: fit_ground_plane(inverse_depth, ground))
        return fit

    def check_relief(self, path: Path, size: tuple[int, int]) -> None:
        """Raises UnusablePicture where `read_relief` does."""

        def check() -> UnusablePicture | None:
            try:
                read_relief(path, size)
            except UnusablePicture as error:
                return error
            return None

        error = self._get(("relief", path), (_stamp(path), size), check)
        if error is not None:
            raise error

    def _get(self, what: Hashable, depends: Hashable, make: Callable[[], Any]) -> Any:
        kept = self._kept.setdefault(what, [])
        found = next((entry for entry in kept if entry[0] == depends), None)
        if found is None:
            found = depends, make()
        self._kept[what] = [found, *(entry for entry in kept if entry is not found)][:_KEPT]
        return found[1]


def _stamps(folder: Path) -> Hashable:
    """Return the stamps of all entries of a folder, and of its sub-folders, which may hold the cut-outs of a class."""
    try:
        entries = [(path, _stamps(path) if path.is_dir() else None) for path in Path(folder).iterdir()]
        return tuple(sorted(((_stamp(path), within) for path, within in entries), key=str))
    except OSError:
        return None  # the scan says why


def _stamp(path: Path) -> Hashable:
    try:
        found = path.stat()
    except OSError:
        return path.name, None
    return path.name, found.st_size, found.st_mtime_ns, found.st_ino


def _small(surveyed: SurveyedBackground) -> SurveyedBackground:
    survey = surveyed.survey
    return replace(
        surveyed, labels=None, inverse_depth=None, survey=None if survey is None else replace(survey, standable=None)
    )
