"""A sheet of backgrounds that shows the ground as their maps describe it: unusable backgrounds are easy to spot."""

import colorsys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from qumade.assets.backgrounds import SurveyedBackground
from qumade.assets.ground import Survey
from qumade.assets.label_names import LabelTable, label_table
from qumade.assets.label_scheme import LabelScheme, label_scheme
from qumade.assets.labels import target_pixels
from qumade.assets.scan import Severity
from qumade.errors import DatasetError
from qumade.geometry import INLIER_TOLERANCE, GroundPlane
from qumade.io.decode import read_rgb
from qumade.recipe import Recipe, for_file
from qumade.viz.sheets import coloured_depth, fitted_text

__all__ = ["GroundRow", "ground_row", "ground_sheet", "label_colours"]

CELL = (192, 144)  # largest width and height of each image
MOST_ROWS = 150  # viewers fail to open a larger image
MARGIN, GAP, CAPTION, HEADING, LEGEND_LINE, STRIPE = 16, 4, 38, 20, 22, 6
PAPER, INK, FAINT = (250, 250, 248), (32, 32, 36), (110, 110, 114)
VERDICT_INK = {"error": (200, 20, 30), "warning": (176, 104, 0), "info": (20, 128, 60)}
UNUSABLE_PAPER = (252, 224, 222)
HORIZON, STANDABLE = (255, 225, 0), (0, 230, 110)
ON_PLANE, NEARER, FARTHER = (60, 190, 90), (240, 120, 30), (60, 120, 240)
OTHER, MOST_CLASSES = (128, 128, 128), 24

# The well-known colours of the Cityscapes classes; other classes get colours from a colour wheel.
_COLOURS: Mapping[str, tuple[int, int, int]] = {
    "road": (128, 64, 128), "sidewalk": (244, 35, 232), "pavement": (244, 35, 232), "building": (70, 70, 70),
    "wall": (102, 102, 156), "fence": (190, 153, 153), "pole": (153, 153, 153), "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0), "sign": (220, 220, 0), "vegetation": (107, 142, 35), "tree": (107, 142, 35),
    "terrain": (152, 251, 152), "grass": (152, 251, 152), "sky": (70, 130, 180), "person": (220, 20, 60),
    "pedestrian": (220, 20, 60), "rider": (255, 0, 0), "bicyclist": (255, 0, 0), "car": (0, 0, 142),
    "truck": (0, 0, 70), "bus": (0, 60, 100), "train": (0, 80, 100), "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32), "unlabelled": (0, 0, 0),
}  # fmt: skip

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, eq=False)
class GroundRow:
    """One background at the size of a cell [h, w]. Maps that do not exist are None.

    `agreement` uint8 is 0 off the ground, 1 where the depth is that of the plane, 2 where it is nearer, 3 where it is
    farther. `horizon` holds the rows where the horizon meets the left and right edges, as shares of the height.
    """

    name: str
    severity: Severity
    verdict: str
    figures: str
    photo: NDArray[np.uint8]
    labels: NDArray[np.int32] | None
    depth: NDArray[np.uint8] | None
    agreement: NDArray[np.uint8] | None
    standable: NDArray[np.bool_] | None
    standable_share: float
    horizon: tuple[float, float] | None


def ground_row(recipe: Recipe, surveyed: SurveyedBackground, cell: tuple[int, int] = CELL) -> GroundRow:
    """Computes the row of a surveyed background: its worst findings as a verdict, key figures, and its images, fitted
    into a cell of that width and height."""
    scheme, survey = label_scheme(recipe), surveyed.survey
    width, height = surveyed.scan.width, surveyed.scan.height
    factor = min(cell[0] / width, cell[1] / height)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    photo = Image.fromarray(read_rgb(surveyed.scan.path)).resize(size, Image.Resampling.LANCZOS)
    # Labels and depth are sampled: a mean of two classes, or across a depth edge, occurs nowhere in the map.
    rows = ((np.arange(size[1]) + 0.5) * height / size[1]).astype(np.intp)
    columns = ((np.arange(size[0]) + 0.5) * width / size[0]).astype(np.intp)
    picked = np.ix_(rows, columns)
    labels = None if surveyed.labels is None else surveyed.labels[picked]
    inverse_depth = None if surveyed.inverse_depth is None else surveyed.inverse_depth[picked]
    standable = None if survey is None or survey.standable is None else survey.standable[picked]
    severity, verdict = _verdict(surveyed)
    return GroundRow(
        name=surveyed.scan.name,
        severity=severity,
        verdict=verdict,
        figures="" if survey is None else _figures(recipe, surveyed, survey, scheme),
        photo=np.asarray(photo),
        labels=labels,
        depth=None if inverse_depth is None else coloured_depth(inverse_depth, _span(inverse_depth)),
        agreement=_agreement(survey, scheme, labels, inverse_depth, columns, rows),
        standable=standable,
        standable_share=0.0 if survey is None or survey.standable is None else float(survey.standable.mean()),
        horizon=_horizon(survey, width, height),
    )


