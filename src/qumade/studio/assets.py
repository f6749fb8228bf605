"""Assets for the page: findings by file, the maps of a photo, and how large an object stands at a point."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qumade.assets.backgrounds import match_maps, survey_photo
from qumade.assets.classes import cutout_names
from qumade.assets.cutouts import match_masks, read_cutout
from qumade.assets.fetched import fetch_assets
from qumade.assets.label_scheme import label_scheme
from qumade.assets.scan import Finding, scan_backgrounds
from qumade.errors import AssetError, QumadeError
from qumade.geometry import GroundPlane
from qumade.io.decode import read_rgb, read_rgba
from qumade.io.files import write_bytes
from qumade.io.pictures import SUFFIXES, list_pictures, printable
from qumade.recipe import Recipe, for_file
from qumade.studio.pictures import Picture, thumbnail
from qumade.viz.ground_sheet import GroundRow, ground_row, label_colours

__all__ = [
    "Ground",
    "add_file",
    "asset_name",
    "asset_paths",
    "by_file",
    "cutout_picture",
    "ground_pictures",
    "height_px",
    "label_picture",
    "photo_ground",
    "photo_picture",
    "staged",
]

VIEW = (720, 540)
_AGREEMENT = np.array([(0, 0, 0), (0, 158, 115), (240, 228, 66), (0, 114, 178)], np.uint8)
"""Off the ground; as the plane, nearer, farther: colours of Okabe and Ito 2008."""


@dataclass(frozen=True, eq=False)
class Ground:
    """The maps of one photo at the size of the view, and its ground in pixels of the photo. `plane` is the inverse
    depth above the horizon's: 0 at the horizon. None where it is unknown."""

    row: GroundRow
    size: tuple[int, int]
    plane: GroundPlane | None
    camera_height_m: float | None
    findings: tuple[Finding, ...]


def asset_paths(recipe: Recipe, kind: str) -> list[Path]:
    """Return the pictures of a recipe's `backgrounds` or `foregrounds`, these with those in the sub-folders of their
    classes. Raises QumadeError for a folder that cannot be listed."""
    local, _ = fetch_assets(recipe)
    if kind == "backgrounds":
        return list_pictures(local.backgrounds)
    return [local.foregrounds / name for name in cutout_names(local.foregrounds)]


def asset_name(recipe: Recipe, path: Path) -> str:
    """Return what the recipe's tables by file name call a picture: a cut-out in the sub-folder of a class is
    CLASS/FILE."""
    return path.relative_to(recipe.foregrounds).as_posix() if path.is_relative_to(recipe.foregrounds) else path.name


def by_file(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Return findings by the printable path of their file, errors first."""
    order = ("error", "warning", "info")
    found: dict[str, list[Finding]] = defaultdict(list)
    for finding in sorted(findings, key=lambda finding: order.index(finding.severity)):
        found[finding.path].append(finding)
    return dict(found)


def photo_picture(path: Path, side: int) -> Picture:
    """Return a photo whose longer side is at most `side` pixels. Raises QumadeError if it cannot be read."""
    return thumbnail(read_rgb(path), side)


def cutout_picture(recipe: Recipe, path: Path, side: int) -> Picture:
    """Return a cut-out, cropped to the object, uint8 [h, w, 4]. Raises QumadeError if it cannot be read."""
    mask = None
    if isinstance(recipe.masks, Path):
        own = recipe.masks / path.parent.name  # that of a class
        masks = own if path.parent != recipe.foregrounds and own.is_dir() else recipe.masks
        mask = match_masks(list_pictures(path.parent), masks)[0].get(path)
    return thumbnail(read_cutout(path, mask).rgba, side)


def photo_ground(recipe: Recipe, path: Path) -> Ground:
    """Survey one photo as `generate` does. Raises QumadeError if the photo itself cannot be read."""
    photos, findings = scan_backgrounds(path.parent)
    scan = next((photo for photo in photos if photo.path == path), None)
    if scan is None:
        why = next((finding.detail for finding in findings if finding.path == printable(path)), "it is not a picture")
        raise AssetError(f"Invalid background: {printable(path)}: {why}")
    local, _ = fetch_assets(recipe)
    surveyed = survey_photo(local, scan, label_scheme(recipe), match_maps(local, photos))
    survey, plane = surveyed.survey, None
    if survey is not None and survey.plane is not None and not np.isnan(survey.horizon_level):
        plane = GroundPlane(survey.plane.a, survey.plane.b, survey.plane.c - survey.horizon_level)
    height = for_file(path.name, recipe.camera_height_m)
    return Ground(ground_row(recipe, surveyed, VIEW), (scan.width, scan.height), plane, height, surveyed.findings)


def height_px(plane: GroundPlane, point: tuple[float, float], ratio: float) -> float | None:
    """Return how many pixels of the photo an upright object is high that stands at a point (u, v) of flat ground.

    `ratio` is the object's height divided by the camera's: (v - horizon) x ratio, for a small pitch. None on and above
    the horizon.
    """
    below = point[1] - plane.horizon_row(point[0])
    return below * ratio if below > 0 else None


def label_picture(recipe: Recipe, row: GroundRow) -> tuple[Picture, list[tuple[str, tuple[int, int, int]]]] | None:
    """Return the label map in colours and the legend of its classes; None without one."""
    if row.labels is None:
        return None
    colours, legend = label_colours(recipe, [row])
    picture = np.full((*row.labels.shape, 3), 128, np.uint8)
    for number, colour in colours.items():
        picture[row.labels == number] = colour
    return picture, legend


def ground_pictures(recipe: Recipe, ground: Ground) -> dict[str, Picture]:
    """Return the pictures of a photo's maps by title; those without maps are left out."""
    row, found = ground.row, {"Photo": ground.row.photo}
    labels = label_picture(recipe, row)
    if labels is not None:
        found["Labels"] = labels[0]
    if row.depth is not None:
        found["Inverse depth"] = row.depth
    if row.agreement is not None:
        found["Fit of the ground plane: green fits, yellow is nearer, blue farther"] = _AGREEMENT[row.agreement]
    if row.standable is not None:
        green = np.where(row.standable[:, :, None], 0.5 * row.photo + 0.5 * np.array([0, 230, 110]), 0.6 * row.photo)
        found["Where objects may stand"] = green.astype(np.uint8)
    return found


def staged(uploads: Path, name: str, data: bytes) -> Path:
    """Keep an uploaded picture in the studio's own folder, and return its path there.

    Raises QumadeError for a name that is no plain file name of a picture, and for bytes that are no whole picture.
    """
    if Path(name).name != name or name.startswith(".") or Path(name).suffix.lower() not in SUFFIXES or "\x00" in name:
        allowed = ", ".join(SUFFIXES)
        raise AssetError(f"Invalid file name: got {ascii(name)[:100]}; must be a plain name that ends in {allowed}")
    uploads.mkdir(parents=True, exist_ok=True)
    path = uploads / name
    write_bytes(path, data)
    try:
        read_rgba(path)
    except QumadeError:
        path.unlink(missing_ok=True)
        raise
    return path


def add_file(upload: Path, folder: Path) -> Path:
    """Move a picture that was uploaded into a folder of assets, and return its path there.

    Raises QumadeError for a name that the folder has already.
    """
    path = folder / upload.name
    if path.exists():
        raise AssetError(f"Invalid file name: got {upload.name!r}, which {printable(folder)} has already")
    folder.mkdir(exist_ok=True)  # that of a new class
    write_bytes(path, upload.read_bytes())
    upload.unlink()
    return path
