"""Index arithmetic: the file stem of a sample, the samples a limit selects, and stratified subsets."""

import math

import numpy as np
from numpy.typing import NDArray

from qumade.errors import ConfigError

__all__ = ["limited_indices", "sample_count", "stem", "stratified_indices"]


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


def limited_indices(limit: int | None, backgrounds: int, foregrounds: int, per_pair: int) -> NDArray[np.int64]:
    """Return the indices of the samples that a limit selects, ascending; all of them without a limit.

    Visit t takes background t mod B and foreground (t + t // lcm(B, F)) mod F. After B x F visits, k increases by one.
    All assets therefore appear early, no pair appears twice before every pair has appeared once, and limits are nested:
    a larger limit contains the samples of a smaller one. Raises QumadeError for a limit below 1.
    """
    total = sample_count(backgrounds, foregrounds, per_pair)
    if limit is None:
        return np.arange(total, dtype=np.int64)
    if limit < 1:
        raise ConfigError(f"Invalid limit: got {limit}; must be at least 1")
    k, visit = np.divmod(np.arange(min(limit, total), dtype=np.int64), backgrounds * foregrounds)
    background = visit % backgrounds
    foreground = (visit + visit // math.lcm(backgrounds, foregrounds)) % foregrounds
    return np.sort((background * foregrounds + foreground) * per_pair + k)