def ground_sheet(recipe: Recipe, rows: Sequence[GroundRow]) -> Image.Image:
    """Draws an RGB sheet of backgrounds: unusable ones first and on red, then those with a warning, then the rest. Each
    group is sorted by the area where objects may stand, smallest first.

    Each background is a row of images: photo, labels, inverse depth, agreement of the ground's depth with its plane,
    and where objects may stand. Images without maps in the recipe are left out, and so are backgrounds after the 150th.
    """
    if not rows:
        raise DatasetError("Invalid sheet: got no background; must be at least one")
    order: list[Severity] = ["error", "warning", "info"]
    shown = sorted(rows, key=lambda row: (order.index(row.severity), row.standable_share, row.name))[:MOST_ROWS]
    colours, legend = label_colours(recipe, shown)
    titles = _cell_titles(recipe)
    columns = 1 if len(shown) <= 4 else 2 if len(shown) <= 40 else 3
    strip_width = len(titles) * (CELL[0] + GAP) - GAP
    width = max(MARGIN + columns * (strip_width + STRIPE + 2 * MARGIN), 800)
    lines = [shown[first : first + columns] for first in range(0, len(shown), columns)]
    heights = [max(row.photo.shape[0] for row in line) + CAPTION for line in lines]

    small, plain, large = ImageFont.load_default(12), ImageFont.load_default(14), ImageFont.load_default(18)
    classes_height = _draw_legend(None, legend, width, 0, small)
    marks_top = 44 + classes_height
    top = marks_top + _draw_legend(None, _marks(recipe), width, 0, small) + HEADING
    sheet = Image.new("RGB", (width, top + sum(heights) + MARGIN * len(heights)), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 24), fitted_text(_title(rows, shown), width - 2 * MARGIN, large), INK, large, anchor="lm")
    _draw_legend(draw, legend, width, 44, small)
    _draw_legend(draw, _marks(recipe), width, marks_top, small)
    for column in range(columns):
        left = MARGIN + column * (strip_width + STRIPE + 2 * MARGIN) + STRIPE + GAP
        for n, title in enumerate(titles):
            draw.text((left + n * (CELL[0] + GAP), top - HEADING), title, FAINT, small)
    for line, height in zip(lines, heights, strict=True):
        for column, row in enumerate(line):
            left = MARGIN + column * (strip_width + STRIPE + 2 * MARGIN)
            right = left + STRIPE + GAP + strip_width + GAP
            if row.severity == "error":
                draw.rectangle((left, top - 4, right, top + height), UNUSABLE_PAPER)
            draw.rectangle((left, top - 4, left + STRIPE - 1, top + height), VERDICT_INK[row.severity])
            left += STRIPE + GAP
            for n, cell in enumerate(_cells(recipe, row, colours)):
                if cell is not None:
                    sheet.paste(cell, (left + n * (CELL[0] + GAP), top))
            text_top = top + row.photo.shape[0] + 2
            draw.text((left, text_top), row.name, INK, plain)
            verdict_left = left + plain.getlength(row.name) + 12
            verdict = fitted_text(row.verdict, left + strip_width - verdict_left, plain)
            draw.text((verdict_left, text_top), verdict, VERDICT_INK[row.severity], plain)
            draw.text((left, text_top + 18), fitted_text(row.figures, strip_width, small), FAINT, small)
        top += height + MARGIN
    return sheet


