"""Mixes several datasets in every batch. The samples of batch k are a pure function of (seed, k)."""

import functools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qumade.data.dataset import LabeledSample, SampleDataset, known_classes, renumbering
from qumade.data.photos import PhotoFolder
from qumade.data.shards import ShardDataset
from qumade.data.stream_order import stream_order
from qumade.depth.encoding import DEPTH_KINDS, DepthKind
from qumade.errors import ConfigError
from qumade.io.storage import is_url
from qumade.plan.random_numbers import Stream

__all__ = ["Ingredient", "Key", "Mixture", "Parts", "Share", "parse_share"]

Parts = Literal["both", "mask", "depth"]

_SHARE = re.compile(r"(?P<path>.+?):(?P<share>[0-9.eE+-]+)(?::(?P<parts>mask|depth|both))?", re.DOTALL)


class Key(NamedTuple):
    """One sample of one batch: its ingredient, its position in that dataset, how often it was shown before, and its
    variant (see `Synthesizer.render`)."""

    ingredient: int
    position: int
    epoch: int
    variant: int = 0


@dataclass(frozen=True, eq=False)
class Ingredient:
    """The samples of a dataset at `positions`, which fill a `share` in (0, 1] of every batch. `parts` selects which of
    their labels are used. With `twins`, each sample is shown in two variants, one after the other."""

    dataset: SampleDataset
    positions: NDArray[np.int64]
    share: float = 1.0
    parts: Parts = "both"
    twins: bool = False

    @property
    def is_unlabelled(self) -> bool:
        """Whether the samples are photos without labels."""
        return isinstance(self.dataset, PhotoFolder)

    @property
    def has_masks(self) -> bool:
        return self.dataset.has_masks and self.parts != "depth"

    @property
    def has_depth(self) -> bool:
        return self.dataset.has_depth and self.parts != "mask"


