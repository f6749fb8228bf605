"""Build the catalog of a recipe from its folders."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from qumade.assets.backgrounds import UPSIDE_DOWN, SurveyedBackground, catalog_backgrounds, survey_photo
from qumade.assets.catalog import Background, Catalog, Foreground
from qumade.assets.classes import class_names, cutout_names
from qumade.assets.fetched import fetch_assets
from qumade.assets.foregrounds import catalog_distractors, catalog_foregrounds
from qumade.assets.identities import group_identities
from qumade.assets.label_scheme import label_scheme
from qumade.assets.local_recipe import LocalRecipe, shown_asset
from qumade.assets.scan import LEFT_OUT, Finding, ScannedBackground, ScannedForeground, scan_foregrounds
from qumade.assets.scene_layout import hashed_layout
from qumade.errors import AssetError, ConfigError
from qumade.io.pictures import list_pictures, one_line, printable
from qumade.plan.fit_layout import fit_layout
from qumade.plan.planner import backgrounds_without_ground
from qumade.plan.random_numbers import Stream
from qumade.plan.splits import SPLITS, assign_splits
from qumade.plan.tables import plan_tables
from qumade.recipe import DEFAULT, Recipe, is_named, match_pattern
from qumade.synth.class_splits import refuse_classes, split_by_class
from qumade.synth.idle_fields import idle_fields
from qumade.synth.memory import AssetMemory

__all__ = ["Inventory", "bare_backgrounds", "build_catalog", "no_ground", "take_inventory"]

_MOST_UNREACHABLE = 0.05  # of the layout's objects: a few odd ones are no reason to warn

Asset = TypeVar("Asset", Background, Foreground)


@dataclass(frozen=True, eq=False)
class Inventory:
    """The assets of a recipe: readable photos and cut-outs, the catalog of the usable ones, and all findings.

    `catalog` is None if no background or no cut-out is usable.
    """

    photos: tuple[ScannedBackground, ...]
    cutouts: tuple[ScannedForeground, ...]
    catalog: Catalog | None
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> list[Finding]:
        """The findings about assets that are left out."""
        return [finding for finding in self.findings if finding.severity == "error"]


def build_catalog(
    recipe: Recipe, *, strict: bool = False, progress: bool = False, memory: AssetMemory | None = None
) -> tuple[Catalog, list[Finding]]:
    """Builds the catalog of the usable assets of a recipe; also returns the findings.

    Files that `memory` knows are not read again. Raises QumadeError if no background or no cut-out is usable, for label
    maps that are read by a wrong table of names, and with `strict` for the first asset that is unusable or left out.
    """
    local, names = fetch_assets(recipe, progress=progress)
    with names:
        catalog, findings = _build_catalog(local, strict, progress, memory)
    return catalog, [names.finding(found) for found in findings]


def _build_catalog(
    recipe: LocalRecipe, strict: bool, progress: bool, memory: AssetMemory | None
) -> tuple[Catalog, list[Finding]]:
    inventory = take_inventory(recipe, progress=progress, memory=memory)
    errors = inventory.errors
    upside_down = [found for found in errors if found.reason == UPSIDE_DOWN]
    wrong = upside_down if 2 * len(upside_down) > len(inventory.photos) else []
    refused = wrong + [found for found in errors if strict or found.reason == "label-ids"]
    refused += [found for found in inventory.findings if strict and found.reason == LEFT_OUT]
    if refused:
        raise AssetError(f"Invalid {refused[0].kind}: {refused[0].path}: {refused[0].detail}")
    if inventory.catalog is None:
        empty = recipe.foregrounds if inventory.cutouts == () else recipe.backgrounds
        first = next((f"; the first: {error}" for error in errors if Path(error.path).parent == empty), "")
        swapped = "; are backgrounds and foregrounds swapped?" if _look_swapped(inventory) else ""
        below = "" if first else _folders_in(empty)
        raise AssetError(
            f"Invalid folder: got no usable image in {printable(empty)}{below}; must have one{first}{swapped}"
        )
    return inventory.catalog, list(inventory.findings)


def _folders_in(folder: Path) -> str:
    """Return the folders in a folder without pictures, one of which may be meant."""
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    shown = ", ".join(map(one_line, names[:5])) + (", ..." if len(names) > 5 else "")
    return f", which holds the folders {shown}" if names else ""


def _look_swapped(inventory: Inventory) -> bool:
    """Whether no cut-out has a transparent background, and most backgrounds have one."""
    transparent = sum(found.reason == "transparent" for found in inventory.findings)
    return not inventory.cutouts and 2 * transparent > len(inventory.photos)


def take_inventory(
    recipe: LocalRecipe,
    *,
    workers: int | None = None,
    progress: bool = False,
    look: Callable[[SurveyedBackground], None] | None = None,
    memory: AssetMemory | None = None,
) -> Inventory:
    """Reads every asset of a recipe once. A problem with a file becomes a finding.

    `look` is called with the survey of each background that has maps; with `memory`, files that it knows are not read
    again, and surveys come without maps. Raises QumadeError for folders that cannot be
    listed and for invalid settings: a table key that matches no file, or an unknown class name.
    """
    if recipe.backgrounds.resolve() == recipe.foregrounds.resolve():
        where = printable(recipe.backgrounds)
        raise ConfigError(f"Invalid foregrounds: got {where}, the folder of the backgrounds; must be that of cut-outs")
    classes = class_names(recipe)
    scheme = label_scheme(recipe, classes)
    survey = survey_photo if memory is None else memory.survey
    memory = AssetMemory() if memory is None else memory
    photos, findings = memory.backgrounds(recipe, workers=workers, progress=progress)
    cutouts, more = memory.foregrounds(recipe, workers=workers, progress=progress)
    findings += more
    photos, cutouts, findings = _without_excluded(recipe, photos, cutouts, findings)
    findings = _without_mended(recipe, cutouts, findings)
    if photos and {photo.sha256 for photo in photos} <= {cutout.sha256 for cutout in cutouts}:
        where = printable(recipe.backgrounds)
        raise AssetError(f"Invalid backgrounds: got cut-outs in {where}, all of which are foregrounds; must be photos")
    photo_names = [path.name for path in list_pictures(recipe.backgrounds)]
    _refuse_idle_keys(recipe, recipe.backgrounds, photo_names, ("horizon", "camera_height_m"))
    names = cutout_names(recipe.foregrounds)
    _refuse_idle_keys(recipe, recipe.foregrounds, names, ("scale", "place", "height_m", "classes"))
    backgrounds, kind = catalog_backgrounds(
        recipe, photos, scheme, findings, progress=progress, look=look, survey=survey
    )
    foregrounds = catalog_foregrounds(recipe, cutouts, scheme, findings, classes, check_relief=memory.check_relief)
    refuse_classes(recipe, classes, foregrounds)
    places = () if scheme is None else scheme.places
    distractors = _distractors(recipe, cutouts, findings, workers=workers, progress=progress)
    catalog = None
    if backgrounds and foregrounds:
        catalog = Catalog(tuple(backgrounds), tuple(foregrounds), kind, places, distractors, classes=classes)
        backgrounds = _with_ground(recipe, catalog, findings)
    if backgrounds and catalog is not None:
        catalog = replace(
            catalog,
            backgrounds=tuple(
                _split(recipe, backgrounds, Stream.SPLIT_BACKGROUND, recipe.backgrounds, "background", findings)
            ),
            foregrounds=tuple(
                split_by_class(recipe, classes, foregrounds)
                if len(classes) > 1
                else _split(recipe, foregrounds, Stream.SPLIT_FOREGROUND, recipe.foregrounds, "foreground", findings)
            ),
        )
        findings += _assumptions(recipe, catalog)
        if recipe.layout is not None:
            catalog = replace(catalog, layout=fit_layout(recipe, catalog, *hashed_layout(recipe.layout)))
            findings += _layout_findings(recipe, catalog)
    else:
        catalog = None
    return Inventory(tuple(photos), tuple(cutouts), catalog, tuple(findings))


def _without_excluded(
    recipe: LocalRecipe, photos: list[ScannedBackground], cutouts: list[ScannedForeground], findings: list[Finding]
) -> tuple[list[ScannedBackground], list[ScannedForeground], list[Finding]]:
    """Returns what the recipe does not exclude. Raises QumadeError for an exclusion that matches no file."""
    if not recipe.exclude:
        return photos, cutouts, findings

    def kept(name: str) -> bool:
        return not is_named(name, recipe.exclude)

    names = [*(path.name for path in list_pictures(recipe.backgrounds)), *cutout_names(recipe.foregrounds)]
    folders = [recipe.backgrounds, recipe.foregrounds]
    if recipe.distractor_foregrounds is not None:
        names += [path.name for path in list_pictures(recipe.distractor_foregrounds)]
        folders.append(recipe.distractor_foregrounds)
    for pattern in recipe.exclude:
        if not any(fnmatchcase(name, pattern) for name in names):
            where = " or ".join(map(printable, folders))
            raise ConfigError(f"Invalid exclude: got {pattern!r}; must match a picture in {where}")
    return (
        [photo for photo in photos if kept(photo.name)],
        [cutout for cutout in cutouts if kept(cutout.name)],
        [finding for finding in findings if kept(Path(finding.path).name)],
    )


def _without_mended(recipe: LocalRecipe, cutouts: list[ScannedForeground], findings: list[Finding]) -> list[Finding]:
    """Returns the findings but for those of premultiplied colours that the recipe has divided. Raises QumadeError for a
    pattern that matches no cut-out."""
    for pattern in recipe.premultiplied:
        if not any(is_named(cutout.name, (pattern,)) for cutout in cutouts):
            where = printable(recipe.foregrounds)
            raise ConfigError(f"Invalid premultiplied: got {pattern!r}; must match a usable cut-out in {where}")
    mended = {printable(cutout.path) for cutout in cutouts if is_named(cutout.name, recipe.premultiplied)}
    return [found for found in findings if not (found.reason == "premultiplied" and found.path in mended)]


def _distractors(
    recipe: LocalRecipe,
    cutouts: Sequence[ScannedForeground],
    findings: list[Finding],
    *,
    workers: int | None,
    progress: bool,
) -> tuple[Foreground, ...]:
    """Returns the cut-outs of other things with their splits. Those of the object are left out, with a finding: what is
    labelled must not be pasted as background. Raises QumadeError if the folder has no usable one."""
    folder = recipe.distractor_foregrounds
    if folder is None:
        return ()
    scanned, found = scan_foregrounds(folder, workers=workers, progress=progress)
    scanned = [one for one in scanned if not is_named(one.name, recipe.exclude)]
    findings += found
    objects = _objects_among(scanned, cutouts)
    for path, name in objects.items():
        detail = f"is the cut-out {one_line(name)} of the foregrounds, or nearly so: it cannot be background too"
        findings.append(Finding("error", "foreground", printable(path), "object-as-distractor", detail))
    scanned = [one for one in scanned if one.path not in objects]
    if not scanned:
        first = next(
            (f"; {printable(path)} is {one_line(name)} of the foregrounds" for path, name in objects.items()), ""
        )
        raise AssetError(
            f"Invalid distractor_foregrounds: got no usable image in {printable(folder)}{first}; must have one of "
            "something else"
        )
    made = catalog_distractors(recipe, scanned)
    return tuple(_split(recipe, made, Stream.SPLIT_DISTRACTOR, folder, "foreground", findings))


def _objects_among(scanned: Sequence[ScannedForeground], cutouts: Sequence[ScannedForeground]) -> dict[Path, str]:
    """Returns which of the scanned files show the same as a cut-out, or its mirror image, and the cut-out's name."""
    both = [*cutouts, *scanned]
    groups = group_identities([one.signature for one in both], [one.width / one.height for one in both])
    return {
        one.path: cutouts[identity].name
        for one, identity in zip(scanned, groups.identity[len(cutouts) :], strict=True)
        if identity < len(cutouts)
    }


