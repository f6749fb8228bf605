"""Index arithmetic: the file stem of a sample, the samples a limit selects, and stratified subsets."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from qumade.errors import ConfigError
from qumade.plan.splits import SPLITS

__all__ = ["limited_counts", "limited_indices", "sample_count", "stem", "stratified_indices", "visited"]


def sample_count(backgrounds: int, foregrounds: int, per_pair: int) -> int:
    """Return the number of samples in the triple loop `for background: for foreground: for k in range(per_pair)`."""
    return backgrounds * foregrounds * per_pair


def stem(index: int, total: int) -> str:
    """Return the file stem of a sample. Numbers start at 1 and have as many digits as `total` needs, at least six."""
    return f"img{index + 1:0{max(6, len(str(total)))}d}"


def stratified_indices(total: int, count: int) -> NDArray[np.int64]:
    """Return `count` of `total` positions, ascending, one from each of `count` equal strata; all if count >= total.

    The position within a stratum is random but always the same. Equal steps would pick the same few objects: every
    hundredth sample of 100 x 200 x 20 shows only every fifth foreground, and only its first placement.
    """
    if count >= total:
        return np.arange(total, dtype=np.int64)
    ends = np.arange(count + 1, dtype=np.int64) * total // max(count, 1)
    share = np.random.Generator(np.random.Philox(0)).random(count)
    return ends[:-1] + (share * np.diff(ends)).astype(np.int64)


def limited_indices(
    limit: int | None,
    backgrounds: Sequence[str | None],
    foregrounds: Sequence[str | None],
    per_pair: int,
    shares: tuple[float, float, float],
) -> NDArray[np.int64]:
    """Return the indices of the samples that a limit selects, ascending; all of them without a limit.

    `backgrounds` and `foregrounds` are the splits of the assets, as `assign_splits` returns them. All samples have a
    fixed order, of which a limit takes the first ones. So limits are nested: a larger limit contains the samples of a
    smaller one. In this order train, val and test alternate in proportion to `shares`. A split that is used up leaves
    its turns to the others. Samples whose two assets are of different splits come last. Raises QumadeError for a limit
    below 1.
    """
    total = sample_count(len(backgrounds), len(foregrounds), per_pair)
    if limit is None:
        return np.arange(total, dtype=np.int64)
    if limit < 1:
        raise ConfigError(f"Invalid limit: got {limit}; must be at least 1")
    limit = min(limit, total)
    parts = []
    for name, count in limited_counts(limit, backgrounds, foregrounds, per_pair, shares).items():
        sides = [np.flatnonzero([split == name for split in side]) for side in (backgrounds, foregrounds)]
        background, foreground, k = _visits(count, len(sides[0]), len(sides[1]), per_pair)
        parts.append((sides[0][background] * len(foregrounds) + sides[1][foreground]) * per_pair + k)
    chosen = np.concatenate([np.zeros(0, np.int64), *parts])
    if len(chosen) < limit:
        chosen = np.concatenate([chosen, _of_two_splits(limit - len(chosen), backgrounds, foregrounds, per_pair)])
    return np.sort(chosen)


def limited_counts(
    limit: int,
    backgrounds: Sequence[str | None],
    foregrounds: Sequence[str | None],
    per_pair: int,
    shares: tuple[float, float, float],
) -> dict[str, int]:
    """Return how many samples `limited_indices` takes of each of train, val and test that has some; the rest of the
    limit are samples of two splits. Lists nothing."""
    there, share_of = {}, dict(zip(SPLITS, shares, strict=True))
    for name, share in share_of.items():
        samples = sample_count(backgrounds.count(name), foregrounds.count(name), per_pair)
        if share > 0 and samples:
            there[name] = range(min(limit, samples))

    def turn(name: str, number: int) -> float:
        return (number + 0.5) / share_of[name]

    def before(name: str, number: int) -> int:
        """Return how many samples take their turn before this one of a split; of equal turns, the earlier split's."""
        at, found = turn(name, number), number
        for other, numbers in there.items():
            if other != name:
                search = bisect_right if SPLITS.index(other) < SPLITS.index(name) else bisect_left
                found += search(numbers, at, key=partial(turn, other))
        return found

    return {name: bisect_left(numbers, limit, key=partial(before, name)) for name, numbers in there.items()}


def _of_two_splits(
    count: int, backgrounds: Sequence[str | None], foregrounds: Sequence[str | None], per_pair: int
) -> NDArray[np.int64]:
    """Return the first `count` samples whose assets are of different splits, or of none."""
    pairs = len(backgrounds) * len(foregrounds)
    background, foreground, _ = _visits(pairs, len(backgrounds), len(foregrounds), 1)
    codes = [np.array([SPLITS.index(split) if split else -1 for split in side]) for side in (backgrounds, foregrounds)]
    first, second = codes[0][background], codes[1][foreground]
    rest = (background * len(foregrounds) + foreground)[(first != second) | (first < 0)]
    k, at = np.divmod(np.arange(count), len(rest))
    chosen: NDArray[np.int64] = rest[at] * per_pair + k
    return chosen


def _visits(
    count: int, backgrounds: int, foregrounds: int, per_pair: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return background, foreground and placement of the first `count` samples of so many assets.

    After B x F visits, k increases by one. No pair appears twice before every pair has appeared once.
    """
    total = sample_count(backgrounds, foregrounds, per_pair)
    k, visit = np.divmod(np.arange(min(count, total), dtype=np.int64), backgrounds * foregrounds)
    return *visited(visit, backgrounds, foregrounds), k


def visited(
    visits: NDArray[np.int64], backgrounds: int, foregrounds: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the background and the foreground of these visits, int64 of any shape: visit t takes background t mod B
    and foreground (t + t // lcm(B, F)) mod F, so all assets appear early."""
    return visits % backgrounds, (visits + visits // math.lcm(backgrounds, foregrounds)) % foregrounds
