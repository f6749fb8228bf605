"""Index arithmetic: which pair a sample belongs to, its name, which samples a limit takes, and which tell of all."""

import math

import numpy as np
from numpy.typing import NDArray

from qumade.errors import QumadeError

__all__ = ["limited_indices", "sample_count", "stem", "stratified_indices", "triple"]


def sample_count(backgrounds: int, foregrounds: int, per_pair: int) -> int:
    """Number of samples of the triple loop."""
    return backgrounds * foregrounds * per_pair


def triple(index: int, foregrounds: int, per_pair: int) -> tuple[int, int, int]:
    """(background, foreground, k) of a sample, in the order `for background: for foreground: for k`."""
    pair, k = divmod(index, per_pair)
    background, foreground = divmod(pair, foregrounds)
    return background, foreground, k


def stem(index: int, total: int) -> str:
    """File stem of a sample: numbers start at 1 and have as many digits as `total` needs, at least six."""
    return f"img{index + 1:0{max(6, len(str(total)))}d}"


def stratified_indices(total: int, count: int) -> NDArray[np.int64]:
    """Return `count` of `total` positions, ascending, one of each of as many equal stretches; all where count >= total.

    Where in its stretch is drawn, always alike: at equal steps samples of a triple loop are of the same few objects
    (every hundredth of 100 x 200 x 20 shows every fifth foreground, at its first place).
    """
    if count >= total:
        return np.arange(total, dtype=np.int64)
    ends = np.arange(count + 1, dtype=np.int64) * total // count
    share = np.random.Generator(np.random.Philox(0)).random(count)
    return ends[:-1] + (share * np.diff(ends)).astype(np.int64)


def limited_indices(limit: int | None, backgrounds: int, foregrounds: int, per_pair: int) -> NDArray[np.int64]:
    """The samples that a limit takes, ascending; all of them where there is no limit.

    Visit t takes background t mod B and foreground (t + t // lcm(B, F)) mod F, and after B x F visits the next k: all
    assets appear soon, no pair twice before every pair once, and a larger limit holds the samples of a smaller one.
    """
    total = sample_count(backgrounds, foregrounds, per_pair)
    if limit is None:
        return np.arange(total, dtype=np.int64)
    if limit < 1:
        raise QumadeError(f"Invalid limit: got {limit}; must be at least 1")
    k, visit = np.divmod(np.arange(min(limit, total), dtype=np.int64), backgrounds * foregrounds)
    background = visit % backgrounds
    foreground = (visit + visit // math.lcm(backgrounds, foregrounds)) % foregrounds
    return np.sort((background * foregrounds + foreground) * per_pair + k)