class Mixture:
    """Datasets mixed in shares that add up to 1. Rounding never lets a count drift from its share over many batches.

    Each ingredient is shuffled independently, in a new order in each of its epochs; a SyntheticDataset with
    `resample_placements` draws new placements in each. With twins in any ingredient, all take two slots at a time, so
    that twins are in the same batch. Classes are those of the first ingredient; samples of others with the same classes
    get its numbers. Raises QumadeError for invalid shares, positions, parts or classes.
    """

    def __init__(self, ingredients: Sequence[Ingredient]) -> None:
        self.ingredients = tuple(ingredients)
        shares = [ingredient.share for ingredient in self.ingredients]
        if not all(0 < share <= 1 for share in shares) or abs(math.fsum(shares) - 1) > 1e-6:
            raise ConfigError(f"Invalid shares: got {shares}; must each be above 0 and add up to 1")
        for ingredient in self.ingredients:
            name = ingredient.dataset.name
            if not len(ingredient.positions):
                raise ConfigError(
                    f"Invalid extra_datasets: got no sample of {name}; must have at least one of the wanted splits"
                )
            if not ingredient.is_unlabelled and not ingredient.has_masks and not ingredient.has_depth:
                raise ConfigError(f"Invalid parts: got {ingredient.parts!r} for {name}, which has none; must have some")
        first = self.ingredients[0]
        self.classes = known_classes(first.dataset) if first.has_masks else ()
        self._renumbered = [_renumbered(each, first.dataset.name, self.classes) for each in self.ingredients]

        self._shard_sizes = [_shard_sizes(ingredient) for ingredient in self.ingredients]

    @property
    def has_masks(self) -> bool:
        return any(ingredient.has_masks for ingredient in self.ingredients)

    @property
    def has_depth(self) -> bool:
        return any(ingredient.has_depth for ingredient in self.ingredients)

    @property
    def depth_kind(self) -> DepthKind | None:
        """The weakest kind of depth among the ingredients; None without depth.

        Depth of unknown kind, or over each image's own range, counts as affine.
        """
        codes = [ingredient.dataset.depth_encoding for ingredient in self.ingredients if ingredient.has_depth]
        kinds = [
            "affine" if code is None or code.kind is None or code.range == "image" else code.kind for code in codes
        ]
        return max(kinds, key=DEPTH_KINDS.index) if kinds else None

    @property
    def depth_sources(self) -> tuple[str, ...]:
        """The sources of the ingredients' depth as far as they are stated, in alphabetic order."""
        codes = [ingredient.dataset.depth_encoding for ingredient in self.ingredients if ingredient.has_depth]
        return tuple(sorted({code.source for code in codes if code is not None and code.source}))

    def epoch_batches(self, batch_size: int) -> int:
        """Return the number of batches in which the first ingredient shows each of its samples at least once."""
        first = self.ingredients[0]
        slots = len(first.positions) * (2 if first.twins else 1)
        return max(1, math.ceil(slots / (batch_size * first.share) - 1e-6))

    @property
    def slots(self) -> int:
        """The number of consecutive slots of a batch that belong together: 2 with twins."""
        return 2 if any(ingredient.twins for ingredient in self.ingredients) else 1

    def keys(self, batch: int, batch_size: int, seed: int) -> list[Key]:
        """Return the samples of batch number `batch`, ingredient by ingredient. Pure."""
        keys = []
        if batch_size % self.slots:
            raise ConfigError(f"Invalid batch size: got {batch_size}; must be even for twins")
        ends = zip(self._shown(batch * batch_size), self._shown((batch + 1) * batch_size), strict=True)
        for number, (start, stop) in enumerate(ends):
            positions, variants = self.ingredients[number].positions, range(1)
            if self.ingredients[number].twins:
                start, stop, variants = start // 2, stop // 2, range(2)
            for epoch in range(start // len(positions), -(-stop // len(positions))):
                before = epoch * len(positions)
                chosen = positions[self._order(seed, number, epoch, max(start - before, 0), stop - before)]
                keys += [Key(number, at, epoch, variant) for at in chosen.tolist() for variant in variants]
        return keys

    def _order(self, seed: int, number: int, epoch: int, start: int, stop: int) -> NDArray[np.int64]:
        """Return numbers `start` to `stop` - 1 of the order of an ingredient's samples in one of its epochs."""
        sizes = self._shard_sizes[number]
        if sizes is not None:
            return stream_order(sizes, start, stop, seed=seed, ingredient=number, epoch=epoch)
        return _order(seed, number, epoch, len(self.ingredients[number].positions))[start:stop]

    def _shown(self, samples: int) -> list[int]:
        """Return how many of the first `samples` samples of all batches belong to each ingredient.

        The first ingredient takes its share of all samples, the second takes its share of the rest, and so on. Each
        count grows monotonically, the counts add up to `samples`, and each matches its share to about one sample. With
        twins all counts are even.
        """
        counts, left, share_left = [], samples // self.slots, 1.0
        for ingredient in self.ingredients[:-1]:
            others = math.floor(left * (1 - ingredient.share / share_left) + 0.5)
            counts.append(left - others)
            left, share_left = others, share_left - ingredient.share
        return [count * self.slots for count in (*counts, left)]

    def read_many(self, keys: Sequence[Key]) -> list[LabeledSample]:
        """Read the samples of these keys; labels that are not used are None."""
        samples: dict[int, LabeledSample] = {}
        for number, ingredient in enumerate(self.ingredients):
            places = [place for place, key in enumerate(keys) if key.ingredient == number]
            chosen = [keys[place] for place in places]
            variants = ([key.variant for key in chosen],) if ingredient.twins else ()
            read = ingredient.dataset.read_many(
                [key.position for key in chosen], [key.epoch for key in chosen], *variants
            )
            if ingredient.parts == "mask":
                read = [replace(sample, inverse_depth=None) for sample in read]
            elif ingredient.parts == "depth":
                read = [replace(sample, mask=None) for sample in read]
            if not self.classes:
                read = [sample if sample.class_map is None else replace(sample, class_map=None) for sample in read]
            elif (table := self._renumbered[number]) is not None:
                read = [
                    sample if sample.class_map is None else replace(sample, class_map=table[sample.class_map])
                    for sample in read
                ]
            samples |= dict(zip(places, read, strict=True))
        return [samples[place] for place in range(len(keys))]


def _shard_sizes(ingredient: Ingredient) -> NDArray[np.int64] | None:
    """Return how many of an ingredient's samples each of its shards holds; None for a dataset without shards."""
    if not isinstance(ingredient.dataset, ShardDataset):
        return None
    ends = np.searchsorted(ingredient.positions, np.cumsum(ingredient.dataset.shard_sizes))
    sizes = np.diff(ends, prepend=0)
    return sizes[sizes > 0]


def _renumbered(ingredient: Ingredient, main: str, classes: Sequence[str]) -> NDArray[np.uint8] | None:
    """Return the number among `classes` of each number of a class of an ingredient, None where all are the same.

    One class is what a mask shows, whatever it is called. Several must be the same: what one dataset calls background
    may be an object of another's class.
    """
    if not classes or not ingredient.has_masks:
        return None
    found = known_classes(ingredient.dataset)
    if sorted(found) != sorted(classes):
        raise ConfigError(
            f"Invalid extra_datasets: got {', '.join(found) or 'one class'} in {ingredient.dataset.name}; must have "
            f"the classes of {main}, {', '.join(classes)}, or give its depth alone (parts: depth)"
        )
    return renumbering(found, classes)


@functools.lru_cache(maxsize=16)
def _order(seed: int, ingredient: int, epoch: int, samples: int) -> NDArray[np.int64]:
    """Return the order of an ingredient's samples in one of its epochs: the argsort of Philox words."""
    random = np.random.Philox(key=seed + (int(Stream.EPOCH) << 64), counter=(epoch << 64) + (ingredient << 128))
    order: NDArray[np.int64] = np.argsort(random.random_raw(samples), kind="stable")
    order.flags.writeable = False
    return order


class Share(NamedTuple):
    """A value of `--with`: a dataset or recipe, its share of every batch, and which of its labels are used."""

    path: Path | str
    share: float
    parts: Parts = "both"


def parse_share(text: str) -> Share:
    """Parse "PATH:0.1", "PATH:0.1:mask" or "PATH:0.1:depth". Raises QumadeError for any other text."""
    found = _SHARE.fullmatch(text)
    try:
        share = float(found["share"]) if found else math.nan
    except ValueError:
        share = math.nan
    if found is None or not 0 < share < 1:
        raise ConfigError(
            f"Invalid share: got {text!r}; must be PATH:SHARE with a share between 0 and 1, as DATA_PATH:0.1, or "
            "PATH:SHARE:mask or PATH:SHARE:depth for one kind of its labels"
        )
    parts: Parts = found["parts"] or "both"  # type: ignore[assignment]
    path = found["path"]
    return Share(path if is_url(path) else Path(path), share, parts)
