"""Reads every image of an asset folder once: collects the facts that planning needs, and any problems."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from qumade.assets.classes import class_folders, sub_folders
from qumade.assets.cut_sides import cut_name, cut_side
from qumade.assets.cutouts import contact, cut_off_sides, match_masks, read_cutout, silhouette
from qumade.assets.identities import signature
from qumade.io.decode import read_rgba
from qumade.io.listing import counted
from qumade.io.pictures import UnusablePicture, content_hash, left_out, list_pictures, printable, require_text
from qumade.io.progress import progress_bar

__all__ = [
    "LEFT_OUT",
    "Finding",
    "ScannedBackground",
    "ScannedForeground",
    "scan_backgrounds",
    "scan_foregrounds",
]

LEFT_OUT = "left-out"
"""The reason of findings about entries of a folder that are not read. Every verb says them."""

Severity = Literal["error", "warning", "info"]
Kind = Literal["background", "foreground", "mask", "relief", "layout"]


@dataclass(frozen=True)
class Finding:
    """Something about one file: an error (it cannot be used), a warning (it is used) or information.

    `path` is absolute and printable, `reason` a short code, `detail` a description that does not repeat the path.
    """

    severity: Severity
    kind: Kind
    path: str
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.kind} {self.path}: {self.detail}"


@dataclass(frozen=True)
class ScannedBackground:
    """A usable background: `width` x `height` upright pixels; see `qumade.assets.identities` for `signature`."""

    path: Path
    sha256: str
    width: int
    height: int
    signature: NDArray[np.uint8]

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True)
class ScannedForeground:
    """A usable cut-out: `width` x `height` is the crop to the object.

    See `qumade.assets.cutouts` for `contact`, in pixels of the crop, and `silhouette`. `mask` and `mask_sha256` are
    None if the file's own alpha is used. `folder` is the sub-folder of its class, "" without.
    """

    path: Path
    sha256: str
    mask: Path | None
    mask_sha256: str | None
    file_width: int
    file_height: int
    width: int
    height: int
    contact: tuple[float, float]
    silhouette: NDArray[np.float32]
    signature: NDArray[np.uint8]
    folder: str = ""

    @property
    def name(self) -> str:
        """The path below the folder of the cut-outs."""
        return f"{self.folder}/{self.path.name}" if self.folder else self.path.name


Scanned = TypeVar("Scanned", ScannedBackground, ScannedForeground)


def scan_backgrounds(
    folder: Path, *, workers: int | None = None, progress: bool = False
) -> tuple[list[ScannedBackground], list[Finding]]:
    """Returns all usable backgrounds of a folder by name, and findings: errors if unusable, warnings if transparent.

    Decodes on `workers` threads (default: all cores); `progress` shows a bar on stderr. Raises QumadeError if the
    folder cannot be listed.
    """
    paths = list_pictures(folder)
    usable, findings = _scan(_scan_background, paths, "background", workers, progress)
    return usable, findings + _left_out(folder, paths, "background")


def scan_foregrounds(
    folder: Path, masks: Path | None = None, *, workers: int | None = None, progress: bool = False
) -> tuple[list[ScannedForeground], list[Finding]]:
    """Returns all usable cut-outs of a folder by name, and findings: errors if unusable, warnings if suspicious.

    See `scan_backgrounds` for arguments and errors; `masks` is a folder for `match_masks`. A folder without pictures of
    its own is scanned with its sub-folders, and then `masks` has sub-folders of the same names.
    """
    parts = class_folders(folder)
    if not parts:
        usable, findings = _scan_cutouts(folder, masks, "", workers, progress)
        return usable, findings + [
            Finding("warning", "foreground", printable(path), "ignored", "its pictures are not read: beside pictures")
            for path in sub_folders(folder)
        ]
    usable, findings = [], _left_out(folder, [folder / part for part in parts], "foreground")
    for part in parts:
        own_masks = masks / part if masks is not None and (masks / part).is_dir() else None
        more, found = _scan_cutouts(folder / part, own_masks, part, workers, progress)
        usable, findings = usable + more, findings + found
    return usable, findings


def _scan_cutouts(
    folder: Path, masks: Path | None, part: str, workers: int | None, progress: bool
) -> tuple[list[ScannedForeground], list[Finding]]:
    paths = list_pictures(folder)
    mask_of, by_number = match_masks(paths, masks) if masks is not None else ({}, {})

    def scan_one(path: Path) -> tuple[ScannedForeground, list[Finding]]:
        return _scan_foreground(path, mask_of.get(path), part)

    usable, findings = _scan(scan_one, paths, "foreground", workers, progress)
    findings += _left_out(folder, paths, "foreground")
    if masks is not None:
        mask_paths = list_pictures(masks)
        used = set(mask_of.values())
        findings += _numbered(masks, by_number)
        findings += [
            Finding("info", "mask", printable(path), "unmatched", "matches no cut-out by its stem or number; ignored")
            for path in mask_paths
            if path not in used
        ]
        findings += _left_out(masks, mask_paths, "mask")
    return usable, findings


def _numbered(folder: Path, by_number: dict[Path, Path]) -> list[Finding]:
    if not by_number:
        return []
    image, mask = next(iter(by_number.items()))
    count = counted(len(by_number), "mask is paired with a cut-out", "masks are paired with cut-outs")
    detail = f"{count} by number, such as {mask.name} with {image.name}"
    return [Finding("info", "mask", printable(folder), "by-number", detail)]


def _scan(
    scan_one: Callable[[Path], tuple[Scanned, list[Finding]]],
    paths: Sequence[Path],
    kind: Kind,
    workers: int | None,
    progress: bool,
) -> tuple[list[Scanned], list[Finding]]:
    """Scans files on threads, as Pillow releases the interpreter's lock; results are in the order of paths."""

    def scan_safely(path: Path) -> tuple[Scanned | None, list[Finding]]:
        try:
            require_text(path)
            return scan_one(path)
        except UnusablePicture as error:
            return None, [Finding("error", kind, printable(path), error.reason, error.detail)]

    usable: list[Scanned] = []
    findings: list[Finding] = []
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        results = pool.map(scan_safely, paths)
        for scanned, found in progress_bar(
            results, f"{kind}s", len(paths), unit="file", disable=not progress, leave=False
        ):
            findings += found
            if scanned is not None:
                usable.append(scanned)
    return usable, findings


