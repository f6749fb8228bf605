"""Backgrounds of the catalog: each photo with what its depth map and its label map tell."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from qumade.assets.catalog import Background, DepthKind
from qumade.assets.depths import match_depths, read_inverse_depth
from qumade.assets.identities import group_identities
from qumade.assets.labels import read_labels
from qumade.assets.pictures import UnusablePicture, content_hash, printable
from qumade.assets.scan import Finding, ScannedBackground
from qumade.assets.stems import match_stems
from qumade.assets.survey import LabelScheme, survey_background
from qumade.errors import QumadeError
from qumade.recipe import Recipe, for_file

__all__ = ["catalog_backgrounds", "depth_kind"]

LABEL_SUFFIXES = (".png", ".npy")
_PRESENT_SHARE = 0.001  # less of the target class than this is noise of the label map


def depth_kind(recipe: Recipe, depths: dict[Path, Path]) -> DepthKind:
    """What the depth of a recipe means, given the depth map of each background."""
    if recipe.depths is None:
        return "scaled"
    return "metric" if any(path.suffix.lower() == ".png" for path in depths.values()) else recipe.depths_kind


def catalog_backgrounds(
    recipe: Recipe,
    scanned: Sequence[ScannedBackground],
    scheme: LabelScheme | None,
    findings: list[Finding],
    *,
    progress: bool = False,
) -> tuple[list[Background], DepthKind]:
    """The usable backgrounds and the kind of their depth; what is wrong with others is added to the findings."""
    paths = [scan.path for scan in scanned]
    depths = {} if recipe.depths is None else match_depths(paths, recipe.depths)
    labels = {} if recipe.labels is None else match_stems(paths, recipe.labels, LABEL_SUFFIXES, "labels")
    kind = depth_kind(recipe, depths)
    identities = group_identities([s.signature for s in scanned], [s.width / s.height for s in scanned]).identity
    backgrounds = []
    bar = tqdm(scanned, "ground", unit="file", disable=not progress or not (depths or labels), leave=False)
    for scan, identity in zip(bar, identities, strict=True):
        try:
            made = _background(recipe, scan, scheme, depths.get(scan.path), labels.get(scan.path), kind, findings)
        except _Unusable as error:
            findings.append(Finding("error", "background", printable(scan.path), error.reason, str(error)))
        else:
            backgrounds.append(replace(made, identity=identity))
    return backgrounds, kind


class _Unusable(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _background(
    recipe: Recipe,
    scan: ScannedBackground,
    scheme: LabelScheme | None,
    depth_path: Path | None,
    labels_path: Path | None,
    kind: DepthKind,
    findings: list[Finding],
) -> Background:
    size = scan.width, scan.height
    labels, inverse_depth = None, None
    if recipe.labels is not None:
        if labels_path is None:
            raise _Unusable("no-labels", f"has no label map of equal stem in {printable(recipe.labels)}")
        try:
            labels = read_labels(labels_path, size, scan.path)
        except QumadeError as error:
            raise _Unusable("labels", str(error)) from None
    if recipe.depths is not None:
        if depth_path is None:
            raise _Unusable("no-depth", f"has no depth map of equal stem in {printable(recipe.depths)}")
        try:
            inverse_depth = read_inverse_depth(depth_path, size, kind)
        except UnusablePicture as error:
            raise _Unusable(error.reason, error.message) from None
        _refuse_unknown(recipe, depth_path, inverse_depth, kind)
    survey = survey_background(recipe, scan.name, size, labels, scheme, inverse_depth, kind)
    where = printable(scan.path)
    findings += [Finding("warning", "background", where, "ground", note) for note in survey.notes]
    if recipe.present == "skip" and survey.present_share > _PRESENT_SHARE:
        detail = f"shows {', '.join(recipe.target)} on {survey.present_share:.1%} of its pixels"
        raise _Unusable("present", f"{detail}; left out as the recipe says")
    standing = survey.standing
    problem = None
    if standing is not None and set(recipe.policies) - {"random"}:
        if not any(table.pixels.size for table in standing):
            problem = f"has nowhere to stand: no clean patch of {', '.join(recipe.ground)}"
        elif "perspective" in recipe.policies and (survey.plane is None or np.isnan(survey.horizon_level)):
            problem = "has no known horizon, which perspective placement needs"
    if problem is not None:
        if recipe.nowhere == "skip":
            raise _Unusable("nowhere", f"{problem}; left out as the recipe says (nowhere: skip)")
        findings.append(Finding("warning", "background", where, "nowhere", f"{problem}; objects are placed at random"))
        standing = None
    return Background(
        name=scan.name,
        sha256=scan.sha256,
        width=scan.width,
        height=scan.height,
        identity=0,
        split=None,
        plane=survey.plane,
        horizon_level=survey.horizon_level,
        coarse_depth=survey.coarse_depth,
        coarse_occluder=survey.coarse_occluder,
        standing=standing,
        camera_height_m=for_file(scan.name, recipe.camera_height_m),
        depth_name=None if depth_path is None else depth_path.name,
        depth_sha256=None if depth_path is None else content_hash(depth_path),
        labels_name=None if labels_path is None else labels_path.name,
        labels_sha256=None if labels_path is None else content_hash(labels_path),
    )


def _refuse_unknown(recipe: Recipe, path: Path, inverse_depth: NDArray[np.float32], kind: DepthKind) -> None:
    unknown = float(np.isnan(inverse_depth).mean())
    if unknown and not (kind == "metric" and recipe.encoding == "lossless"):
        raise QumadeError(
            f"Invalid depth map: got {unknown:.1%} unknown pixels in {printable(path)}; must be none, for only "
            "metric depth with encoding 'lossless' has a code for them"
        )