def no_ground(recipe: Recipe, background: Background) -> Finding:
    """Returns the error for a background on which nothing can be placed."""
    known = "" if background.depth_name is None else f" in {background.depth_name}"
    detail = f"shows no ground of known depth{known} in {recipe.retries} crops: no object can stand on it"
    return Finding(
        "error", "background", shown_asset(recipe.backgrounds, background.name), "unknown-ground-depth", detail
    )


def bare_backgrounds(recipe: Recipe, catalog: Catalog, tried: Callable[[int], NDArray[np.integer]]) -> list[int]:
    """Returns the numbers of the backgrounds on which a sample cannot be placed, by trial.

    Only backgrounds of partly unknown depth need one. `tried` returns which samples of each of so many backgrounds to
    try, counted from its first.
    """
    gaps = [
        n for n, b in enumerate(catalog.backgrounds) if b.coarse_depth is not None and np.isnan(b.coarse_depth).any()
    ]
    if not gaps:
        return []
    first = np.array(gaps, np.int64) * len(catalog.foregrounds) * recipe.per_pair
    return backgrounds_without_ground(plan_tables(recipe, catalog), np.add.outer(first, tried(len(gaps))).ravel())


def _with_ground(recipe: Recipe, catalog: Catalog, findings: list[Finding]) -> list[Background]:
    """Returns the backgrounds on which every cut-out can be placed."""
    pairs = np.arange(len(catalog.foregrounds)) * recipe.per_pair
    bare = bare_backgrounds(recipe, catalog, lambda backgrounds: pairs)
    findings += [no_ground(recipe, catalog.backgrounds[number]) for number in bare]
    return [background for number, background in enumerate(catalog.backgrounds) if number not in bare]


