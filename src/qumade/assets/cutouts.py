"""Read cut-outs: objects with straight alpha, cropped to the object, from RGBA images or from images and masks."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qumade.assets.catalog import SILHOUETTE_PX
from qumade.assets.coverage import (
    LOSSY_BLACK,
    LOSSY_WHITE,
    OPAQUE,
    coverage_problem,
    flat_share,
    looks_inverted,
)
from qumade.assets.premultiplied import looks_premultiplied, straight
from qumade.assets.specks import FAINT, CleanAlpha, clean_alpha
from qumade.errors import AssetError
from qumade.io.decode import read_gray, read_rgba
from qumade.io.listing import name_key
from qumade.io.pictures import UnusablePicture, list_pictures, printable

__all__ = ["Cutout", "Note", "contact", "cut_off_sides", "match_masks", "read_cutout", "silhouette"]

MIN_SIDE_PX = 8
SOLID = 250  # an object that reaches this nowhere is glass all over
MOST_TRANSLUCENT = 0.1  # share of the visible pixels in areas of one level

# IoU of independently drawn alpha and mask over 200 car cut-outs: 0.977 in the median, and 0.928 for a small object,
# where one boundary pixel is a large share; a mask that includes the car's shadow has 0.899.
MIN_AGREEMENT = 0.92

CUT_OFF_FRACTION = 0.2


@dataclass(frozen=True)
class Note:
    """Something about a cut-out that is still used: a short code and a description without the name. `suspicious`:
    someone should look at it."""

    reason: str
    detail: str
    suspicious: bool = True


@dataclass(frozen=True)
class Cutout:
    """An object cropped to its box (see `qumade.assets.specks`), and the position of that box in its file.

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


def match_masks(foregrounds: Sequence[Path], masks_folder: Path) -> tuple[dict[Path, Path], dict[Path, Path]]:
    """Finds the mask of each foreground that has one: with the same stem, or else with the same number.

    The number is the last run of digits in the stem (fg_img_012.png, maskimg_12.jpg). It counts only where all names
    of a folder differ in nothing else: a digit that is part of a name belongs to that name. A mask matched by its stem
    is not matched by number again. Also returns the pairs by number alone. Raises QumadeError if more than one pairing
    is possible, if the masks' folder is missing, or if it is the folder of the foregrounds.
    """
    masks = list_pictures(masks_folder)
    if any(path.parent.resolve() == masks_folder.resolve() for path in foregrounds):
        raise AssetError(
            f"Invalid masks folder: got {printable(masks_folder)}; must be another folder than the foregrounds"
        )
    by_stem = _pairs(foregrounds, masks, lambda path: name_key(path.stem), "stem")
    taken = set(by_stem.values())
    by_number = {}
    if all(len({_around_number(path) for path in paths}) == 1 for paths in (foregrounds, masks)):
        by_number = _pairs(
            [path for path in foregrounds if path not in by_stem],
            [path for path in masks if path not in taken],
            _number,
            "number",
        )
    return by_stem | by_number, by_number


