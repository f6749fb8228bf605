"""Read cut-outs: objects with straight alpha, cropped to the object, from RGBA images or from images and masks."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qumade.assets.catalog import SILHOUETTE_PX
from qumade.errors import AssetError
from qumade.io.decode import read_gray, read_rgba
from qumade.io.pictures import UnusablePicture, list_pictures, printable

__all__ = ["FAINT", "Cutout", "Note", "contact", "cut_off_sides", "match_masks", "read_cutout", "silhouette"]

OPAQUE = 128  # coverage of at least one half: the pixel belongs to the object
FAINT = 8  # lower alpha is residue of an eraser or a codec: invisible, but it would enlarge the object's box
MIN_SIDE_PX = 8

# IoU of independently drawn alpha and mask over 200 car cut-outs: 0.977 in the median, and 0.928 for a small object,
# where one boundary pixel is a large share; a mask that includes the car's shadow has 0.899.
MIN_AGREEMENT = 0.92

CUT_OFF_FRACTION = 0.2

# JPEG rings around hard edges by a few levels. Used as alpha, the ringing would leave haze around the object and holes
# in it. Both ends are therefore clipped and the rest is stretched to the full range.
_LOSSY_BLACK, _LOSSY_WHITE = 16, 239


@dataclass(frozen=True)
class Note:
    """Something suspicious about a cut-out that is still used: a short code and a description without the name."""

    reason: str
    detail: str


@dataclass(frozen=True)
class Cutout:
    """An object cropped to the box of its alpha, and the position of that box in its file.

    `rgba` is uint8 [h, w, 4] with straight alpha, where alpha below 8 is set to 0; `left` and `top` are pixels of the
    file, which is `file_width` x `file_height` (upright); `alpha_from` is "alpha" or "mask".
    """

    rgba: NDArray[np.uint8]
    left: int
    top: int
    file_width: int
    file_height: int
    alpha_from: str
    notes: tuple[Note, ...] = ()


def match_masks(foregrounds: Sequence[Path], masks_folder: Path) -> dict[Path, Path]:
    """Finds the mask of each foreground that has one: with the same stem, or else with the same number.

    The number is the last run of digits in the stem (fg_img_012.png, maskimg_12.jpg). A mask matched by its stem is not
    matched by number again. Raises QumadeError if more than one pairing is possible, if the masks' folder is missing,
    or if it is the folder of the foregrounds.
    """
    masks = list_pictures(masks_folder)
    if any(path.parent.resolve() == masks_folder.resolve() for path in foregrounds):
        raise AssetError(
            f"Invalid masks folder: got {printable(masks_folder)}; must be another folder than the foregrounds"
        )
    by_stem = _pairs(foregrounds, masks, lambda path: path.stem, "stem")
    taken = set(by_stem.values())
    by_number = _pairs(
        [path for path in foregrounds if path not in by_stem],
        [path for path in masks if path not in taken],
        _number,
        "number",
    )
    return by_stem | by_number


def read_cutout(path: Path, mask: Path | None = None) -> Cutout:
    """Reads a cut-out: colour and alpha from the file, or alpha from its mask (uint8 grey, 255 = object).

    A file's own alpha takes precedence over a mask, unless it is opaque everywhere. A mask that differs from the alpha,
    has another size or cannot be read is then noted. Pixels with alpha of at least 128 are the object.

    Raises UnusablePicture with the reasons of `qumade.io.pictures`, and "no-alpha" (neither alpha nor mask),
    "clear" (nothing opaque), "full" (opaque everywhere), "small" (below 8 px on a side), "mask-size" (mask of another
    size), "mask-unusable" (mask needed but unreadable).
    """
    rgb, alpha = read_rgba(path)
    notes: tuple[Note, ...] = ()
    alpha_from = "alpha"
    if mask is not None and (alpha is None or (alpha >= OPAQUE).all()):
        alpha, alpha_from = _read_mask(path, mask, rgb.shape[:2]), "mask"
    elif mask is not None and alpha is not None:
        notes = _compare(path, mask, alpha)
    elif alpha is None:
        raise _unusable(path, "no-alpha", "neither alpha nor a mask", "have one of them")

    opaque = alpha >= OPAQUE
    if not opaque.any():
        raise _unusable(path, "clear", f"{alpha_from} of at most {alpha.max()}", f"reach {OPAQUE}")
    if opaque.all():
        raise _unusable(path, "full", f"{alpha_from} that is opaque everywhere", "leave the background transparent")
    _, _, width, height = _box(opaque)
    if min(width, height) < MIN_SIDE_PX:
        got = f"an object of {width}x{height} pixels"
        raise _unusable(path, "small", got, f"be at least {MIN_SIDE_PX}x{MIN_SIDE_PX}")
    left, top, width, height = _box(alpha >= FAINT)
    cropped = alpha[top : top + height, left : left + width]
    rgba = np.dstack([rgb[top : top + height, left : left + width], np.where(cropped < FAINT, np.uint8(0), cropped)])
    return Cutout(rgba, left, top, alpha.shape[1], alpha.shape[0], alpha_from, notes)


def cut_off_sides(cutout: Cutout) -> tuple[str, ...]:
    """Returns the sides of the file ("left", "top", "right", "bottom") along which more than 20 % is opaque.

    The photo probably cut off the object there.
    """
    opaque = cutout.rgba[..., 3] >= OPAQUE
    height, width = opaque.shape
    touching = {
        "left": (cutout.left == 0, opaque[:, 0], cutout.file_height),
        "top": (cutout.top == 0, opaque[0], cutout.file_width),
        "right": (cutout.left + width == cutout.file_width, opaque[:, -1], cutout.file_height),
        "bottom": (cutout.top + height == cutout.file_height, opaque[-1], cutout.file_width),
    }
    return tuple(
        side for side, (touches, line, length) in touching.items() if touches and line.sum() > CUT_OFF_FRACTION * length
    )


def contact(alpha: NDArray[np.uint8]) -> tuple[float, float]:
    """Returns the point where the object stands, in continuous pixel coordinates (u, v) of an alpha uint8 [h, w].

    v is the lower edge of the lowest row with a pixel of at least 128, u the middle of that row's opaque extent.
    Raises ValueError if no pixel reaches 128.
    """
    rows, columns = np.nonzero(alpha >= OPAQUE)
    if len(rows) == 0:
        raise ValueError(f"Invalid alpha: got at most {alpha.max(initial=0)}; must reach {OPAQUE} somewhere")
    lowest = columns[rows == rows[-1]]
    return (int(lowest[0]) + int(lowest[-1]) + 1) / 2, float(rows[-1] + 1)


def silhouette(alpha: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns the share of each cell covered by pixels with alpha of at least 128: float32 [32, 32] in 0..1.

    The grid is stretched over the alpha uint8 [h, w]. Cells average by area, even if they are smaller than a pixel.
    """
    opaque = (alpha >= OPAQUE).astype(np.float64)
    height, width = opaque.shape
    # Overlaps are integers, so the products are exact and only the division rounds: the same on every machine.
    covered = _overlaps(height, SILHOUETTE_PX) @ opaque @ _overlaps(width, SILHOUETTE_PX).T
    coverage: NDArray[np.float64] = covered / (height * width)
    return coverage.astype(np.float32)