def _split(
    recipe: Recipe,
    assets: list[Asset],
    stream: Stream,
    folder: Path,
    kind: Literal["background", "foreground"],
    findings: list[Finding],
) -> list[Asset]:
    """Returns the assets with their splits. A warning is added if there are too few identities for all splits."""
    splits = assign_splits([asset.identity for asset in assets], recipe.split, recipe.seed, stream)
    wanted = [name for name, share in zip(SPLITS, recipe.split, strict=True) if share > 0]
    if missing := [name for name in wanted if name not in splits]:
        different = len({asset.identity for asset in assets})
        detail = (
            f"has {different} different {kind}s for {len(wanted)} splits, none for {' and '.join(missing)}: add "
            f"{len(missing)} or more, or no score can be measured on {kind}s that the network has not seen"
        )
        findings.append(Finding("warning", kind, printable(folder), "split", detail))
    return [replace(asset, split=split) for asset, split in zip(assets, splits, strict=True)]


def _assumptions(recipe: LocalRecipe, catalog: Catalog) -> Iterable[Finding]:
    """Reports each assumption about missing heights or depth, and each field without effect, once."""
    heights = [f.height_m for f in catalog.foregrounds] + [b.camera_height_m for b in catalog.backgrounds]
    if "perspective" in recipe.policies and None in heights:
        detail = (
            f"has cut-outs or cameras of unknown height (height_m, camera_height_m): objects are assumed to be "
            f"{recipe.height_ratio:g} times as high as the camera (height_ratio)"
        )
        yield Finding("warning", "foreground", printable(recipe.foregrounds), "height-ratio", detail)
    for name, why in idle_fields(recipe, catalog):
        detail = f"{name} of the recipe has no effect: {why}"
        yield Finding("warning", "background", printable(recipe.backgrounds), "idle-field", detail)
    if recipe.reliefs is not None and catalog.depth_kind != "metric":
        detail = f"is in metres but the depth is of kind {catalog.depth_kind}: objects are drawn flat"
        yield Finding("warning", "foreground", printable(recipe.reliefs), "relief", detail)


