"""Audit asset folders: unusable files, suspicious files, and how often each asset will be reused."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from qumade.assets.backgrounds import SurveyedBackground
from qumade.assets.catalog import Catalog
from qumade.assets.fetched import fetch_assets
from qumade.assets.findings_text import by_reason, left_out_line, lines_of_group
from qumade.assets.identities import Identities, group_identities
from qumade.assets.local_recipe import LocalRecipe, shown_asset
from qumade.assets.scan import Finding, Kind, ScannedBackground, ScannedForeground
from qumade.io.listing import counted
from qumade.io.pictures import printable
from qumade.plan.indices import stratified_indices
from qumade.plan.scale_check import check_scales
from qumade.plan.splits import SAMPLE_SPLITS, few_samples, sample_split
from qumade.recipe import Recipe
from qumade.synth.build_catalog import bare_backgrounds, no_ground, take_inventory

__all__ = ["MAX_REUSE", "AssetReport", "FolderReport", "check_assets", "format_report"]

# The default recipe uses a background 4 000 times and a cut-out 2 000 times. Far beyond that, more samples add little
# variety, and a network memorises the assets: a handful of photos with thousands of cut-outs, for example.
MAX_REUSE = 10_000
MAX_TRIED = 1_000_000  # samples planned to find backgrounds without ground; takes three seconds

Scanned = ScannedBackground | ScannedForeground


@dataclass(frozen=True)
class FolderReport:
    """Counts of one folder: image files, usable files, their identities, and those whose mirror image is present too.

    `reuse` is the number of samples that each usable asset appears in.
    """

    folder: str
    files: int
    usable: int
    identities: int
    mirrored: int
    reuse: int


@dataclass(frozen=True)
class AssetReport:
    """The result of `check_assets`; `dataclasses.asdict` makes it JSON.

    `samples` is the size of the dataset, `added_mirrors` the number of mirror images that flipping adds. Findings are
    sorted by kind (background, foreground, mask, relief), then by severity (errors first), then by path. `splits` are
    the samples of each split.
    """

    backgrounds: FolderReport
    foregrounds: FolderReport
    size: tuple[int, int]
    per_pair: int
    added_mirrors: int
    samples: int
    splits: dict[str, int]
    findings: tuple[Finding, ...]


def check_assets(
    recipe: Recipe,
    *,
    workers: int | None = None,
    progress: bool = False,
    look: Callable[[SurveyedBackground], None] | None = None,
) -> AssetReport:
    """Reads the assets of a recipe exactly as `generate` does and reports problems of the dataset they would make.

    An asset that `generate` leaves out is an error among the findings, and a recipe that `generate` rejects raises
    QumadeError here too: `generate` accepts every recipe that passes the check. `look` is called with the survey of
    each background that has label or depth maps. Raises QumadeError for folders that cannot be listed and for invalid
    settings.
    """
    local, names = fetch_assets(recipe, progress=progress)
    with names:
        report = _check_assets(local, workers, progress, look)
    return replace(
        report,
        backgrounds=replace(report.backgrounds, folder=shown_asset(recipe.backgrounds)),
        foregrounds=replace(report.foregrounds, folder=shown_asset(recipe.foregrounds)),
        findings=tuple(names.finding(found) for found in report.findings),
    )


def _check_assets(
    recipe: LocalRecipe, workers: int | None, progress: bool, look: Callable[[SurveyedBackground], None] | None
) -> AssetReport:
    inventory = take_inventory(recipe, workers=workers, progress=progress, look=look)
    findings = list(inventory.findings)
    if inventory.catalog is not None:
        check_scales(recipe, inventory.catalog)
        of_one = len(inventory.catalog.foregrounds) * recipe.per_pair
        bare = bare_backgrounds(
            recipe, inventory.catalog, lambda backgrounds: stratified_indices(of_one, max(1, MAX_TRIED // backgrounds))
        )
        findings += [no_ground(recipe, inventory.catalog.backgrounds[number]) for number in bare]
    left_out = {found.path for found in findings if (found.kind, found.severity) == ("background", "error")}
    photos = [photo for photo in inventory.photos if printable(photo.path) not in left_out]
    cutouts = list(inventory.cutouts)
    photo_groups, cutout_groups = _identities(photos), _identities(cutouts)
    findings += _repeated(photos, photo_groups, "background") + _repeated(cutouts, cutout_groups, "foreground")
    findings += [finding for photo in photos for finding in _enlarged(photo, recipe.size, recipe.crop[0])]

    added_mirrors = cutout_groups.mirror_of.count(None) if recipe.flip else 0
    drawn = len(cutouts) + added_mirrors
    reuse = drawn * recipe.per_pair, len(photos) * recipe.per_pair
    photo_report = _folder_report(recipe.backgrounds, "background", photos, photo_groups, reuse[0], findings)
    cutout_report = _folder_report(recipe.foregrounds, "foreground", cutouts, cutout_groups, reuse[1], findings)
    findings += _of_folder(photo_report, "background") + _of_folder(cutout_report, "foreground")
    order = ["background", "foreground", "mask", "relief", "layout", "error", "warning", "info"]
    findings.sort(key=lambda found: (order.index(found.kind), order.index(found.severity), found.path, found.reason))
    return AssetReport(
        backgrounds=photo_report,
        foregrounds=cutout_report,
        size=recipe.size,
        per_pair=recipe.per_pair,
        added_mirrors=added_mirrors,
        samples=len(photos) * drawn * recipe.per_pair,
        splits={} if inventory.catalog is None else _samples_of_splits(inventory.catalog, recipe.per_pair),
        findings=tuple(findings),
    )


def format_report(report: AssetReport) -> str:
    """Formats the report as text: counts first, then the findings by severity and reason."""
    cutouts, photos = report.foregrounds, report.backgrounds
    drawn = f"{cutouts.usable:,}" + (f" + {report.added_mirrors:,} mirrored" if report.added_mirrors else "")
    seen = Counter(found.severity for found in report.findings)
    lines = [
        f"Backgrounds  {_counts(photos)}",
        f"Cut-outs     {_counts(cutouts)}",
        f"Samples      {report.samples:,} = {photos.usable:,} backgrounds x {drawn} cut-outs x {report.per_pair:,}",
        f"Splits       {', '.join(f'{count:,} {name}' for name, count in report.splits.items())}",
        f"Reuse        each background in {photos.reuse:,} samples, each cut-out in {cutouts.reuse:,}",
        f"Findings     {counted(seen['error'], 'error', 'errors')}, {counted(seen['warning'], 'warning', 'warnings')}, "
        f"{counted(seen['info'], 'note', 'notes')}",
    ]
    left_out = [left_out_line(kind, folder.usable, report.findings) for kind, folder in _folders(report)]
    lines += filter(None, [*left_out, few_samples(report.splits)])
    headings = {"error": "Cannot be used", "warning": "Suspicious, but used", "info": "Good to know"}
    for severity, heading in headings.items():
        findings = sorted((f for f in report.findings if f.severity == severity), key=_section)
        for group in by_reason(findings):
            lines += ["", f"{heading}: {group[0].kind}, {group[0].reason} ({len(group):,})", *lines_of_group(group)]
    return "\n".join(lines)


def _samples_of_splits(catalog: Catalog, per_pair: int) -> dict[str, int]:
    sides = [Counter(asset.split for asset in side) for side in (catalog.backgrounds, catalog.foregrounds)]
    counts: Counter[str | None] = Counter()
    for (background, a), (foreground, b) in product(sides[0].items(), sides[1].items()):
        counts[sample_split(background, foreground)] += a * b * per_pair
    return {name: counts[name] for name in SAMPLE_SPLITS if name is not None and counts[name]}


def _counts(folder: FolderReport) -> str:
    mirrored = f", {folder.mirrored:,} with their mirror image" if folder.mirrored else ""
    counts = f"{folder.usable:,} usable, {folder.identities:,} different{mirrored}"
    return f"{counted(folder.files, 'file', 'files')}, {counts}  ({folder.folder})"


def _folders(report: AssetReport) -> list[tuple[Kind, FolderReport]]:
    return [("background", report.backgrounds), ("foreground", report.foregrounds)]


def _section(found: Finding) -> tuple[str, str]:
    return found.kind, found.reason


def _identities(scanned: Sequence[Scanned]) -> Identities:
    return group_identities([each.signature for each in scanned], [each.width / each.height for each in scanned])


def _folder_report(
    folder: Path,
    kind: Kind,
    scanned: Sequence[Scanned],
    groups: Identities,
    reuse: int,
    findings: Sequence[Finding],
) -> FolderReport:
    unusable = sum(found.severity == "error" and found.kind == kind for found in findings)
    return FolderReport(
        folder=printable(folder),
        files=len(scanned) + unusable,
        usable=len(scanned),
        identities=len(set(groups.identity)),
        mirrored=len(scanned) - groups.mirror_of.count(None),
        reuse=reuse if scanned else 0,
    )


def _repeated(scanned: Sequence[Scanned], groups: Identities, kind: Kind) -> list[Finding]:
    """Reports images that appear twice. Mirror images do not count: a set of cut-outs may contain both on purpose."""
    findings = []
    for each, original in zip(scanned, groups.duplicate_of, strict=True):
        if original is not None:
            first = scanned[original]
            reason, how = (
                ("copy", "has the same content as")
                if _content(each) == _content(first)
                else ("near-copy", "is nearly identical to")
            )
            detail = f"{how} {printable(first.path)}: it counts twice"
            findings.append(Finding("warning", kind, printable(each.path), reason, detail))
    return findings


def _content(scanned: Scanned) -> tuple[str, str | None]:
    return scanned.sha256, scanned.mask_sha256 if isinstance(scanned, ScannedForeground) else None


def _enlarged(photo: ScannedBackground, size: tuple[int, int], smallest_crop: float) -> list[Finding]:
    pixels_for_one = smallest_crop * min(photo.width / size[0], photo.height / size[1])
    if pixels_for_one >= 1:
        return []
    detail = f"has {photo.width}x{photo.height} pixels: will be enlarged up to {1 / pixels_for_one:.2f} times"
    return [Finding("warning", "background", printable(photo.path), "enlarged", f"{detail} for {size[0]}x{size[1]}")]


def _of_folder(folder: FolderReport, kind: Kind) -> list[Finding]:
    """Returns the finding about a folder as a whole: all its assets are used equally often."""
    if not folder.usable:
        return [Finding("error", kind, folder.folder, "nothing-usable", "has no usable image; must have one")]
    if folder.reuse <= MAX_REUSE:
        return []
    detail = f"each is used in {folder.reuse:,} samples, more than {MAX_REUSE:,}: add {kind}s or lower per_pair"
    return [Finding("warning", kind, folder.folder, "reuse", detail)]