def _scan_background(path: Path) -> tuple[ScannedBackground, list[Finding]]:
    rgb, alpha = read_rgba(path)
    findings = []
    if alpha is not None and alpha.min() < 255:
        detail = "has transparent pixels, which are drawn opaque in their stored colour"
        findings.append(Finding("warning", "background", printable(path), "transparent", detail))
    height, width, _ = rgb.shape
    return ScannedBackground(path, content_hash(path), width, height, signature(rgb)), findings


def _scan_foreground(path: Path, mask: Path | None, folder: str) -> tuple[ScannedForeground, list[Finding]]:
    cutout = read_cutout(path, mask)
    findings = [
        Finding("warning" if note.suspicious else "info", "foreground", printable(path), note.reason, note.detail)
        for note in cutout.notes
    ]
    sides = [side for side in cut_off_sides(cutout) if side != cut_side(path.name)]
    if sides:
        detail = f"is opaque along more than 20 % of the file's {' and '.join(sides)}: the object may be cut off there"
        if len(sides) == 1 and sides[0] in ("left", "right"):
            detail += f"; named {cut_name(path.stem, sides[0])}{path.suffix}, it is placed at an edge of the image"
        findings.append(Finding("warning", "foreground", printable(path), "cut-off", detail))
    alpha = cutout.rgba[..., 3]
    used_mask = mask if cutout.alpha_from == "mask" else None
    scanned = ScannedForeground(
        path=path,
        sha256=content_hash(path),
        mask=used_mask,
        mask_sha256=content_hash(used_mask) if used_mask is not None else None,
        file_width=cutout.file_width,
        file_height=cutout.file_height,
        width=alpha.shape[1],
        height=alpha.shape[0],
        contact=contact(alpha),
        silhouette=silhouette(alpha),
        signature=signature(cutout.rgba),
        folder=folder,
    )
    return scanned, findings


def _left_out(folder: Path, pictures: Sequence[Path], kind: Kind) -> list[Finding]:
    """Reports the other entries of a folder: the user may think that one of them is used."""
    detail = left_out(folder, pictures)
    return [] if detail is None else [Finding("info", kind, printable(folder), LEFT_OUT, detail)]
