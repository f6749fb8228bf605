"""Read label maps and find where objects may stand.

Real label maps are noisy, especially predicted ones: clouds become road, a wet road becomes sky. Cleaning only removes
pixels from the labelled ground; it never adds any.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from qumade.geometry import GroundPlane
from qumade.io.decode import MAX_PIXELS, read_levels
from qumade.io.files import open_regular
from qumade.io.pictures import UnusablePicture

__all__ = ["LABEL_SUFFIXES", "StandingTable", "read_ids", "read_labels", "standable", "standing_table", "target_pixels"]

Bools = NDArray[np.bool_]
Labels = NDArray[np.int32]

LABEL_SUFFIXES = (".png", ".npy")
TABLE_ENTRIES = 20_000

# Shares of the image: smaller connected patches of ground or sky are noise.
_MIN_GROUND_SHARE = 0.002
_MIN_SKY_SHARE = 0.005
# Share of the height: ground this close to the upper edge is in the sky. Predicted maps often have a frame of another
# class, so it need not touch the edge.
_TOP_SHARE = 0.03
# Share of the shorter side: narrower ground is a fringe between two classes.
_FRINGE_SHARE = 0.008
_DEPTH_LEVELS = 512


def read_labels(path: Path, size: tuple[int, int], background: Path | None = None) -> Labels:
    """Reads the ids of a label map as `read_ids` does. `size` is the required (width, height), that of the photo
    `background`. Raises UnusablePicture if the file has another size or is unreadable."""
    ids = read_ids(path)
    if ids.shape[::-1] != tuple(size):
        whose = f" of {background.absolute()}" if background else ""
        raise _unusable(path, f"{ids.shape[1]}x{ids.shape[0]}", f"be {size[0]}x{size[1]}{whose}")
    return ids


def read_ids(path: Path) -> Labels:
    """Reads the ids of a label map, int32 [H, W]: 8 or 16-bit grey PNG, palette PNG (indices), or .npy of integers.
    Raises UnusablePicture if the file is anything else or unreadable."""
    try:
        return _read_npy(path) if path.suffix.lower() == ".npy" else read_levels(path).astype(np.int32)
    except UnusablePicture as error:
        raise _unusable(path, error.got, error.allowed) from error
    except Exception as error:  # a hostile header may raise anything
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise _unusable(path, repr(reason), "be an intact PNG or .npy file") from error


def _read_npy(path: Path) -> Labels:
    open_regular(path).close()
    # Mapped, not read: a header that promises more than the file holds fails here and costs no memory. Never unpickles.
    array = np.lib.format.open_memmap(path, mode="r")
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
        raise _unusable(path, f"{array.dtype} of shape {array.shape}", "be whole numbers [H, W]")
    if not 0 < array.size <= MAX_PIXELS:
        got = f"{array.shape[1]}x{array.shape[0]}"
        raise _unusable(path, got, f"have 1 to {MAX_PIXELS // 10**6} megapixels")
    if array.min() < -(2**31) or array.max() >= 2**31:
        raise _unusable(path, f"id {array.max()}", "fit 32 bits")
    ids: Labels = array.astype(np.int32)
    return ids


def _unusable(path: Path, got: str, allowed: str) -> UnusablePicture:
    return UnusablePicture(path, "labels", got, allowed, "label map")


def target_pixels(labels: Labels, ids: Iterable[int]) -> Bools:
    """Returns where a label map [H, W] shows one of the ids, bool [H, W]."""
    return np.isin(labels, list(ids))


def standable(labels: Labels, ground_ids: Iterable[int], sky_ids: Iterable[int], horizon: GroundPlane | None) -> Bools:
    """Returns where objects may stand, bool [H, W]: the ground of a label map [H, W] after cleaning.

    Cleaning removes ground on and above the horizon of a plane, and patches mostly above it; ground with
    sky below it in its column; fringes narrower than 0.8 % of the shorter side; patches smaller than 0.2 % of the
    image. Without a horizon, it instead removes patches that are mostly in the upper half or near the upper edge. If
    nothing remains, no object can stand on this photo.
    """
    height, width = labels.shape
    rows = np.arange(height)[:, None] + 0.5
    columns: NDArray[np.float64] = np.arange(width, dtype=np.float64) + 0.5
    horizon_rows = np.full(width, height / 2) if horizon is None else horizon.horizon_row(columns)
    below = rows > horizon_rows

    ground = target_pixels(labels, ground_ids)
    ground &= ~_above_sky(target_pixels(labels, sky_ids), float(horizon_rows.mean()))
    ground = _opened(ground, max(1, round(_FRINGE_SHARE * min(height, width) / 2)))
    patches, sizes = _patches(ground)
    keep = np.bincount(patches[below], minlength=sizes.size) > sizes / 2
    if horizon is None:
        keep[patches[: round(_TOP_SHARE * height) + 1]] = False
    else:
        ground &= below
    keep[0] = False
    patches, sizes = _patches(ground & keep[patches])
    keep = sizes >= _MIN_GROUND_SHARE * labels.size
    keep[0] = False
    kept: Bools = keep[patches]
    return kept


def _patches(mask: Bools) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Returns the number of every pixel's connected patch (0 outside), and the pixel count of each number."""
    patches, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    return patches, np.bincount(patches.ravel())


