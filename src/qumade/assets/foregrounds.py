"""Foregrounds of the catalog: each cut-out with its settings from the recipe."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from qumade.assets.catalog import Foreground
from qumade.assets.classes import class_of
from qumade.assets.cut_sides import CutSide, cut_side
from qumade.assets.identities import group_identities
from qumade.assets.label_scheme import LabelScheme
from qumade.assets.local_recipe import LocalRecipe
from qumade.assets.reliefs import read_relief
from qumade.assets.scan import Finding, ScannedForeground
from qumade.assets.stems import match_stems
from qumade.io.pictures import UnusablePicture, content_hash, printable
from qumade.recipe import Recipe, for_file, match_pattern

__all__ = ["catalog_distractors", "catalog_foregrounds"]


def catalog_foregrounds(
    recipe: LocalRecipe,
    scanned: Sequence[ScannedForeground],
    scheme: LabelScheme | None,
    findings: list[Finding],
    classes: Sequence[str] = (),
    *,
    check_relief: Callable[[Path, tuple[int, int]], object] = read_relief,
) -> list[Foreground]:
    """Returns the cut-outs by name, then the mirror images that `flip` adds. Unusable relief maps become findings.

    `classes` are those of the recipe, in the order of their numbers. `check_relief` takes the place of `read_relief`,
    whose result is not used here.
    """
    groups = group_identities([s.signature for s in scanned], [s.width / s.height for s in scanned])
    reliefs = {}
    if recipe.reliefs is not None:
        reliefs = _reliefs(scanned, recipe.reliefs)
    made, mirrors = [], []
    for scan, identity, mirror in zip(scanned, groups.identity, groups.mirror_of, strict=True):
        relief = reliefs.get(scan.path)
        if relief is not None:
            try:
                check_relief(relief, (scan.file_width, scan.file_height))
            except UnusablePicture as error:
                detail = f"{error.message}; the object is drawn flat"
                findings.append(Finding("error", "relief", printable(relief), error.reason, detail))
                relief = None
        foreground = Foreground(
            name=scan.name,
            sha256=scan.sha256,
            width=scan.width,
            height=scan.height,
            flip=False,
            identity=identity,
            split=None,
            contact=scan.contact,
            silhouette=scan.silhouette,
            scale=recipe.scale[match_pattern(scan.name, recipe.scale)],
            place=0 if scheme is None else scheme.place_of(recipe.place, scan.name),
            height_m=for_file(scan.name, recipe.height_m),
            mask_name=None if scan.mask is None else _beside(scan, scan.mask),
            mask_sha256=scan.mask_sha256,
            relief_name=None if relief is None else _beside(scan, relief),
            relief_sha256=None if relief is None else content_hash(relief),
            class_number=classes.index(class_of(recipe, scan.name) or "") if classes else 0,
            cut=cut_side(scan.name),
        )
        made.append(foreground)
        if recipe.flip and mirror is None:
            mirrors.append(_mirrored(foreground))
    return made + mirrors


def _reliefs(scanned: Sequence[ScannedForeground], folder: Path) -> dict[Path, Path]:
    """Returns the relief maps of the cut-outs; those of cut-outs in a sub-folder are in one of equal name."""
    found: dict[Path, Path] = {}
    for part in sorted({scan.folder for scan in scanned}):
        if not part or (folder / part).is_dir():
            paths = [scan.path for scan in scanned if scan.folder == part]
            found |= match_stems(paths, folder / part, (".png",), "reliefs")
    return found


def _beside(scan: ScannedForeground, path: Path) -> str:
    """Returns the path of a cut-out's mask or relief map below the folder of these."""
    return f"{scan.folder}/{path.name}" if scan.folder else path.name


def catalog_distractors(recipe: Recipe, scanned: Sequence[ScannedForeground]) -> list[Foreground]:
    """Returns cut-outs of other things than the object, by name."""
    groups = group_identities([s.signature for s in scanned], [s.width / s.height for s in scanned])
    return [
        Foreground(
            name=scan.name,
            sha256=scan.sha256,
            width=scan.width,
            height=scan.height,
            flip=False,
            identity=identity,
            split=None,
            contact=scan.contact,
            silhouette=scan.silhouette,
            scale=recipe.effects.distractor_scale,
        )
        for scan, identity in zip(scanned, groups.identity, strict=True)
    ]


def _mirrored(foreground: Foreground) -> Foreground:
    u, v = foreground.contact
    silhouette = np.ascontiguousarray(foreground.silhouette[:, ::-1])
    other: dict[CutSide | None, CutSide | None] = {None: None, "left": "right", "right": "left"}
    return replace(
        foreground, flip=True, contact=(foreground.width - u, v), silhouette=silhouette, cut=other[foreground.cut]
    )
