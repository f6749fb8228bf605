"""Backgrounds of the catalog: each photo with its depth map, its label map and the survey of its ground."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qumade.assets.catalog import Background
from qumade.assets.depths import depth_facts, depth_grows_downwards, match_depths, read_inverse_depth
from qumade.assets.ground import FitPlane, Survey, survey_background
from qumade.assets.identities import group_identities
from qumade.assets.label_names import named_ids, unnamed_ids, unnamed_text
from qumade.assets.label_scheme import LabelScheme
from qumade.assets.labels import LABEL_SUFFIXES, read_labels
from qumade.assets.local_recipe import LocalRecipe
from qumade.assets.scan import Finding, ScannedBackground
from qumade.assets.stems import match_stems
from qumade.assets.survey_cache import cached_survey, survey_key
from qumade.depth.encoding import DepthKind
from qumade.geometry import fit_ground_plane
from qumade.io.pictures import UnusablePicture, content_hash, printable
from qumade.io.progress import progress_bar
from qumade.recipe import for_file

__all__ = [
    "UPSIDE_DOWN",
    "Maps",
    "SurveyedBackground",
    "catalog_backgrounds",
    "depth_kind",
    "match_maps",
    "survey_photo",
]

UPSIDE_DOWN = "upside-down"
_PRESENT_SHARE = 0.001  # less of the target class than this is label noise


@dataclass(frozen=True)
class Maps:
    """The depth map and the label map of each photo that has one, and the kind of depth."""

    depths: dict[Path, Path]
    labels: dict[Path, Path]
    kind: DepthKind


@dataclass(frozen=True, eq=False)
class SurveyedBackground:
    """A photo with its maps, labels int32 [H, W] and inverse depth float32 [H, W], and the survey of its ground.

    `survey` is None if a map is missing or cannot be read. A photo with an error among its findings is left out.
    """

    scan: ScannedBackground
    labels_path: Path | None
    depth_path: Path | None
    labels: NDArray[np.int32] | None
    inverse_depth: NDArray[np.float32] | None
    survey: Survey | None
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        return all(finding.severity != "error" for finding in self.findings)


def depth_kind(recipe: LocalRecipe, depths: dict[Path, Path]) -> DepthKind:
    """Returns the kind of a recipe's depth, given the depth map of each background."""
    if recipe.depths is None:
        return "scaled"
    return "metric" if any(path.suffix.lower() == ".png" for path in depths.values()) else recipe.depths_kind


def match_maps(recipe: LocalRecipe, scanned: Sequence[ScannedBackground]) -> Maps:
    """Finds the maps with the same stem as each photo. Raises QumadeError if the match is ambiguous."""
    paths = [scan.path for scan in scanned]
    depths = {} if recipe.depths is None else match_depths(paths, recipe.depths)
    labels = {} if recipe.labels is None else match_stems(paths, recipe.labels, LABEL_SUFFIXES, "labels")
    return Maps(depths, labels, depth_kind(recipe, depths))


def catalog_backgrounds(
    recipe: LocalRecipe,
    scanned: Sequence[ScannedBackground],
    scheme: LabelScheme | None,
    findings: list[Finding],
    *,
    progress: bool = False,
    look: Callable[[SurveyedBackground], None] | None = None,
    survey: "Callable[[LocalRecipe, ScannedBackground, LabelScheme | None, Maps], SurveyedBackground] | None" = None,
) -> tuple[list[Background], DepthKind]:
    """Returns the usable backgrounds and the kind of their depth; problems with the others are added to the findings.

    `look` is called with the survey of each photo if the recipe has label or depth maps. `survey` takes the place of
    `survey_photo`.
    """
    maps = match_maps(recipe, scanned)
    identities = group_identities([s.signature for s in scanned], [s.width / s.height for s in scanned]).identity
    backgrounds = []
    has_maps = recipe.labels is not None or recipe.depths is not None
    bar = progress_bar(scanned, "ground", unit="file", disable=not (progress and has_maps), leave=False)
    for scan, identity in zip(bar, identities, strict=True):
        surveyed = (survey or survey_photo)(recipe, scan, scheme, maps)
        findings += surveyed.findings
        if look is not None and has_maps:
            look(surveyed)
        if surveyed.usable and surveyed.survey is not None:
            backgrounds.append(_background(recipe, surveyed, surveyed.survey, identity))
    return backgrounds, maps.kind


def survey_photo(
    recipe: LocalRecipe,
    scan: ScannedBackground,
    scheme: LabelScheme | None,
    maps: Maps,
    fit_plane: FitPlane = fit_ground_plane,
) -> SurveyedBackground:
    """Reads the maps of one photo and surveys its ground. A problem with a map becomes a finding."""
    depth_path, labels_path = maps.depths.get(scan.path), maps.labels.get(scan.path)
    labels, inverse_depth, survey = None, None, None
    where = printable(scan.path)
    findings = []
    try:
        labels = _labels(recipe, scan, labels_path, scheme)
        inverse_depth = _inverse_depth(recipe, scan, depth_path, maps.kind)
        if inverse_depth is not None:
            findings.append(Finding("info", "background", where, "depth", depth_facts(inverse_depth, maps.kind)))
        survey = _survey(recipe, scan, scheme, labels, inverse_depth, maps, fit_plane)
        findings += [Finding("warning", "background", where, "ground", note) for note in survey.notes]
        if recipe.present == "skip" and survey.present_share > _PRESENT_SHARE:
            detail = f"shows {', '.join(recipe.target)} on {survey.present_share:.1%} of its pixels"
            raise _Unusable("present", f"{detail}; left out by the recipe (present: skip)")
        problem = _problem(recipe, scan.name, survey)
        if problem is not None and recipe.no_ground == "skip":
            raise _Unusable(problem[0], f"{problem[1]}; left out by the recipe (no_ground: skip)")
        if problem is not None:
            detail = f"{problem[1]}; objects are placed at random"
            findings.append(Finding("warning", "background", where, problem[0], detail))
            survey = replace(survey, standing=None)
    except _Unusable as error:
        # Warnings are only for photos that are used.
        findings = [Finding("error", "background", where, error.reason, str(error))]
    return SurveyedBackground(scan, labels_path, depth_path, labels, inverse_depth, survey, tuple(findings))


