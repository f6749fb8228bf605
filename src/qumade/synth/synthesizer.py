"""The central object: recipe -> plan(i) -> sample(i).

A Synthesizer owns everything the two steps need: the recipe, the catalog of its assets, the planner's tables, the
decoded assets and the depth encoding. Engine, preview, audit and the on-the-fly dataset use nothing else.
"""

import operator
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from qumade.assets.catalog import Catalog
from qumade.assets.scan import Finding
from qumade.compose.sample import Sample, draw_sample
from qumade.depth.encoding import DepthEncoding
from qumade.plan.effects import EffectTables, effect_tables, plan_effects
from qumade.plan.indices import limited_indices, sample_count, stem
from qumade.plan.planner import Plan, Plans, plan_samples
from qumade.plan.random_numbers import resampled_seed
from qumade.plan.scale_check import check_scales
from qumade.plan.tables import PlanTables, plan_tables
from qumade.recipe import Recipe, load_recipe
from qumade.synth.asset_cache import AssetCache
from qumade.synth.build_catalog import build_catalog
from qumade.synth.choose_encoding import layered_encoding
from qumade.synth.memory import AssetMemory

__all__ = ["Synthesizer"]


class Synthesizer:
    """The samples of a recipe: `synthesizer[i]` draws sample i, and `len(synthesizer)` counts them.

    Both steps are pure: the same recipe and assets give the same plans and samples, in any order, process or machine.
    A pickled Synthesizer is small because it contains no decoded assets; the receiving process decodes its own.
    `findings` lists the findings about the asset folders. `depth_encoding` is the encoding of depth files, None if a
    teacher predicts depth from the composites afterwards (`depth: composite`).
    """

    def __init__(
        self, recipe: Recipe, catalog: Catalog, findings: Sequence[Finding] = (), *, cache_bytes: int | None = None
    ) -> None:
        """Takes an existing catalog; `from_recipe` builds one. `cache_bytes` limits the cached assets (see AssetCache).

        Raises QumadeError for scale ranges that never make an object visible enough.
        """
        check_scales(recipe, catalog)
        self.recipe = recipe
        self.catalog = catalog
        self.findings = tuple(findings)
        self.depth_encoding: DepthEncoding | None = (
            layered_encoding(recipe, catalog) if recipe.depth == "layered" else None
        )
        self._cache_bytes = cache_bytes
        self._memory: AssetMemory | None = None

    @classmethod
    def from_recipe(
        cls,
        recipe: Recipe | Path | str,
        *,
        strict: bool = False,
        progress: bool = False,
        cache_bytes: int | None = None,
        like: "Synthesizer | None" = None,
    ) -> Self:
        """Reads every asset of a recipe, or of a recipe file, once.

        What was read for the recipe `like` and holds for this one too is not read again, so that a changed recipe can
        be drawn at once. The samples are the same.
        Unusable assets are left out and listed in `findings`. Raises QumadeError if no background or no cut-out is
        usable, and with `strict` for the first unusable asset.
        """
        recipe = recipe if isinstance(recipe, Recipe) else load_recipe(Path(recipe))
        memory = AssetMemory() if like is None or like._memory is None else like._memory
        catalog, findings = build_catalog(recipe, strict=strict, progress=progress, memory=memory)
        made = cls(recipe, catalog, findings, cache_bytes=cache_bytes)
        made._memory = memory
        if like is not None:
            made._assets = AssetCache(recipe, catalog, like=like._assets)
        return made

    @property
    def writes_instances(self) -> bool:
        """Whether datasets have instances/: if the recipe asks for it, and always with several classes."""
        return self.recipe.instances or len(self.catalog.classes) > 1

    def __len__(self) -> int:
        counts = len(self.catalog.backgrounds), len(self.catalog.foregrounds)
        return sample_count(*counts, self.recipe.per_pair)

    def __getitem__(self, index: int) -> Sample:
        """Draws sample `index`; negative indices count from the end. Raises IndexError if out of range."""
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"no sample {index}: the recipe has {len(self)}")
        return self.render(self.plan([index % len(self)])[0])

    def plan(self, indices: Sequence[int] | NDArray[np.integer], *, draw: int = 0) -> Plans:
        """Plans the samples with these indices.

        With `draw` > 0 the same pairs of background and cut-out get other crops and placements; splits stay the same.
        Raises QumadeError naming a background on which nothing can stand, and IndexError for an index out of range:
        compiled code does not check it.
        """
        given = np.asarray(indices)
        if given.size and given.dtype.kind not in "iu":
            raise TypeError(f"indices must be integers, got {given.dtype}")
        wanted: NDArray[np.int64] = given.astype(np.int64)
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < len(self)):
            raise IndexError(f"no sample {wanted.min()} or {wanted.max()}: the recipe has {len(self)}")
        tables = self._tables
        if draw:
            tables = tables._replace(seed=resampled_seed(self.recipe.seed, draw))
        return plan_samples(tables, self.catalog, wanted)

    def render(self, plan: Plan, variant: int = 0) -> Sample:
        """Draws a planned sample: image, mask, inverse depth and visibility.

        Variants of a plan are twins: equal labels, and other effects. Without effects they are all equal.
        """
        effects = None if self._effects is None else plan_effects(self._effects, plan, variant)
        return draw_sample(
            plan,
            self.recipe.size,
            self._assets.background,
            self._assets.cutout,
            binary_mask=self.recipe.mask == "binary",
            present_in_mask=self.recipe.present == "mask",
            effects=effects,
            other=self._assets.distractor,
        )

    @property
    def assets(self) -> AssetCache:
        """The decoded assets of this process."""
        return self._assets

    def indices(self, limit: int | None = None) -> NDArray[np.int64]:
        """Returns the indices of the samples that a limit selects, int64 [N], ascending; all without a limit."""
        sides = [[asset.split for asset in side] for side in (self.catalog.backgrounds, self.catalog.foregrounds)]
        return limited_indices(limit, sides[0], sides[1], self.recipe.per_pair, self.recipe.split)

    def stem(self, index: int) -> str:
        """Returns the file stem of a sample, such as img000001."""
        return stem(index, len(self))

    @cached_property
    def _tables(self) -> PlanTables:
        return plan_tables(self.recipe, self.catalog)

    @cached_property
    def _effects(self) -> EffectTables | None:
        return effect_tables(self.recipe, self.catalog) if self.recipe.effects.on else None

    @cached_property
    def _assets(self) -> AssetCache:
        return AssetCache(self.recipe, self.catalog, room_bytes=self._cache_bytes)

    def __getstate__(self) -> dict[str, Any]:
        left_out = ("_tables", "_effects", "_assets", "_memory")
        return {name: value for name, value in self.__dict__.items() if name not in left_out} | {"_memory": None}