def read_cutout(path: Path, mask: Path | None = None, *, premultiplied: bool = False) -> Cutout:
    """Reads a cut-out: colour and alpha from the file, or alpha from its mask (uint8 grey, 255 = object). Colours that
    are `premultiplied` with the file's alpha are divided by it.

    A file's own alpha takes precedence over a mask, unless it is opaque everywhere. A mask that differs from the alpha,
    has another size or cannot be read is then noted. Pixels with alpha of at least 128 are the object.

    Raises UnusablePicture with the reasons of `qumade.io.pictures`, and "no-alpha" (neither alpha nor mask),
    "clear" (nothing opaque), "full" (opaque everywhere), "translucent" (nowhere wholly opaque), "inverted", "small"
    (below 8 px on a side), "mask-size" (mask of another size), "mask-levels" (a mask that cannot be coverage),
    "mask-unusable" (mask needed but unreadable).
    """
    rgb, alpha = read_rgba(path)
    notes: tuple[Note, ...] = ()
    alpha_from = "alpha"
    if mask is not None and (alpha is None or (alpha >= OPAQUE).all()):
        alpha, alpha_from = _read_mask(path, mask, rgb.shape[:2]), "mask"
    elif mask is not None and alpha is not None:
        notes = _compare(path, mask, alpha)
    elif alpha is None:
        must = "have one of them (`qumade start` cuts objects out of pictures)"
        raise _unusable(path, "no-alpha", "neither alpha nor a mask", must)

    opaque = alpha >= OPAQUE
    if not opaque.any():
        raise _unusable(path, "clear", f"{alpha_from} of at most {alpha.max()}", f"reach {OPAQUE}")
    if opaque.all():
        raise _unusable(path, "full", f"{alpha_from} that is opaque everywhere", "leave the background transparent")
    if alpha.max() < SOLID:
        got = f"{alpha_from} of at most {alpha.max()}: the object is nowhere opaque"
        raise _unusable(path, "translucent", got, "reach 255 inside the object")
    if looks_inverted(alpha):
        got = f"{alpha_from} that is opaque along all four edges but not inside, as if it were inverted"
        raise _unusable(path, "inverted", got, "be 255 on the object and 0 around it")
    if alpha_from == "alpha" and (share := flat_share(alpha)) > MOST_TRANSLUCENT:
        detail = f"is translucent on {share:.0%} of its visible pixels: what is behind it will show through"
        notes += (Note("translucent", detail),)
    if premultiplied and alpha_from == "alpha":
        rgb = straight(rgb, alpha)
    elif alpha_from == "alpha" and looks_premultiplied(rgb, alpha):
        detail = "has colours that are multiplied by its alpha, which gives it a dark rim; `premultiplied` divides them"
        notes += (Note("premultiplied", detail),)
    clean = clean_alpha(alpha)
    notes += _dropped(clean)
    left, top, right, bottom = clean.box
    cropped = clean.alpha[top:bottom, left:right]
    _, _, width, height = _box(cropped >= OPAQUE)
    if min(width, height) < MIN_SIDE_PX:
        got = f"an object of {width}x{height} pixels"
        raise _unusable(path, "small", got, f"be at least {MIN_SIDE_PX}x{MIN_SIDE_PX}")
    rgba = np.dstack([rgb[top:bottom, left:right], np.where(cropped < FAINT, np.uint8(0), cropped)])
    return Cutout(rgba, left, top, alpha.shape[1], alpha.shape[0], alpha_from, notes)


def _dropped(clean: CleanAlpha) -> tuple[Note, ...]:
    """Notes what does not belong to the object and is cut away."""
    notes = []
    if clean.specks:
        detail = f"has {clean.specks} specks of {clean.speck_px} opaque pixels beside the object; they are cut away"
        notes.append(Note("specks", detail))
    if clean.haze_px:
        detail = f"has {clean.haze_px} faint pixels away from the object; they are cut away"
        notes.append(Note("haze", detail, suspicious=False))
    return tuple(notes)


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


def _around_number(path: Path) -> tuple[str, ...]:
    """Returns what stands before and after the last run of digits in the stem."""
    return tuple(re.split(r"[0-9]+(?=[^0-9]*$)", path.stem, maxsplit=1))


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
    problem = coverage_problem(gray, lossy=found == "JPEG")
    if problem is not None:
        got = f"the mask {printable(mask)} with {problem},"
        raise _unusable(path, "mask-levels", got, "have one of coverage: 255 the object, 0 around it")
    return gray if found == "PNG" else _without_ringing(gray)


def _without_ringing(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns a mask whose both ends are clipped and the rest is stretched to the full range: used as alpha, ringing
    would leave haze around the object and holes in it."""
    levels = (np.arange(256) - LOSSY_BLACK) * 255 / (LOSSY_WHITE - LOSSY_BLACK)
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
