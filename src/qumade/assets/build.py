"""From the folders of a recipe to the catalog."""

import difflib
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qumade.assets.catalog import Background, Catalog, DepthKind, Foreground
from qumade.assets.depths import coarse_mean, match_depths, read_inverse_depth
from qumade.assets.identities import group_identities
from qumade.assets.pictures import UnusablePicture, content_hash, printable
from qumade.assets.scan import Finding, ScannedBackground, ScannedForeground, scan_backgrounds, scan_foregrounds
from qumade.errors import QumadeError
from qumade.geometry import flat_ground_prior
from qumade.plan.random_numbers import Stream
from qumade.plan.splits import assign_splits
from qumade.recipe import DEFAULT, Recipe, match_pattern

__all__ = ["build_catalog"]


def build_catalog(recipe: Recipe, *, strict: bool = False, progress: bool = False) -> tuple[Catalog, list[Finding]]:
    """Reads every asset of a recipe once; returns the catalog of the usable ones and what was found.

    Raises QumadeError where no background or no cut-out is usable, with `strict` at the first that is not.
    """
    backgrounds, findings = scan_backgrounds(recipe.backgrounds, progress=progress)
    foregrounds, more = scan_foregrounds(recipe.foregrounds, recipe.masks, progress=progress)
    findings += more
    kind: DepthKind = "scaled"
    depths: dict[Path, tuple[Path, NDArray[np.float32]]] = {}
    if recipe.depths is not None:
        kind, depths, more = _scan_depths(recipe, backgrounds, recipe.depths)
        findings += more
        backgrounds = [scanned for scanned in backgrounds if scanned.path in depths]
    errors = [finding for finding in findings if finding.severity == "error"]
    if strict and errors:
        raise QumadeError(str(errors[0]))
    for folder, usable in ((recipe.backgrounds, len(backgrounds)), (recipe.foregrounds, len(foregrounds))):
        if not usable:
            first = f"; the first: {errors[0]}" if errors else ""
            raise QumadeError(f"Invalid folder: got no usable picture in {printable(folder)}; must have one{first}")
    catalog = Catalog(
        tuple(_backgrounds(recipe, backgrounds, depths, findings)),
        tuple(_foregrounds(recipe, foregrounds, findings)),
        kind,
        "prior" if recipe.depths is None else "depths",
    )
    return catalog, findings


def _scan_depths(
    recipe: Recipe, backgrounds: list[ScannedBackground], folder: Path
) -> tuple[DepthKind, dict[Path, tuple[Path, NDArray[np.float32]]], list[Finding]]:
    """The kind of depth, the depth map and its coarse grid of each background, and what is wrong with the others."""
    matched = match_depths([scanned.path for scanned in backgrounds], folder)
    png = any(path.suffix.lower() == ".png" for path in matched.values())
    kind: DepthKind = "metric" if png else recipe.depths_kind
    unknown_has_code = kind == "metric" and recipe.encoding == "lossless"
    found, findings = {}, []
    for scanned in backgrounds:
        where = printable(scanned.path)
        path = matched.get(scanned.path)
        if path is None:
            detail = f"has no depth map of equal stem in {printable(folder)}"
            findings.append(Finding("error", "background", where, "no-depth", detail))
            continue
        try:
            inverse_depth = read_inverse_depth(path, (scanned.width, scanned.height), kind)
        except UnusablePicture as error:
            findings.append(Finding("error", "background", where, error.reason, error.message))
            continue
        unknown = float(np.isnan(inverse_depth).mean())
        if unknown and not unknown_has_code:
            raise QumadeError(
                f"Invalid depth map: got {unknown:.1%} unknown pixels in {printable(path)}; must be none, for only "
                "metric depth with encoding 'lossless' has a code for them"
            )
        found[scanned.path] = path, coarse_mean(inverse_depth)
    return kind, found, findings


def _backgrounds(
    recipe: Recipe,
    scanned: list[ScannedBackground],
    depths: dict[Path, tuple[Path, NDArray[np.float32]]],
    findings: list[Finding],
) -> list[Background]:
    identities = group_identities([s.signature for s in scanned], [s.width / s.height for s in scanned]).identity
    splits = _splits(recipe, identities, Stream.SPLIT_BACKGROUND, recipe.backgrounds, "background", findings)
    made = []
    for scan, identity, split in zip(scanned, identities, splits, strict=True):
        depth, coarse = depths.get(scan.path, (None, None))
        plane = flat_ground_prior(recipe.horizon * scan.height, scan.height) if depth is None else None
        made.append(
            Background(
                name=scan.name,
                sha256=scan.sha256,
                width=scan.width,
                height=scan.height,
                identity=identity,
                split=split,
                plane=plane,
                coarse_depth=coarse,
                depth_name=None if depth is None else depth.name,
                depth_sha256=None if depth is None else content_hash(depth),
            )
        )
    return made


def _foregrounds(recipe: Recipe, scanned: list[ScannedForeground], findings: list[Finding]) -> list[Foreground]:
    groups = group_identities([s.signature for s in scanned], [s.width / s.height for s in scanned])
    splits = _splits(recipe, groups.identity, Stream.SPLIT_FOREGROUND, recipe.foregrounds, "foreground", findings)
    _refuse_idle_patterns(recipe, [s.name for s in scanned])
    made, mirrors = [], []
    for scan, identity, split, mirror in zip(scanned, groups.identity, splits, groups.mirror_of, strict=True):
        foreground = Foreground(
            name=scan.name,
            sha256=scan.sha256,
            width=scan.width,
            height=scan.height,
            flip=False,
            identity=identity,
            split=split,
            contact=scan.contact,
            silhouette=scan.silhouette,
            scale=recipe.scale[match_pattern(scan.name, recipe.scale)],
            mask_name=None if scan.mask is None else scan.mask.name,
            mask_sha256=scan.mask_sha256,
        )
        made.append(foreground)
        if recipe.flip and mirror is None:
            mirrors.append(_mirrored(foreground))
    return made + mirrors


def _mirrored(foreground: Foreground) -> Foreground:
    u, v = foreground.contact
    silhouette = np.ascontiguousarray(foreground.silhouette[:, ::-1])
    return replace(foreground, flip=True, contact=(foreground.width - u, v), silhouette=silhouette)


def _splits(
    recipe: Recipe, identities: list[int], stream: Stream, folder: Path, what: str, findings: list[Finding]
) -> list[str] | list[None]:
    """The split of each asset; none, said as a warning, where there are too few identities to split."""
    try:
        return assign_splits(identities, recipe.split, recipe.seed, stream, what)
    except QumadeError as error:
        detail = f"{error}; the manifest states no split, and training on the dataset will refuse to make one"
        kind = "background" if what == "background" else "foreground"
        findings.append(Finding("warning", kind, printable(folder), "split", detail))  # type: ignore[arg-type]
        return [None] * len(identities)


def _refuse_idle_patterns(recipe: Recipe, names: list[str]) -> None:
    """A scale range that no cut-out takes is a slip of the pen that would go unnoticed."""
    used = {match_pattern(name, recipe.scale) for name in names}
    for key in recipe.scale:
        if key != DEFAULT and key not in used:
            near = difflib.get_close_matches(key, names, n=1, cutoff=0.3)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise QumadeError(
                f"Invalid scale: got {key!r}, which no cut-out in {printable(recipe.foregrounds)} takes; must be a file "
                f"name or a pattern of some{hint}"
            )
