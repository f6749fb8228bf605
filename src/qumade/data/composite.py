"""A recipe as a dataset: sample i is drawn when it is asked for, and nothing lies on disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qumade.assets.build import build_catalog
from qumade.assets.catalog import Catalog
from qumade.assets.scan import Finding
from qumade.compose.sample import Sample
from qumade.data.description import DepthCode
from qumade.data.folder import SPLIT_NAMES, FolderDataset, positions_of
from qumade.data.layout import Triple
from qumade.generate.drawing import Drawer
from qumade.generate.encode import coded_depth
from qumade.plan.feasible import check_scales
from qumade.plan.indices import limited_indices, stem
from qumade.plan.planner import plan_samples
from qumade.plan.random_numbers import fresh_seed
from qumade.plan.splits import sample_split
from qumade.recipe import Recipe, load_recipe

__all__ = ["CompositeDataset", "open_data"]


class CompositeDataset:
    """The samples of a recipe: those that `generate(recipe, DATA_PATH, limit=limit)` would write, in the same order.

    A sample equals what FolderDataset reads of a lossless dataset: inverse depth is rounded to the recipe's code and
    back; image and mask are as drawn, also for JPEG recipes. With `fresh`, `read(i, draw)` with draw > 0 places the
    same pair of background and cut-out anew: a pure function of (recipe, i, draw) that leaves splits alone. Depth that
    a teacher would predict from composites (`depth: composite`) is not there. Pickles: a process that gets it decodes
    its own assets.

    Raises QumadeError where the recipe's assets cannot be used; `findings` holds what was found of them.
    """

    def __init__(
        self, recipe: Recipe | Path | str, *, fresh: bool = False, limit: int | None = None, progress: bool = False
    ) -> None:
        self.name = "recipe" if isinstance(recipe, Recipe) else Path(recipe).stem
        self.recipe = recipe if isinstance(recipe, Recipe) else load_recipe(Path(recipe))
        self.fresh = fresh
        self.catalog: Catalog
        self.findings: list[Finding]
        self.catalog, self.findings = build_catalog(self.recipe, progress=progress)
        raise NotImplementedError

    def __len__(self) -> int: ...

    def __getitem__(self, position: int) -> Triple: ...

    @property
    def stems(self) -> NDArray[np.str_]:
        """The file stem of each sample, in the order of the positions."""

    @property
    def splits(self) -> NDArray[np.str_]:
        """The split of each sample, one of SPLIT_NAMES."""

    @property
    def has_masks(self) -> bool:
        return True

    @property
    def has_depth(self) -> bool: ...

    @property
    def depth_code(self) -> DepthCode | None:
        """What inverse depth means; None where there is none."""

    def positions(self, *names: str) -> NDArray[np.int64]:
        """The positions of the samples of these splits, ascending; see SPLIT_NAMES."""

    def read(self, position: int, draw: int = 0) -> Triple:
        """The sample at a position; of a `fresh` dataset with draw > 0, another placement of the same pair."""

    def read_many(self, positions: Sequence[int], draws: Sequence[int] | None = None) -> list[Triple]:
        """The same as `read` of each; quicker, for samples are planned together."""


def open_data(path: Path | str, *, fresh: bool = False, limit: int | None = None) -> FolderDataset | CompositeDataset:
    """The dataset in a folder, or that of a recipe file."""
