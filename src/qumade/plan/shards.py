"""Which samples a shard holds: a pure function of the splits of the assets, the limit and the shard's number.

Nothing here lists all samples: memory grows with the number of assets and with that of the samples of one shard.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from qumade.errors import ConfigError
from qumade.plan.indices import limited_counts, sample_count, visited
from qumade.plan.random_numbers import Stream
from qumade.plan.splits import SAMPLE_SPLITS, sample_split

__all__ = ["ListedQuadrants", "Quadrants", "Shard", "ShardPlan", "ShardSource", "shard_name", "split_slug"]

_GROUP = 8
"""Shards that share a run of consecutive samples. More of them mix more backgrounds in each shard, but each shard then
reads more photos to draw."""


class Shard(NamedTuple):
    """Shard `number` of the samples in a split; `split` is one of SAMPLE_SPLITS."""

    split: str | None
    number: int

    @property
    def name(self) -> str:
        """The stem of the shard's files, such as seen-background-000012."""
        return shard_name(self.split, self.number)


def shard_name(split: str | None, number: int) -> str:
    """Return the stem of a shard's files."""
    return f"{split_slug(split)}-{number:06d}"


def split_slug(split: str | None) -> str:
    """Return a split as a part of file names; "all" where the samples have none."""
    return "all" if not split else split.replace(" ", "-")


