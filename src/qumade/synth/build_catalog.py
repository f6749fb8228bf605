"""From the folders of a recipe to the catalog."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

from qumade.assets.backgrounds import catalog_backgrounds
from qumade.assets.catalog import Background, Catalog, Foreground
from qumade.assets.foregrounds import catalog_foregrounds
from qumade.assets.label_scheme import label_scheme
from qumade.assets.scan import Finding, scan_backgrounds, scan_foregrounds
from qumade.errors import QumadeError
from qumade.io.pictures import printable
from qumade.plan.random_numbers import Stream
from qumade.plan.splits import assign_splits
from qumade.recipe import DEFAULT, Recipe, match_pattern

__all__ = ["build_catalog"]

Asset = TypeVar("Asset", Background, Foreground)


def build_catalog(recipe: Recipe, *, strict: bool = False, progress: bool = False) -> tuple[Catalog, list[Finding]]:
    """Reads every asset of a recipe once; returns the catalog of the usable ones and what was found.

    Raises QumadeError where no background or no cut-out is usable, with `strict` at the first that is not.
    """
    scheme = label_scheme(recipe)
    photos, findings = scan_backgrounds(recipe.backgrounds, progress=progress)
    cutouts, more = scan_foregrounds(recipe.foregrounds, recipe.masks, progress=progress)
    findings += more
    _refuse_idle_keys(recipe, [photo.name for photo in photos], ("horizon", "camera_height_m"), recipe.backgrounds)
    _refuse_idle_keys(recipe, [cutout.name for cutout in cutouts], ("scale", "place", "height_m"), recipe.foregrounds)
    backgrounds, kind = catalog_backgrounds(recipe, photos, scheme, findings, progress=progress)
    foregrounds = catalog_foregrounds(recipe, cutouts, scheme, findings)
    errors = [finding for finding in findings if finding.severity == "error"]
    if strict and errors:
        raise QumadeError(str(errors[0]))
    for folder, usable in ((recipe.backgrounds, len(backgrounds)), (recipe.foregrounds, len(foregrounds))):
        if not usable:
            first = f"; the first: {errors[0]}" if errors else ""
            raise QumadeError(f"Invalid folder: got no usable picture in {printable(folder)}; must have one{first}")
    catalog = Catalog(
        tuple(_split(recipe, backgrounds, Stream.SPLIT_BACKGROUND, recipe.backgrounds, "background", findings)),
        tuple(_split(recipe, foregrounds, Stream.SPLIT_FOREGROUND, recipe.foregrounds, "foreground", findings)),
        kind,
        "prior" if recipe.depths is None else "depths",
        () if scheme is None else scheme.places,
    )
    findings += _assumptions(recipe, catalog)
    return catalog, findings


def _split(
    recipe: Recipe,
    assets: list[Asset],
    stream: Stream,
    folder: Path,
    kind: Literal["background", "foreground"],
    findings: list[Finding],
) -> list[Asset]:
    """The assets with their part of the split; none, said as a warning, where there are too few identities."""
    try:
        splits = assign_splits([asset.identity for asset in assets], recipe.split, recipe.seed, stream, kind)
    except QumadeError as error:
        detail = f"{error}; the manifest states no split, and training on the dataset will refuse to make one"
        findings.append(Finding("warning", kind, printable(folder), "split", detail))
        return assets
    return [replace(asset, split=split) for asset, split in zip(assets, splits, strict=True)]


def _assumptions(recipe: Recipe, catalog: Catalog) -> Iterable[Finding]:
    """What is taken for granted, said once."""
    heights = [f.height_m for f in catalog.foregrounds] + [b.camera_height_m for b in catalog.backgrounds]
    if "perspective" in recipe.policies and None in heights:
        detail = (
            f"has cut-outs or cameras of unknown height (height_m, camera_height_m): objects are taken to be "
            f"{recipe.height_ratio:g} times as high as the camera (height_ratio)"
        )
        yield Finding("warning", "foreground", printable(recipe.foregrounds), "height-ratio", detail)
    if recipe.reliefs is not None and catalog.depth_kind != "metric":
        detail = f"is of metres, the depth is of kind {catalog.depth_kind}: objects are flat"
        yield Finding("warning", "foreground", printable(recipe.reliefs), "relief", detail)


def _refuse_idle_keys(recipe: Recipe, names: Sequence[str], fields: Sequence[str], folder: Path) -> None:
    """A setting that no file takes is a slip of the pen that would go unnoticed."""
    for field in fields:
        table = getattr(recipe, field)
        used = {match_pattern(name, table) for name in names}
        for key in table:
            if key != DEFAULT and key not in used:
                near = difflib.get_close_matches(key, names, n=1, cutoff=0.3)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise QumadeError(
                    f"Invalid {field}: got {key!r}, which no picture in {printable(folder)} takes; must be a file name "
                    f"or a pattern of some{hint}"
                )
