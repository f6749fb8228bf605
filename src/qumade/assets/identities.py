"""Find copies, near-duplicates and mirror images, which count as one identity.

Images are compared by a 16 x 16 thumbnail. All arithmetic is on integers (in float64, where sums below 2**53 are exact
in any order), so a set is grouped in the same way on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["Identities", "group_identities", "signature"]

SIGNATURE_SIDE = 16

# Root mean square difference of two signatures, in levels. On 100 road photos and 200 car cut-outs the copies and
# mirror images differ by 0 to 2.4, the next pair (the same street, a moment later) by 17.7, different photos by 28 or
# more and different cars by 39 or more. JPEG quality 10 adds at most 4, a 10 % change of brightness 13, cropping 1 % on
# every side 7, and cropping 2 % 13.
NEAR_LEVELS = 12

# Two different photos of fog or night may differ by less. A pair must therefore also differ by less than half the
# contrast (standard deviation over the image) of either. A difference below 2 levels is codec noise.
CONTRAST_FRACTION = 0.5
NOISE_LEVELS = 2

ASPECT_TOLERANCE = 1.1  # width / height may differ by this factor, as after a small crop

_BLOCK = 1024


@dataclass(frozen=True)
class Identities:
    """For each image, as indices: the first member of its group, and the image that it mirrors or duplicates."""

    identity: list[int]
    mirror_of: list[int | None]
    duplicate_of: list[int | None]


def signature(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns area-averaged premultiplied RGBA uint8 [16, 16, 4] of uint8 [H, W, 3] or straight-alpha uint8 [H, W, 4].

    The grid is stretched over the image, so aspect ratios must be compared separately.
    """
    side = (SIGNATURE_SIDE, SIGNATURE_SIDE)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    # Premultiplied, because the colour of transparent pixels is arbitrary.
    image = image.convert("RGBa") if image.mode == "RGBA" else image
    small = np.asarray(image.resize(side, Image.Resampling.BOX))
    if small.shape[2] == 3:
        small = np.concatenate([small, np.full((*side, 1), 255, np.uint8)], axis=2)
    return small.copy()


def group_identities(signatures: Sequence[NDArray[np.uint8]], aspects: Sequence[float]) -> Identities:
    """Groups images that are nearly the same, or nearly mirror images, by their signatures and width / height.

    Groups are transitive. A pair that matches both ways (a symmetric object and its mirror image) counts as the closer
    match. `mirror_of` is the closest mirror image in the set, earlier or later; `duplicate_of` is the closest earlier
    image that is nearly the same. Raises ValueError if the lengths differ.
    """
    count = len(signatures)
    if len(aspects) != count:
        raise ValueError(f"Invalid aspects: got {len(aspects)} for {count} signatures; must be one each")
    if count == 0:
        return Identities([], [], [])
    first, second, mirrored, distance = _near_pairs(np.stack(signatures).astype(np.float64), np.asarray(aspects))

    _, group = connected_components(
        coo_array((np.ones(len(first)), (first, second)), shape=(count, count)), directed=False
    )
    _, first_member = np.unique(group, return_index=True)

    mirror_of: list[int | None] = [None] * count
    duplicate_of: list[int | None] = [None] * count
    # From far to near: the closest match is written last, and the earliest of equally close ones.
    for k in np.lexsort((-second, -first, -distance)):
        i, j = int(first[k]), int(second[k])
        if mirrored[k]:
            mirror_of[i], mirror_of[j] = j, i
        else:
            duplicate_of[j] = i
    return Identities([int(first_member[g]) for g in group], mirror_of, duplicate_of)


def _near_pairs(
    signatures: NDArray[np.float64], aspects: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_], NDArray[np.float64]]:
    """Returns pairs i < j that are nearly the same: i, j, whether mirrored, and the sum of squared differences.

    `signatures` is integer-valued float64 [N, 16, 16, 4]. The work is done in blocks, so memory grows with N, not with
    its square.
    """
    count = len(signatures)
    plain = signatures.reshape(count, -1)
    mirror = signatures[:, :, ::-1].reshape(count, -1)
    squares = np.einsum("ij,ij->i", plain, plain)
    limit = _limits(signatures)
    pairs = []
    for top in range(0, count, _BLOCK):
        rows = slice(top, top + _BLOCK)
        for left in range(top, count, _BLOCK):
            columns = slice(left, left + _BLOCK)
            sums = squares[rows, None] + squares[None, columns]
            straight = sums - 2 * (plain[rows] @ plain[columns].T)
            flipped = sums - 2 * (plain[rows] @ mirror[columns].T)
            nearest = np.minimum(straight, flipped)
            ratio = aspects[rows, None] / aspects[None, columns]
            near = (
                (nearest <= np.minimum(limit[rows, None], limit[None, columns]))
                & (ratio <= ASPECT_TOLERANCE)
                & (ratio >= 1 / ASPECT_TOLERANCE)
            )
            if left == top:
                near = np.triu(near, 1)
            i, j = np.nonzero(near)
            pairs.append((i + top, j + left, flipped[i, j] < straight[i, j], nearest[i, j]))
    first, second, mirrored, distance = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return first, second, mirrored, distance


def _limits(signatures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the largest sum of squared differences [N] at which each image still counts as nearly the same."""
    features = signatures[0].size
    cells = SIGNATURE_SIDE * SIGNATURE_SIDE  # a power of two: the division is exact
    sums = signatures.sum(axis=(1, 2))
    variation = (signatures**2).sum(axis=(1, 2, 3)) - (sums**2).sum(axis=1) / cells
    limits: NDArray[np.float64] = np.clip(
        CONTRAST_FRACTION**2 * variation, NOISE_LEVELS**2 * features, NEAR_LEVELS**2 * features
    )
    return limits