def _layout_findings(recipe: Recipe, catalog: Catalog) -> Iterable[Finding]:
    if recipe.layout is None or catalog.layout is None or catalog.layout.unreachable <= _MOST_UNREACHABLE:
        return
    detail = (
        f"{catalog.layout.unreachable:.0%} of its objects have a size and a place in the image that this recipe never "
        f"gives: widen scale ({list(recipe.scale[DEFAULT])}), crop ({list(recipe.crop)}) or lower min_visible "
        f"({recipe.min_visible:g}), or use photos with more ground"
    )
    yield Finding("warning", "layout", printable(recipe.layout), "unreachable", detail)


def _refuse_idle_keys(recipe: Recipe, folder: Path, names: Sequence[str], fields: Sequence[str]) -> None:
    """Raises QumadeError for a key that no file of the folder takes, usable or not: it is a mistake that would go
    unnoticed."""
    for field in fields:
        table = getattr(recipe, field)
        for key in sorted(set(table) - {match_pattern(name, table) for name in names} - {DEFAULT}):
            start = f"Invalid {field}: got {key!r}, which matches no image in {printable(folder)}"
            other = next((match_pattern(name, table) for name in names if fnmatchcase(name, key)), None)
            if other is not None:
                raise ConfigError(
                    f"{start} that {other!r} does not match before it; must come before {other!r}, or be left out"
                )
            near = difflib.get_close_matches(key, names, n=1, cutoff=0.3)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{start}; must be a file name or a pattern that matches one{hint}")
