"""Read depth maps of backgrounds: 16-bit PNG in metres, or .npy of inverse depth."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qumade.assets.stems import match_stems
from qumade.depth.codec import decode_depth
from qumade.depth.encoding import KITTI_SCALE, METRES_16_BIT, DepthKind
from qumade.errors import AssetError
from qumade.io.decode import MAX_PIXELS, read_levels
from qumade.io.files import open_regular
from qumade.io.pictures import UnusablePicture

__all__ = ["coarse_mean", "depth_facts", "depth_grows_downwards", "match_depths", "read_inverse_depth"]

_SUFFIXES = (".png", ".npy")
_LOWER_PART, _LEAST_ROWS = 0.5, 8
_STEADY, _MUCH = 0.8, 0.7  # rank correlation with the row; share of the largest inverse depth at the lower edge
_MOST_CELLS = 96
_MAX_NPY_BYTES = MAX_PIXELS * 8 + 4096


def match_depths(backgrounds: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Finds the depth map with the same stem as each background.

    Raises QumadeError if a stem has two maps or if PNG and .npy are mixed: a dataset has one kind of depth.
    """
    found = match_stems(backgrounds, folder, _SUFFIXES, "depths")
    suffixes = {path.suffix.lower(): path for path in found.values()}
    if len(suffixes) > 1:
        png, npy = suffixes[".png"], suffixes[".npy"]
        raise AssetError(f"Invalid depths: got {png.absolute()} and {npy.name}; must be all PNG or all .npy")
    return found


def read_inverse_depth(
    path: Path, size: tuple[int, int], kind: DepthKind, scale: float = KITTI_SCALE
) -> NDArray[np.float32]:
    """Reads inverse depth float32 [H, W] of a background of `size` (width, height): 0 infinitely far, NaN unknown.

    `scale` is the value of one metre in a PNG. Values of kind "metric" and "scaled" are those of the file, in 1/m for a
    PNG. Values of kind "affine" are normalised to [0, 1] over the whole map. Raises UnusablePicture for any file that
    is not such a map of that size.
    """
    try:
        inverse_depth = _read_npy(path) if path.suffix.lower() == ".npy" else _read_png(path, scale)
    except UnusablePicture as error:
        raise _unusable(path, error.got, error.allowed) from error
    except Exception as error:  # a hostile file may raise anything
        raise _unusable(path, f"{type(error).__name__} ({' '.join(str(error).split())})", "be a depth map") from None
    if inverse_depth.shape[::-1] != size:
        got = "x".join(map(str, inverse_depth.shape[::-1]))
        raise _unusable(path, f"{got} pixels", f"be {size[0]}x{size[1]} like its background")
    if np.isinf(inverse_depth).any() or (kind != "affine" and (inverse_depth < 0).any()):
        raise _unusable(path, "negative or infinite inverse depth", "be finite and at least 0, or NaN")
    if np.isnan(inverse_depth).all():
        raise _unusable(path, "no known depth", "have some")
    if kind == "affine":
        far, near = np.nanmin(inverse_depth), np.nanmax(inverse_depth)
        if far == near:
            raise _unusable(path, f"the single value {far:g}", "have a range because its depth is affine")
        inverse_depth = (inverse_depth - far) / (near - far)
    return inverse_depth


def coarse_mean(inverse_depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the mean of known inverse depth in the cells of a grid, float32 [h, w] with at most 96 a side.

    A cell that is mostly unknown is NaN. Cells are equal in size, so a plane's mean is its value at the cell's centre.
    """
    height, width = inverse_depth.shape
    cell = max(1, max(width, height) / _MOST_CELLS)
    size = max(1, round(width / cell)), max(1, round(height / cell))
    known = np.isfinite(inverse_depth)
    shares = Image.fromarray(known.astype(np.float32)).resize(size, Image.Resampling.BOX)
    sums = Image.fromarray(np.where(known, inverse_depth, np.float32(0))).resize(size, Image.Resampling.BOX)
    share = np.asarray(shares)
    # If more than half of a cell is unknown, the known part may be its far side only.
    return np.where(share >= 0.5, np.asarray(sums) / np.maximum(share, 0.5), np.float32(np.nan)).astype(np.float32)


def depth_facts(inverse_depth: NDArray[np.float32], kind: DepthKind) -> str:
    """Returns near, far and the slope of the ground of a map in words, so that people see a wrong unit."""
    known = inverse_depth[np.isfinite(inverse_depth)]
    far, near = np.percentile(known, (1, 99)).tolist()
    rows, medians = _lower_rows(inverse_depth)
    slope = float(np.polyfit(rows, medians, 1)[0]) if len(rows) > 1 else float("nan")
    if kind == "metric":
        range_text = f"near {1 / near:.1f} m" if near > 0 else "near infinitely far"
        range_text += f", far {1 / far:.1f} m" if far > 0 else ", far infinitely far"
        return f"{range_text}; from the middle down, inverse depth changes by {slope:+.3f} 1/m per image height"
    return f"inverse depth {far:.3g} to {near:.3g}; from the middle down it changes by {slope:+.3g} per image height"


def depth_grows_downwards(inverse_depth: NDArray[np.float32]) -> bool:
    """Returns whether the lower part of a map gets farther towards the lower edge, steadily and by much.

    Ground gets nearer. What gets farther is inverse depth read as depth, or the reverse.
    """
    rows, medians = _lower_rows(inverse_depth)
    if len(rows) < _LEAST_ROWS:
        return False
    order = np.argsort(np.argsort(medians, kind="stable"))
    steady = np.corrcoef(np.arange(len(rows)), order)[0, 1]  # Spearman's rank correlation
    low, high = float(medians[-max(1, len(rows) // 8) :].mean()), float(medians.max())
    return bool(steady < -_STEADY and low < _MUCH * high)


def _lower_rows(inverse_depth: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the place (share of the height) and the median of known inverse depth of rows in the lower part."""
    coarse = coarse_mean(inverse_depth)
    grid = coarse if np.isfinite(coarse).mean() > 0.5 else inverse_depth  # a sparse map has too few known cells
    top = round(_LOWER_PART * len(grid))
    lower = [row[np.isfinite(row)] for row in grid[top:]]
    places = np.array([(top + n + 0.5) / len(grid) for n, row in enumerate(lower) if len(row)])
    return places, np.array([float(np.median(row)) for row in lower if len(row)])


def _read_npy(path: Path) -> NDArray[np.float32]:
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
    if size > _MAX_NPY_BYTES:
        raise _unusable(path, f"{size} bytes", f"have at most {_MAX_NPY_BYTES}")
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind != "f":
        raise _unusable(path, "another array", "be 2-D, of floats")
    return np.array(values, np.float32) + np.float32(0)  # no -0.0


def _read_png(path: Path, scale: float) -> NDArray[np.float32]:
    codes = read_levels(path)
    if codes.dtype != np.uint16:
        raise _unusable(path, "an 8-bit PNG", f"be 16-bit grey, metres x {scale:g}")
    return decode_depth(codes, METRES_16_BIT.model_copy(update={"depth_scale": scale}))


def _unusable(path: Path, got: str, allowed: str) -> UnusablePicture:
    return UnusablePicture(path, "depth", got, allowed, "depth map")
