"""Contact sheets: image, mask and depth of many samples on one page, to look at before training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from qumade.data.folder import FolderDataset
from qumade.data.objects import read_objects
from qumade.errors import ConfigError, DatasetError
from qumade.io.encode import png_bytes
from qumade.io.files import write_bytes
from qumade.viz.colours import inferno
from qumade.viz.overlay import OUTLINE, boundary
from qumade.viz.seams import seams

__all__ = [
    "SheetRow",
    "SheetStyle",
    "class_colour",
    "coloured_depth",
    "contact_sheet",
    "depth_legend",
    "fitted_text",
    "preview_dataset",
    "save_sheet",
    "with_objects",
]

CELL = 192  # side of the square that each image is fitted into, in pixels, by default
SIDES = 32, 4096
SHEET_WIDTH = 1840
MARGIN, GAP, CAPTION, HEADER = 16, 4, 24, 52
PAPER, INK, FAINT = (250, 250, 248), (32, 32, 36), (120, 120, 124)
CLASS_COLOURS = (
    OUTLINE, (255, 90, 60), (60, 160, 255), (255, 220, 0), (230, 80, 255), (0, 230, 230), (255, 150, 190),
    (170, 120, 60),
)  # fmt: skip
"""Colours of the classes in turn, the first one that of all outlines without classes."""
UNKNOWN = (96, 110, 124)


@dataclass(frozen=True, eq=False)
class SheetRow:
    """One sample: image uint8 [H, W, 3], mask uint8 [H, W] (255 is the object) or in colours [H, W, 3], inverse depth
    float32 [H, W] (NaN unknown), and a caption below them. Mask and depth may be None.

    `classes` uint16 [H, W] (0 none, otherwise the number of the class, from 1) and `instances` [H, W] colour outlines
    and mask by class; `boxes` are the class and the (left, top, width, height) of each box to draw."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None
    inverse_depth: NDArray[np.float32] | None
    caption: str
    classes: NDArray[np.integer] | None = None
    instances: NDArray[np.integer] | None = None
    boxes: tuple[tuple[int, tuple[float, float, float, float]], ...] = ()


@dataclass(frozen=True)
class SheetStyle:
    """How samples are drawn: the longest `side` of each image in pixels, with the `outline` of the mask in it or plain,
    and with a `zoom` on seams of the object or without. Raises QumadeError for a side that is no picture's."""

    side: int = CELL
    outline: bool = True
    zoom: bool = False

    def __post_init__(self) -> None:
        if not SIDES[0] <= self.side <= SIDES[1]:
            raise ConfigError(f"Invalid side: got {self.side}; must be from {SIDES[0]} to {SIDES[1]}")


def save_sheet(sheet: Image.Image, path: Path) -> None:
    """Write a sheet as PNG, atomically. Raises QumadeError if it cannot be written."""
    write_bytes(path, png_bytes(sheet))