def _overlaps(pixels: int, cells: int) -> NDArray[np.float64]:
    """Returns the overlap of each pixel with each cell [cells, pixels], in units of 1 / cells of a pixel."""
    pixel_edges = np.arange(pixels + 1) * cells
    cell_edges = np.arange(cells + 1)[:, None] * pixels
    low = np.maximum(pixel_edges[:-1], cell_edges[:-1])
    high = np.minimum(pixel_edges[1:], cell_edges[1:])
    overlaps: NDArray[np.float64] = np.maximum(high - low, 0).astype(np.float64)
    return overlaps


def _number(path: Path) -> str | None:
    """Returns the last run of digits in the stem without leading zeros, None without digits."""
    digits = re.findall(r"[0-9]+", path.stem)
    return (digits[-1].lstrip("0") or "0") if digits else None


def _pairs(
    foregrounds: Sequence[Path], masks: Sequence[Path], key: Callable[[Path], str | None], key_name: str
) -> dict[Path, Path]:
    """Pairs files with equal keys. Raises QumadeError if a key matches several files on either side."""
    ours, theirs = _by_key(foregrounds, key), _by_key(masks, key)
    pairs = {}
    for value in ours.keys() & theirs.keys():
        if len(ours[value]) > 1 or len(theirs[value]) > 1:
            candidates = ", ".join(printable(path) for path in [*ours[value], *theirs[value]])
            raise AssetError(
                f"Invalid masks: got several files with the same {key_name}: {candidates}; must be one mask per cut-out"
            )
        pairs[ours[value][0]] = theirs[value][0]
    return {path: pairs[path] for path in foregrounds if path in pairs}


def _by_key(paths: Sequence[Path], key: Callable[[Path], str | None]) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        value = key(path)
        if value is not None:
            groups[value].append(path)
    return groups


def _unusable(path: Path, reason: str, got: str, allowed: str) -> UnusablePicture:
    return UnusablePicture(path, reason, got, allowed, "cut-out")


def _read_mask(path: Path, mask: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Reads the mask of a cut-out as alpha. Raises UnusablePicture naming the cut-out if that fails."""
    try:
        gray, found = read_gray(mask)
    except UnusablePicture as error:
        got = f"an unusable mask {printable(mask)} ({error.detail})"
        raise _unusable(path, "mask-unusable", got, "have a mask that can be read") from error
    if gray.shape != shape:
        got = f"a mask of {gray.shape[1]}x{gray.shape[0]} pixels, {printable(mask)},"
        raise _unusable(path, "mask-size", got, f"have one of {shape[1]}x{shape[0]}")
    return gray if found == "PNG" else _without_ringing(gray)


def _without_ringing(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    levels = (np.arange(256) - _LOSSY_BLACK) * 255 / (_LOSSY_WHITE - _LOSSY_BLACK)
    return np.rint(levels).clip(0, 255).astype(np.uint8)[gray]


def _compare(path: Path, mask: Path, alpha: NDArray[np.uint8]) -> tuple[Note, ...]:
    """Notes differences between a cut-out's own alpha and its mask."""
    try:
        masked = _read_mask(path, mask, alpha.shape) >= OPAQUE
    except UnusablePicture as error:
        return (Note(error.reason, f"{error.detail}; its alpha is used"),)
    opaque = alpha >= OPAQUE
    union = np.count_nonzero(opaque | masked)
    agreement = np.count_nonzero(opaque & masked) / union if union else 1.0
    if agreement >= MIN_AGREEMENT:
        return ()
    detail = (
        f"got an IoU of only {agreement:.2f} between its alpha and its mask {printable(mask)}; "
        f"must be at least {MIN_AGREEMENT}; its alpha is used"
    )
    return (Note("mask-differs", detail),)


def _box(inside: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Returns left, top, width and height of the box around the true pixels (at least one)."""
    columns, rows = np.flatnonzero(inside.any(axis=0)), np.flatnonzero(inside.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)
