"""Recipes as datasets: a sample is drawn when it is read, and nothing is written to disk."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qumade.compose.sample import Sample
from qumade.data.class_maps import class_map_of
from qumade.data.dataset import SPLIT_NAMES, LabeledSample, positions_of
from qumade.depth.codec import quantized_depth
from qumade.depth.encoding import DepthEncoding
from qumade.plan.planner import Plan
from qumade.plan.splits import sample_split
from qumade.recipe import Recipe
from qumade.synth.synthesizer import Synthesizer

__all__ = ["SyntheticDataset"]

_CACHE_BYTES = 2**30  # in random order, every asset that is evicted has to be decoded again


class SyntheticDataset:
    """The samples of a recipe: those that `generate(recipe, DATA_PATH, limit=limit)` would write, in the same order.

    A sample equals that of a lossless dataset read by FolderDataset: inverse depth is rounded to the recipe's code;
    image and mask are as drawn, also for JPEG recipes. With `resample_placements`, `read(i, draw)` with draw > 0 places
    the same pair of background and cut-out again: a pure function of (recipe, i, draw) that does not change splits.
    Another variant of a sample has the same labels and other effects.
    Depth that a teacher would predict from composites (`depth: composite`) is missing. The dataset can be pickled; the
    process that receives it decodes its own assets.

    Raises QumadeError if the recipe's assets cannot be used;
    `synthesizer.findings` lists problems of single assets.
    """

    def __init__(
        self,
        recipe: Synthesizer | Recipe | Path | str,
        *,
        resample_placements: bool = False,
        limit: int | None = None,
        progress: bool = False,
    ) -> None:
        self.name = Path(recipe).stem if isinstance(recipe, Path | str) else "recipe"
        if not isinstance(recipe, Synthesizer):
            recipe = Synthesizer.from_recipe(recipe, progress=progress, cache_bytes=_CACHE_BYTES)
        self.synthesizer = recipe
        self.resample_placements = resample_placements
        self._indices = None if limit is None else recipe.indices(limit)

    def __len__(self) -> int:
        return len(self.synthesizer) if self._indices is None else len(self._indices)

    def __getitem__(self, position: int) -> LabeledSample:
        return self.read(position)

    @property
    def recipe(self) -> Recipe:
        return self.synthesizer.recipe

    @property
    def indices(self) -> NDArray[np.int64]:
        """The number of each sample in the recipe, ascending."""
        return self.synthesizer.indices() if self._indices is None else self._indices

    @property
    def stems(self) -> NDArray[np.str_]:
        """The file stem of each sample, in the order of the positions."""
        return np.array([self.synthesizer.stem(index) for index in self.indices.tolist()])

    @property
    def splits(self) -> NDArray[np.str_]:
        """The split of each sample, one of SPLIT_NAMES."""
        return np.array(SPLIT_NAMES)[self._split_codes()]

    @property
    def has_masks(self) -> bool:
        return True

    @property
    def has_depth(self) -> bool:
        return self.depth_encoding is not None

    @property
    def has_instances(self) -> bool:
        return self.synthesizer.writes_instances

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the objects; none if the recipe gives no classes."""
        return self.synthesizer.catalog.classes

    @property
    def depth_encoding(self) -> DepthEncoding | None:
        """Kind and code of inverse depth; None without depth."""
        return self.synthesizer.depth_encoding

    def positions(self, *names: str) -> NDArray[np.int64]:
        """Return the positions of the samples in these splits, ascending; see SPLIT_NAMES."""
        return positions_of(self._split_codes(), names)

    def read(self, position: int, draw: int = 0) -> LabeledSample:
        """Return the sample at a position; with `resample_placements` and draw > 0, another placement of the pair."""
        return self.read_many([position], [draw])[0]

    def read_many(
        self, positions: Sequence[int], draws: Sequence[int] | None = None, variants: Sequence[int] | None = None
    ) -> list[LabeledSample]:
        """Return the samples at these positions. Faster than `read` of each, since samples are planned together."""
        for position in positions:
            if not -len(self) <= position < len(self):
                raise IndexError(f"no sample {position} in {self.name}, which has {len(self)}")
        where = np.asarray(positions, np.int64) % len(self)
        indices = where if self._indices is None else self._indices[where]
        wanted = (
            np.zeros(len(where), np.int64)
            if draws is None or not self.resample_placements
            else np.asarray(draws, np.int64)
        )
        chosen = [0] * len(where) if variants is None else variants
        samples: dict[int, LabeledSample] = {}
        for draw in np.unique(wanted).tolist():
            of_draw = np.flatnonzero(wanted == draw)
            plans = self.synthesizer.plan(indices[of_draw], draw=draw)
            for n, at in enumerate(of_draw.tolist()):
                samples[at] = self._labeled(plans[n], self.synthesizer.render(plans[n], chosen[at]))
        return [samples[at] for at in range(len(where))]

    def _labeled(self, plan: Plan, sample: Sample) -> LabeledSample:
        encoding = self.depth_encoding
        depth = None if encoding is None else quantized_depth(sample.inverse_depth, encoding)
        class_map = None
        if len(self.classes) > 1:
            class_map = class_map_of(sample.owner, self._class_numbers[plan.objects["foreground"]])
        return LabeledSample(sample.image, sample.mask, depth, sample.ignore, class_map)

    @cached_property
    def _class_numbers(self) -> NDArray[np.int32]:
        return np.array([foreground.class_number for foreground in self.synthesizer.catalog.foregrounds], np.int32)

    def _split_codes(self) -> NDArray[np.int8]:
        sides = [
            [b.split for b in self.synthesizer.catalog.backgrounds],
            [f.split for f in self.synthesizer.catalog.foregrounds],
        ]
        quadrants = [[SPLIT_NAMES.index(sample_split(b, f) or "") for f in sides[1]] for b in sides[0]]
        background, foreground = np.divmod(self.indices // self.recipe.per_pair, len(sides[1]))
        codes: NDArray[np.int8] = np.array(quadrants, np.int8)[background, foreground]
        return codes