def contact_sheet(
    rows: Sequence[SheetRow],
    *,
    title: str = "",
    legend: str = "inverse depth",
    inverse_depth_limits: tuple[float, float] | None = None,
    style: SheetStyle | None = None,
    classes: Sequence[str] = (),
) -> Image.Image:
    """Return an RGB sheet of the samples, several per line, each as image | mask | depth above its caption.

    Images of any size are shrunk, or enlarged by an integer factor, into a square of the `style`'s side. Depth is
    coloured from black (far) to bright (near) over `inverse_depth_limits` (far, near), or each image over its own range
    if that is None; unknown depth is slate. Outlines are the boundary of the mask, by class in the colours of the
    `classes` that the title lists.
    """
    style = style or SheetStyle()
    if not rows:
        raise DatasetError("Invalid preview: got no samples; must have at least one")
    strips = [_strip(row, inverse_depth_limits, style) for row in rows]
    strip_width = max(strip.width for strip in strips)
    strip_height = max(strip.height for strip in strips)
    columns = max(1, min(len(rows), (SHEET_WIDTH - MARGIN) // (strip_width + MARGIN)))
    lines = -(-len(rows) // columns)
    width = max(MARGIN + columns * (strip_width + MARGIN), 640)
    height = HEADER + lines * (strip_height + CAPTION) + MARGIN // 2

    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for position, (row, strip) in enumerate(zip(rows, strips, strict=True)):
        line, column = divmod(position, columns)
        left = MARGIN + column * (strip_width + MARGIN)
        top = HEADER + line * (strip_height + CAPTION)
        sheet.paste(strip, (left, top + strip_height - strip.height))
        draw.text((left, top + strip_height + 2), fitted_text(row.caption, strip_width, font), INK, font)
    legend_left = width
    if any(row.inverse_depth is not None for row in rows):
        legend_left = _draw_legend(draw, width - MARGIN, legend, inverse_depth_limits)
    title_font = ImageFont.load_default(18)
    title = fitted_text(title, legend_left - 2 * MARGIN, title_font)
    draw.text((MARGIN, HEADER // 2), title, INK, title_font, anchor="lm")
    begin = MARGIN + title_font.getlength(title)
    for number, name in enumerate(classes):
        begin += MARGIN
        if begin + font.getlength(name) + 18 > legend_left - MARGIN:
            break
        draw.rectangle((begin, HEADER // 2 - 6, begin + 12, HEADER // 2 + 6), class_colour(number))
        draw.text((begin + 18, HEADER // 2), name, INK, font, anchor="lm")
        begin += 18 + font.getlength(name)
    return sheet


def class_colour(number: int) -> tuple[int, int, int]:
    """Return the colour of class `number`, counted from 0."""
    return CLASS_COLOURS[number % len(CLASS_COLOURS)]


def preview_dataset(
    dataset: FolderDataset,
    count: int = 24,
    *,
    boxes: bool = False,
    seed: int = 0,
    style: SheetStyle | None = None,
) -> Image.Image:
    """Return a contact sheet of `count` samples: the dataset is divided into `count` parts, and one sample is drawn
    from each. `boxes` draws the boxes of what is visible of each object; the dataset needs instances/ then."""
    objects = read_objects(dataset) if boxes or dataset.has_instances else None
    if count < 1:
        raise DatasetError(f"Invalid preview: got {count} samples; must be at least one")
    count = min(count, len(dataset))
    edges = np.arange(count + 1) * len(dataset) // count
    positions = np.random.Generator(np.random.Philox(seed)).integers(edges[:-1], edges[1:])
    rows = []
    for position in positions:
        sample = dataset.read(int(position))
        caption = str(dataset.stems[position])
        if sample.mask is not None:
            caption += f"   object {100 * np.mean(sample.mask >= 128):.1f} %"
        row = SheetRow(sample.image, sample.mask, sample.inverse_depth, caption)
        if objects is not None:
            own = objects.of(int(position))
            numbers, found = dataset.read_instances(int(position)), objects.visible_box[own]
            row = with_objects(row, numbers, objects.class_number[own], found if boxes else found[:0])
        rows.append(row)
    shown = () if objects is None else objects.classes
    title = f"{dataset.name}: {count} of {len(dataset)} samples"
    encoding = dataset.depth_encoding
    if encoding is None:
        return contact_sheet(rows, title=title, classes=shown, style=style)
    limits = _range_of(rows) if encoding.code == "metres" else encoding.limits
    legend = depth_legend(None if encoding.range == "image" else encoding.kind, encoding.source)
    return contact_sheet(rows, title=title, legend=legend, inverse_depth_limits=limits, classes=shown, style=style)


def with_objects(
    row: SheetRow, instances: NDArray[np.integer], class_number: NDArray[np.integer], boxes: NDArray[np.integer]
) -> SheetRow:
    """Return a row that shows the objects of an instance map [H, W], given the class of each, from 0, and the boxes
    [objects, 4] to draw, none or one for each object."""
    if instances.max(initial=0) > len(class_number):
        raise DatasetError(
            f"Invalid instances: got number {instances.max()} in {row.caption.split()[0]}; must be at most "
            f"{len(class_number)}, the number of its objects"
        )
    classes = np.concatenate([[0], class_number + 1])[instances]
    drawn = [
        (int(number), (float(left), float(top), float(width), float(height)))
        for number, (left, top, width, height) in zip(class_number, boxes.tolist(), strict=False)
        if width > 0
    ]
    return replace(row, classes=classes, instances=instances, boxes=tuple(drawn))


def depth_legend(kind: str | None, source: str | None = None) -> str:
    """Return the legend text for depth of this kind (metric, scaled, affine or None) and source."""
    text = {
        "metric": "inverse depth in 1/m",
        "scaled": "inverse depth up to one factor (scaled)",
        "affine": "inverse depth up to factor and shift (affine)",
    }.get(kind or "", "inverse depth of each image, unit unknown")
    return f"{text}, {source}" if source else text


def _strip(row: SheetRow, inverse_depth_limits: tuple[float, float] | None, style: SheetStyle) -> Image.Image:
    """Return image, mask and depth of one sample side by side, and enlarged seams if the style has them."""
    height, width = row.image.shape[:2]
    factor = style.side / max(height, width)
    if factor > 1:
        factor = float(int(factor))  # an integer factor keeps pixels square
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    nearest = Image.Resampling.NEAREST
    image = Image.fromarray(row.image).resize(size, nearest if factor > 1 else Image.Resampling.LANCZOS)
    cells = [image]
    if row.mask is not None:
        mask = Image.fromarray(row.mask).resize(size, nearest if factor > 1 else Image.Resampling.BOX)
        if row.classes is not None and row.instances is not None:
            mask = _by_class(image, row.classes, row.instances, size, style.outline)
        elif style.outline:
            image.paste(OUTLINE, mask=Image.fromarray(boundary(np.asarray(mask) >= 128)))
        cells.append(mask.convert("RGB"))
    for number, (left, top, width_px, height_px) in row.boxes:
        across, down = size[0] / width, size[1] / height
        corners = left * across, top * down, (left + width_px) * across - 1, (top + height_px) * down - 1
        ImageDraw.Draw(image).rectangle(corners, outline=class_colour(number))
    if row.inverse_depth is not None:
        # nearest: a mean across a depth edge is a depth that occurs nowhere
        cells.append(Image.fromarray(coloured_depth(row.inverse_depth, inverse_depth_limits)).resize(size, nearest))
    if style.zoom and row.mask is not None:
        cells += seams(row.image, row.mask, min(size))
    strip = Image.new("RGB", (sum(cell.width + GAP for cell in cells) - GAP, size[1]), PAPER)
    left = 0
    for cell in cells:
        strip.paste(cell, (left, 0))
        left += cell.width + GAP
    return strip


def _by_class(
    image: Image.Image,
    classes: NDArray[np.integer],
    instances: NDArray[np.integer],
    size: tuple[int, int],
    outline: bool,
) -> Image.Image:
    """Draw the outlines of instances into an image of `size`, and return the pixels of each class in its colour."""
    shown, numbers = (
        np.asarray(Image.fromarray(layer.astype(np.int32)).resize(size, Image.Resampling.NEAREST))
        for layer in (classes, instances)
    )
    colours = np.array([(0, 0, 0), *(class_colour(number) for number in range(int(shown.max(initial=0))))], np.uint8)
    coloured = Image.fromarray(colours[shown])
    if outline:
        edges = np.zeros(shown.shape, bool)
        for number in np.unique(numbers[numbers > 0]):
            edges |= boundary(numbers == number)
        image.paste(coloured, mask=Image.fromarray(edges))
    return coloured


def coloured_depth(
    inverse_depth: NDArray[np.float32], inverse_depth_limits: tuple[float, float] | None
) -> NDArray[np.uint8]:
    """Return inverse depth [H, W] in colours, uint8 [H, W, 3], over `inverse_depth_limits` or over the range of the
    values: black at the far end, bright at the near end, slate where unknown."""
    known = np.isfinite(inverse_depth)
    far, near = inverse_depth_limits or (0.0, 1.0)
    if inverse_depth_limits is None and known.any():
        far, near = float(inverse_depth[known].min()), float(inverse_depth[known].max())
    share = (np.where(known, inverse_depth, far) - far) / max(near - far, 1e-12)
    colours = inferno(share)
    colours[~known] = UNKNOWN
    return colours


def _range_of(rows: Sequence[SheetRow]) -> tuple[float, float]:
    """Return 0 and the 99.5th percentile of the known inverse depth."""
    depths = [row.inverse_depth[np.isfinite(row.inverse_depth)] for row in rows if row.inverse_depth is not None]
    known = np.concatenate(depths) if depths else np.zeros(0)
    near = float(np.percentile(known, 99.5)) if known.size else 0.0
    return 0.0, near if near > 0 else 1.0


def _draw_legend(
    draw: ImageDraw.ImageDraw, right: int, title: str, inverse_depth_limits: tuple[float, float] | None
) -> int:
    """Draw the colour bar with its two ends, right-aligned, and return its left edge."""
    font = ImageFont.load_default(13)
    far, near = (
        ("far", "near")
        if inverse_depth_limits is None
        else (f"{inverse_depth_limits[0]:.3g} far", f"{inverse_depth_limits[1]:.3g} near")
    )
    middle, bar, swatch = HEADER / 2, 128, 14
    unknown_left = right - draw.textlength("unknown", font) - swatch - 6
    near_left = unknown_left - 18 - draw.textlength(near, font)
    bar_left = near_left - 6 - bar
    far_left = bar_left - 6 - draw.textlength(far, font)
    left = far_left - 14 - draw.textlength(title, font)
    ramp = coloured_depth(np.linspace(0, 1, bar, dtype=np.float32)[None], (0.0, 1.0))[0]
    for step, colour in enumerate(ramp):
        draw.line((bar_left + step, middle - 7, bar_left + step, middle + 6), tuple(int(c) for c in colour))
    draw.rectangle((unknown_left, middle - 7, unknown_left + swatch, middle + 6), UNKNOWN)
    for x, text, ink in (
        (left, title, INK),
        (far_left, far, FAINT),
        (near_left, near, FAINT),
        (unknown_left + swatch + 6, "unknown", FAINT),
    ):
        draw.text((x, middle), text, ink, font, anchor="lm")
    return int(left)


def fitted_text(text: str, width: float, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return the text, cut off with dots if it is wider than `width` pixels."""
    text = " ".join(text.split(" ")) if text.isprintable() else ascii(text)[1:-1]
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."