class ShardSource(Protocol):
    """Samples by split. Ranks count the samples of a split in the order of their indices."""

    def counts(self) -> dict[str | None, int]:
        """Return the number of samples of each split that has any, in the order of SAMPLE_SPLITS."""

    def indices(self, split: str | None, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the indices of the samples of a split with these ranks, int64 [N], ascending as the ranks do."""


class ListedQuadrants:
    """Samples by split, given the index and the split of each."""

    def __init__(self, indices: NDArray[np.int64], splits: Sequence[str | None]) -> None:
        codes = np.array([SAMPLE_SPLITS.index(split) for split in splits], np.int8)
        self._indices = {split: np.sort(indices[codes == code]) for code, split in enumerate(SAMPLE_SPLITS)}

    def counts(self) -> dict[str | None, int]:
        return {split: len(found) for split, found in self._indices.items() if len(found)}

    def indices(self, split: str | None, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._indices[split][ranks]


class Quadrants:
    """Samples by split, computed from the splits of the backgrounds and the foregrounds.

    `limit` selects the same samples as `limited_indices`, whose other arguments these are.
    """

    def __init__(
        self,
        backgrounds: Sequence[str | None],
        foregrounds: Sequence[str | None],
        per_pair: int,
        shares: tuple[float, float, float],
        limit: int | None = None,
    ) -> None:
        if limit is not None and limit < 1:
            raise ConfigError(f"Invalid limit: got {limit}; must be at least 1")
        self._backgrounds, self._per_pair = list(backgrounds), per_pair
        self._foregrounds = len(foregrounds)
        self._codes = {
            side: np.array([SAMPLE_SPLITS.index(sample_split(side, f)) for f in foregrounds], np.int8)
            for side in set(backgrounds)
        }
        total = sample_count(len(backgrounds), len(foregrounds), per_pair)
        if limit is None or limit >= total:
            self._grids = [_Grid(np.arange(len(backgrounds)), np.arange(len(foregrounds)), per_pair, 0)]
            return
        own = limited_counts(limit, backgrounds, foregrounds, per_pair, shares)
        self._grids = [self._others(limit - sum(own.values()), foregrounds)]
        for name, count in own.items():
            sides = [np.flatnonzero([split == name for split in side]) for side in (backgrounds, foregrounds)]
            layers, visits = divmod(count, len(sides[0]) * len(sides[1]))
            self._grids.append(_Grid(sides[0], sides[1], layers, visits))

    def counts(self) -> dict[str | None, int]:
        counts = self._ends[:, -1].tolist()
        return {split: count for split, count in zip(SAMPLE_SPLITS, counts, strict=True) if count}

    def indices(self, split: str | None, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        code = SAMPLE_SPLITS.index(split)
        ends = self._ends[code]
        found = [np.zeros(0, np.int64)]
        backgrounds, firsts = np.unique(np.searchsorted(ends, ranks, "right"), return_index=True)
        parts = np.split(ranks, firsts[1:])
        for background, part in zip(backgrounds.tolist(), parts if len(ranks) else [], strict=True):
            foregrounds = np.flatnonzero(self._codes[self._backgrounds[background]] == code)
            counts = self._counts_on(background)[foregrounds]
            ends_there = np.cumsum(counts)
            rank = part - (ends[background] - ends_there[-1])  # among the samples of this split on this background
            at = np.searchsorted(ends_there, rank, "right")
            pair = background * self._foregrounds + foregrounds[at]
            found.append(pair * self._per_pair + rank - (ends_there - counts)[at])
        return np.concatenate(found)

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        """The number of samples of each split on all backgrounds up to each one, int64 [splits, backgrounds]."""
        counts = np.zeros((len(SAMPLE_SPLITS), len(self._backgrounds)), np.int64)
        for background, side in enumerate(self._backgrounds):
            of_each = np.bincount(self._codes[side], self._counts_on(background), len(SAMPLE_SPLITS))
            counts[:, background] = of_each.astype(np.int64)
        return np.cumsum(counts, axis=1)

    def _counts_on(self, background: int) -> NDArray[np.int64]:
        """The number of samples of each foreground on a background, int64 [foregrounds]."""
        counts = np.zeros(self._foregrounds, np.int64)
        for grid in self._grids:  # each overwrites those before it
            grid.fill(background, counts)
        return counts

    def _others(self, count: int, foregrounds: Sequence[str | None]) -> "_Grid":
        """The first `count` samples of two splits; pairs of one split are counted too, and overwritten."""
        sides = np.arange(len(self._backgrounds)), np.arange(len(foregrounds))
        if not count:
            return _Grid(*sides, 0, 0)
        other = np.array([[b != f or f is None for f in foregrounds] for b in self._backgrounds])
        layers, rest = divmod(count, int(other.sum()))
        visits = np.arange(other.size if rest else 0)
        seen = np.cumsum(other[visited(visits, *other.shape)])
        return _Grid(*sides, layers, int(np.searchsorted(seen, rest)) + 1 if rest else 0)


class _Grid(NamedTuple):
    """Pairs of these backgrounds and foregrounds: `layers` samples of each, and one more of the first `visits` pairs in
    the order of `limited_indices`."""

    backgrounds: NDArray[np.int64]
    foregrounds: NDArray[np.int64]
    layers: int
    visits: int

    def fill(self, background: int, counts: NDArray[np.int64]) -> None:
        """Set the counts of these foregrounds on a background, int64 [all foregrounds]."""
        place = int(np.searchsorted(self.backgrounds, background))
        if place == len(self.backgrounds) or self.backgrounds[place] != background:
            return
        counts[self.foregrounds] = self.layers
        visits = np.arange(place, self.visits, len(self.backgrounds))
        counts[self.foregrounds[visited(visits, len(self.backgrounds), len(self.foregrounds))[1]]] += 1


class ShardPlan:
    """The shards of a dataset with `samples` samples each, one set for each split; the last one may hold fewer.

    A run of consecutive samples is dealt to a group of shards in turn, and each shard stores its samples in an order of
    its own: who reads shards from their start to their end sees mixed backgrounds and cut-outs.
    """

    def __init__(self, source: ShardSource, samples: int, seed: int) -> None:
        if samples < 1:
            raise ConfigError(f"Invalid samples of a shard: got {samples}; must be at least 1")
        self.source, self.samples, self.seed = source, samples, seed
        self.counts = source.counts()

    def __len__(self) -> int:
        return sum(-(-count // self.samples) for count in self.counts.values())

    def __iter__(self) -> Iterator[Shard]:
        for split, count in self.counts.items():
            yield from (Shard(split, number) for number in range(-(-count // self.samples)))

    def names(self) -> list[str]:
        """Return the stems of the files of all shards."""
        return [shard.name for shard in self]

    def indices(self, shard: Shard) -> NDArray[np.int64]:
        """Return the indices of a shard's samples in the order in which it stores them, int64 [N]."""
        count = self.counts[shard.split]
        group, place = divmod(shard.number, _GROUP)
        start = group * _GROUP * self.samples
        stop = min(start + _GROUP * self.samples, count)
        shards = -(-(stop - start) // self.samples)
        dealt = self.source.indices(shard.split, np.arange(start + place, stop, shards))
        random = np.random.Philox(
            key=self.seed + (int(Stream.SHARD) << 64),
            counter=(shard.number << 64) + (SAMPLE_SPLITS.index(shard.split) << 128),
        )
        return dealt[np.argsort(random.random_raw(len(dealt)), kind="stable")]