def _verdict(surveyed: SurveyedBackground) -> tuple[Severity, str]:
    levels: tuple[Severity, ...] = ("error", "warning")
    for severity in levels:
        details = [finding.detail for finding in surveyed.findings if finding.severity == severity]
        if details:
            return severity, "; ".join(details)
    return "info", "usable"


def _figures(recipe: Recipe, surveyed: SurveyedBackground, survey: Survey, scheme: LabelScheme | None) -> str:
    """Formats the key figures of a background: ground, plane, horizon, and objects that it already shows."""
    parts = []
    if surveyed.labels is not None and scheme is not None and survey.standable is not None:
        ground = target_pixels(surveyed.labels, scheme.ground).mean()
        parts.append(f"ground {ground:.1%} of the photo, {survey.standable.mean():.1%} to stand on")
    if survey.fit is not None:
        fit = survey.fit
        parts.append(f"plane: inliers {fit.inlier_share:.0%}, median residual {fit.median_relative_residual:.1%}")
    horizon = _horizon(survey, surveyed.scan.width, surveyed.scan.height)
    if horizon is not None:
        assumed = recipe.depths is None and for_file(surveyed.scan.name, recipe.horizon) is None
        how = "assumed at" if assumed else "at"
        parts.append(f"horizon {how} {sum(horizon) / 2:.2f} of the height")
    if survey.present_share >= 0.001:
        parts.append(f"shows {', '.join(recipe.target)} on {survey.present_share:.1%}")
    return "; ".join(parts)


def _span(inverse_depth: NDArray[np.float32]) -> tuple[float, float] | None:
    """Returns the range of inverse depth without the nearest 1 %, which would leave the rest of the image black."""
    known = inverse_depth[np.isfinite(inverse_depth)]
    return (float(known.min()), float(np.percentile(known, 99))) if known.size else None


def _agreement(
    survey: Survey | None,
    scheme: LabelScheme | None,
    labels: NDArray[np.int32] | None,
    inverse_depth: NDArray[np.float32] | None,
    columns: NDArray[np.intp],
    rows: NDArray[np.intp],
) -> NDArray[np.uint8] | None:
    if survey is None or survey.fit is None or scheme is None or labels is None or inverse_depth is None:
        return None
    u, v = np.meshgrid(columns + 0.5, rows + 0.5)
    plane = survey.fit.plane.inverse_depth(u, v)
    above = inverse_depth - survey.horizon_level - plane
    reach = INLIER_TOLERANCE * np.abs(plane)
    sides = np.where(above > reach, 2, np.where(above < -reach, 3, 1))
    known = target_pixels(labels, scheme.ground) & np.isfinite(inverse_depth)
    return np.where(known, sides, 0).astype(np.uint8)


def _horizon(survey: Survey | None, width: int, height: int) -> tuple[float, float] | None:
    if survey is None or survey.plane is None or np.isnan(survey.horizon_level):
        return None
    plane = GroundPlane(survey.plane.a, survey.plane.b, survey.plane.c - survey.horizon_level)
    return plane.horizon_row(0.0) / height, plane.horizon_row(float(width)) / height


def label_colours(recipe: Recipe, rows: Iterable[GroundRow]) -> tuple[dict[int, Colour], list[tuple[str, Colour]]]:
    """Returns a colour for each id of the most common classes, and the legend with their names."""
    seen: Counter[int] = Counter()
    for row in rows:
        if row.labels is not None:
            ids, counts = np.unique(row.labels, return_counts=True)
            seen.update(dict(zip(ids.tolist(), counts.tolist(), strict=True)))
    names = {} if recipe.label_names is None or not seen else _names(label_table(recipe.label_names))
    common = [i for i, _ in seen.most_common(MOST_CLASSES)]
    colours, legend = {}, []
    for n, i in enumerate(common):
        name = names.get(i, f"id {i}")
        red, green, blue = colorsys.hsv_to_rgb(n * 0.618 % 1, 0.6, 0.9)
        colours[i] = _COLOURS.get(name, (round(255 * red), round(255 * green), round(255 * blue)))
        legend.append((name, colours[i]))
    if len(seen) > len(common):
        legend.append(("others", OTHER))
    return colours, legend