def _survey(
    recipe: LocalRecipe,
    scan: ScannedBackground,
    scheme: LabelScheme | None,
    labels: NDArray[np.int32] | None,
    inverse_depth: NDArray[np.float32] | None,
    maps: Maps,
    fit_plane: FitPlane,
) -> Survey:
    size = scan.width, scan.height

    def survey() -> Survey:
        return survey_background(recipe, scan.name, size, labels, scheme, inverse_depth, maps.kind, fit_plane)

    if labels is None and inverse_depth is None:
        return survey()
    files = (folder.get(scan.path) for folder in (maps.labels, maps.depths))
    hashes = tuple(None if path is None else content_hash(path) for path in files)
    return cached_survey(survey_key(recipe, scan.name, size, scheme, hashes, maps.kind), survey)


class _Unusable(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _labels(
    recipe: LocalRecipe, scan: ScannedBackground, path: Path | None, scheme: LabelScheme | None
) -> NDArray[np.int32] | None:
    if recipe.labels is None:
        return None
    if path is None:
        raise _Unusable("no-labels", f"has no label map with the same stem in {printable(recipe.labels)}")
    try:
        labels = read_labels(path, (scan.width, scan.height), scan.path)
    except UnusablePicture as error:
        raise _Unusable(error.reason, error.message) from None
    unnamed = {} if scheme is None else unnamed_ids(labels, named_ids(scheme.table))
    if unnamed:
        ids, tables = unnamed_text(unnamed, labels)
        what = f"has a label map with {ids}, which label_names ({recipe.label_names}) does not name"
        raise _Unusable("label-ids", f"{what}: {printable(path)}; must be ids of that table{tables}")
    return labels


def _inverse_depth(
    recipe: LocalRecipe, scan: ScannedBackground, path: Path | None, kind: DepthKind
) -> NDArray[np.float32] | None:
    if recipe.depths is None:
        return None
    if path is None:
        raise _Unusable("no-depth", f"has no depth map with the same stem in {printable(recipe.depths)}")
    try:
        inverse_depth = read_inverse_depth(path, (scan.width, scan.height), kind, recipe.depths_scale)
    except UnusablePicture as error:
        raise _Unusable(error.reason, error.message) from None
    if depth_grows_downwards(inverse_depth):
        wanted = "metres in a PNG, inverse depth in .npy: is it the other of the two?"
        found = f"has a depth map in which depth grows towards the lower edge ({depth_facts(inverse_depth, kind)})"
        raise _Unusable(UPSIDE_DOWN, f"{found}: {printable(path)}; must be {wanted}")
    _refuse_unknown(recipe, inverse_depth, kind)
    return inverse_depth


def _problem(recipe: LocalRecipe, name: str, survey: Survey) -> tuple[str, str] | None:
    """Returns why the recipe's policies cannot place objects on the ground, as code and sentence; None if they can."""
    if survey.standing is None or not set(recipe.policies) - {"random"}:
        return None
    if not any(table.pixels.size for table in survey.standing):
        return "no-ground", f"has nowhere to stand: no clean patch of {', '.join(recipe.ground)}"
    if "perspective" in recipe.policies and not survey.horizon_known:
        give = f"give it one, such as horizon: {{{name}: 0.5, default: labels}}"
        detail = f"has a label map that does not determine the horizon, which perspective placement needs ({give})"
        return "no-horizon", detail
    if "perspective" in recipe.policies and (survey.plane is None or np.isnan(survey.horizon_level)):
        detail = f"has no known horizon, which perspective placement needs ({'; '.join(survey.notes)})"
        return "no-horizon", detail
    return None


def _background(recipe: LocalRecipe, surveyed: SurveyedBackground, survey: Survey, identity: int) -> Background:
    scan, depth_path, labels_path = surveyed.scan, surveyed.depth_path, surveyed.labels_path
    return Background(
        name=scan.name,
        sha256=scan.sha256,
        width=scan.width,
        height=scan.height,
        identity=identity,
        split=None,
        plane=survey.plane,
        horizon_level=survey.horizon_level,
        coarse_depth=survey.coarse_depth,
        coarse_occluder=survey.coarse_occluder,
        standing=survey.standing,
        camera_height_m=for_file(scan.name, recipe.camera_height_m),
        depth_name=None if depth_path is None else depth_path.name,
        depth_sha256=None if depth_path is None else content_hash(depth_path),
        labels_name=None if labels_path is None else labels_path.name,
        labels_sha256=None if labels_path is None else content_hash(labels_path),
    )


def _refuse_unknown(recipe: LocalRecipe, inverse_depth: NDArray[np.float32], kind: DepthKind) -> None:
    unknown = float(np.isnan(inverse_depth).mean())
    if unknown and not (kind == "metric" and recipe.encoding == "lossless"):
        raise _Unusable(
            "unknown-depth",
            f"has a depth map with {unknown:.1%} unknown pixels; must have none, because only metric depth with "
            "encoding 'lossless' can store them",
        )
