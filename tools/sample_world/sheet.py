"""The contact sheet of the bundled samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["write_sheet"]

TILE = (144, 108)
COLUMNS = 8
PALETTE = {
    0: (128, 64, 128),
    1: (244, 35, 232),
    2: (70, 70, 70),
    3: (102, 102, 156),
    4: (190, 153, 153),
    5: (153, 153, 153),
    7: (220, 220, 0),
    8: (107, 142, 35),
    9: (152, 251, 152),
    10: (70, 130, 180),
    13: (0, 0, 142),
}
# anchors of a perceptual ramp from far (dark) to near (light)
RAMP = np.array([(0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164)], dtype=float)


def write_sheet(folder: Path, path: Path) -> None:
    """Show every background with labels and depth, every cut-out and some reference scenes, in rows of eight."""
    backgrounds = sorted((folder / "backgrounds").glob("*.jpg"))
    rows: list[list[Image.Image]] = []
    for start in range(0, len(backgrounds), COLUMNS):
        group = backgrounds[start : start + COLUMNS]
        rows.append([_fit(Image.open(p).convert("RGB")) for p in group])
        rows.append([_fit(_labels(folder / "labels" / f"{p.stem}.png")) for p in group])
        rows.append([_fit(_depth(folder / "depths" / f"{p.stem}.png")) for p in group])
    cutouts = sorted((folder / "foregrounds").glob("*.png"))
    rows += [[_on_checks(p) for p in cutouts[k : k + COLUMNS]] for k in range(0, len(cutouts), COLUMNS)]
    scenes = sorted((folder / "reference" / "images").glob("*.png"))[:: max(1, 64 // COLUMNS)][:COLUMNS]
    rows.append([_fit(Image.open(p).convert("RGB")) for p in scenes])
    rows.append([_fit(_depth(folder / "reference" / "depth" / p.name)) for p in scenes])
    sheet = Image.new("RGB", (COLUMNS * TILE[0], len(rows) * TILE[1]), "white")
    for j, row in enumerate(rows):
        for i, tile in enumerate(row):
            sheet.paste(tile, (i * TILE[0], j * TILE[1]))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def _fit(image: Image.Image) -> Image.Image:
    return image.resize(TILE, Image.Resampling.LANCZOS)


def _labels(path: Path) -> Image.Image:
    ids = np.asarray(Image.open(path))
    colours = np.zeros((256, 3), dtype=np.uint8)
    for label, colour in PALETTE.items():
        colours[label] = colour
    return Image.fromarray(colours[ids])


def _depth(path: Path) -> Image.Image:
    codes = np.asarray(Image.open(path)).astype(float)
    near = np.where(codes >= 65535, 0.0, 256.0 / np.maximum(codes, 1)) ** 0.5
    return Image.fromarray(_ramp(np.clip(near / 0.5, 0, 1)))


def _ramp(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    steps = np.linspace(0, 1, len(RAMP))
    return np.stack([np.interp(values, steps, RAMP[:, k]) for k in range(3)], axis=-1).astype(np.uint8)


def _on_checks(path: Path) -> Image.Image:
    cutout = Image.open(path)
    y, x = np.mgrid[: TILE[1], : TILE[0]]
    tile = Image.fromarray(np.where(((x // 10 + y // 10) % 2)[..., None], 225, 250).repeat(3, axis=2).astype(np.uint8))
    scale = min((TILE[0] - 8) / cutout.width, (TILE[1] - 8) / cutout.height)
    small = cutout.resize((round(cutout.width * scale), round(cutout.height * scale)), Image.Resampling.LANCZOS)
    tile.paste(small, ((TILE[0] - small.width) // 2, (TILE[1] - small.height) // 2), small)
    return tile