def _above_sky(sky: Bools, middle: float) -> Bools:
    """Returns the pixels with sky below them. Ignores sky patches that are small or centred below the middle row."""
    patches, sizes = _patches(sky)
    rows = np.repeat(np.arange(sky.shape[0]) + 0.5, sky.shape[1])
    centres = np.bincount(patches.ravel(), rows) / np.maximum(sizes, 1)
    solid = (sizes >= _MIN_SKY_SHARE * sky.size) & (centres < middle)
    solid[0] = False
    below: Bools = np.logical_or.accumulate(solid[patches][::-1], axis=0)[::-1]
    return below


def _opened(mask: Bools, reach: int) -> Bools:
    """Opens a mask with a square of 2 reach + 1 pixels; the image's edge does not erode it."""
    side = 2 * reach + 1
    eroded = ndimage.minimum_filter(mask, side, mode="nearest")
    opened: Bools = ndimage.maximum_filter(eroded, side, mode="nearest") & mask
    return opened


@dataclass(frozen=True, eq=False)
class StandingTable:
    """Pixels of a label map where something may stand, and how to draw one in O(log n).

    `pixels` int32 [n] are flat row-major indices into the whole label map, ascending, so a band of rows is a range of
    entries. `distance` float64 [n] are cumulative weights that end at 1 and make every distance equally likely: the
    entry for a random number r in [0, 1) is `searchsorted(distance, r, side="right")`. It is None if every pixel shall
    be equally likely, or no entry has known depth.
    """

    pixels: NDArray[np.int32]
    distance: NDArray[np.float64] | None

    @cached_property
    def step(self) -> int:
        """The largest distance of entries with ground between them: 1 in a table of all pixels, more in a large one,
        which lists every n-th pixel only."""
        return 1 if self.pixels.size < TABLE_ENTRIES else int(np.median(np.diff(self.pixels))) + 1


def standing_table(
    where: Bools, inverse_depth: NDArray[np.floating] | None = None, *, logarithmic: bool = False
) -> StandingTable:
    """Builds the table of the pixels `where` [H, W], at most 20 000, from their inverse depth [H, W] if known.

    `distance` makes Z = 1/d of the drawn pixels uniform between the nearest and the farthest entry. If entries have
    density n(d) in inverse depth, dZ = dd / d^2 gives an entry the weight 1 / (d^2 n(d)). In practice, entries are
    grouped into 512 equal steps of d (of rows, on flat ground). The members of a group share its interval of Z, which
    extends halfway to the next nearer and halfway to the next farther group. Entries of unknown depth or infinitely far
    have weight 0. Narrow the range of distances first: a uniform law up to 1 km puts nearly everything at the horizon.
    `logarithmic` makes log Z uniform instead, and so the logarithm of the size of equal objects.
    """
    pixels = np.flatnonzero(where)
    if pixels.size > TABLE_ENTRIES:
        pixels = pixels[np.arange(TABLE_ENTRIES) * pixels.size // TABLE_ENTRIES]
    distance = (
        None if inverse_depth is None else _distance_law(inverse_depth.ravel()[pixels].astype(np.float64), logarithmic)
    )
    return StandingTable(pixels.astype(np.int32), distance)


def _distance_law(depth: NDArray[np.float64], logarithmic: bool) -> NDArray[np.float64] | None:
    known = np.isfinite(depth) & (depth > 0)
    if not known.any():
        return None
    near, far = depth[known].max(), depth[known].min()
    step = (near - far) / _DEPTH_LEVELS or 1.0
    level = np.minimum((depth[known] - far) / step, _DEPTH_LEVELS - 1).astype(np.int64)
    members = np.bincount(level)
    used = np.flatnonzero(members)
    metres = 1 / (np.bincount(level, depth[known])[used] / members[used])  # falling, one a group
    edges = np.concatenate([[1 / far], (metres[1:] + metres[:-1]) / 2, [1 / near]])
    edges = np.log(edges) if logarithmic else edges
    share = np.zeros(members.size)
    share[used] = -np.diff(edges) / members[used]
    weight = np.zeros(depth.size)
    weight[known] = share[level] if used.size > 1 else 1.0
    total: NDArray[np.float64] = np.cumsum(weight)
    total /= total[-1]
    return total