def _marks(recipe: Recipe) -> list[tuple[str, Colour]]:
    """Returns the legend of the marks that are drawn over the photo."""
    if recipe.labels is None:
        return []
    marks = [("horizon", HORIZON), ("objects may stand", STANDABLE)]
    if recipe.depths is not None:
        on_plane = f"ground on the plane within {INLIER_TOLERANCE:.0%}"
        marks += [(on_plane, ON_PLANE), ("ground nearer than the plane", NEARER), ("farther", FARTHER)]
    return marks


def _names(table: LabelTable) -> dict[int, str]:
    names: dict[int, str] = {}
    for name, ids in table.items():
        for i in ids:
            names.setdefault(i, name)
    return names


def _cell_titles(recipe: Recipe) -> list[str]:
    titles = ["photo"]
    titles += ["labels"] if recipe.labels is not None else []
    titles += ["inverse depth"] if recipe.depths is not None else []
    titles += ["ground and its plane"] if recipe.labels is not None and recipe.depths is not None else []
    return titles + (["where objects may stand"] if recipe.labels is not None else [])


def _cells(recipe: Recipe, row: GroundRow, colours: Mapping[int, Colour]) -> list[Image.Image | None]:
    """Returns the images of one background in the order of the titles."""
    cells: list[Image.Image | None] = [Image.fromarray(row.photo)]
    if recipe.labels is not None:
        cells.append(None if row.labels is None else Image.fromarray(_coloured_labels(row.labels, colours)))
    if recipe.depths is not None:
        cells.append(None if row.depth is None else Image.fromarray(row.depth))
    if recipe.labels is not None and recipe.depths is not None:
        paints = dict(enumerate((ON_PLANE, NEARER, FARTHER), 1))
        masks = [] if row.agreement is None else [(row.agreement == code, paints[code]) for code in paints]
        cells.append(None if row.depth is None else _painted(row, masks, 0.75))
    if recipe.labels is not None:
        cells.append(None if row.standable is None else _painted(row, [(row.standable, STANDABLE)], 0.5))
    return cells


def _coloured_labels(labels: NDArray[np.int32], colours: Mapping[int, Colour]) -> NDArray[np.uint8]:
    ids, positions = np.unique(labels, return_inverse=True)
    table = np.array([colours.get(int(i), OTHER) for i in ids], np.uint8)
    return table[positions.reshape(labels.shape)]


def _painted(row: GroundRow, masks: Iterable[tuple[NDArray[np.bool_], Colour]], strength: float) -> Image.Image:
    """Draws coloured areas and the horizon over the photo in greyscale."""
    grey = np.asarray(Image.fromarray(row.photo).convert("L"))
    pixels = np.repeat(grey[..., None], 3, axis=2).astype(np.float32)
    for where, colour in masks:
        pixels[where] = (1 - strength) * pixels[where] + strength * np.array(colour, np.float32)
    if row.horizon is not None:
        height, width = grey.shape
        left, right = row.horizon
        line = height * (left + (right - left) * (np.arange(width) + 0.5) / width)
        pixels[np.abs(np.arange(height)[:, None] + 0.5 - line) <= 1] = HORIZON
    return Image.fromarray(pixels.astype(np.uint8))


def _title(rows: Sequence[GroundRow], shown: Sequence[GroundRow]) -> str:
    counts = Counter(row.severity for row in rows)
    title = f"{len(rows):,} backgrounds: {counts['error']:,} unusable, {counts['warning']:,} doubtful, "
    title += f"{counts['info']:,} usable"
    return title if len(shown) == len(rows) else f"{title}; the first {len(shown):,} are shown"


def _draw_legend(
    draw: ImageDraw.ImageDraw | None, legend: Iterable[tuple[str, Colour]], width: int, top: int, font: Font
) -> int:
    """Draws swatches with names from the left, in as many lines as needed, and returns their height in pixels."""
    left, line = MARGIN, -1
    for name, colour in legend:
        needed = 20 + round(font.getlength(name)) + 18
        if line < 0 or left + needed > width:
            left, line = MARGIN, line + 1
        if draw is not None:
            y = top + line * LEGEND_LINE
            draw.rectangle((left, y + 2, left + 13, y + 15), colour, outline=FAINT)
            draw.text((left + 20, y + 9), name, INK, font, anchor="lm")
        left += needed
    return (line + 1) * LEGEND_LINE
