"""A recipe as a dataset: sample i is drawn when it is asked for, and nothing lies on disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qumade.compose.sample import Sample
from qumade.data.encode import coded_depth, depth_code
from qumade.data.folder import SPLIT_NAMES, FolderDataset, positions_of
from qumade.data.layout import LabeledSample
from qumade.data.metadata import DepthCode
from qumade.errors import QumadeError
from qumade.generate.worker import Drawer
from qumade.plan.indices import limited_indices, sample_count, stem
from qumade.plan.planner import plan_samples
from qumade.plan.random_numbers import resampled_seed
from qumade.plan.scale_check import check_scales
from qumade.plan.splits import sample_split
from qumade.recipe import Recipe, load_recipe
from qumade.synth.build_catalog import build_catalog

__all__ = ["SyntheticDataset", "open_data"]

_ROOM_BYTES = 2**30  # reading in random order pays for every asset that is dropped


class SyntheticDataset:
    """The samples of a recipe: those that `generate(recipe, DATA_PATH, limit=limit)` would write, in the same order.

    A sample equals what FolderDataset reads of a lossless dataset: inverse depth is rounded to the recipe's code and
    back; image and mask are as drawn, also for JPEG recipes. With `resample_placements`, `read(i, draw)` with draw > 0
    places the same pair of background and cut-out again: a pure function of (recipe, i, draw) that leaves splits alone.
    Depth that a teacher would predict from composites (`depth: composite`) is missing. Pickles: a process that gets it
    decodes its own assets.

    Raises QumadeError where the recipe's assets cannot be used; `findings` holds what was found of them.
    """

    def __init__(
        self,
        recipe: Recipe | Path | str,
        *,
        resample_placements: bool = False,
        limit: int | None = None,
        progress: bool = False,
    ) -> None:
        self.name = "recipe" if isinstance(recipe, Recipe) else Path(recipe).stem
        self.recipe = recipe if isinstance(recipe, Recipe) else load_recipe(Path(recipe))
        self.resample_placements = resample_placements
        self.catalog, self.findings = build_catalog(self.recipe, progress=progress)
        check_scales(self.recipe, self.catalog)
        counts = len(self.catalog.backgrounds), len(self.catalog.foregrounds), self.recipe.per_pair
        self.total = sample_count(*counts)
        self._indices = None if limit is None else limited_indices(limit, *counts)
        self._code = depth_code(self.recipe, self.catalog) if self.recipe.depth == "layered" else None
        self._drawer: Drawer | None = None

    def __len__(self) -> int:
        return self.total if self._indices is None else len(self._indices)

    def __getitem__(self, position: int) -> LabeledSample:
        return self.read(position)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_drawer": None}

    @property
    def indices(self) -> NDArray[np.int64]:
        """The number of each sample in the recipe's triple loop, ascending."""
        return np.arange(self.total, dtype=np.int64) if self._indices is None else self._indices

    @property
    def stems(self) -> NDArray[np.str_]:
        """The file stem of each sample, in the order of the positions."""
        return np.array([stem(index, self.total) for index in self.indices.tolist()])

    @property
    def splits(self) -> NDArray[np.str_]:
        """The split of each sample, one of SPLIT_NAMES."""
        return np.array(SPLIT_NAMES)[self._split_codes()]

    @property
    def has_masks(self) -> bool:
        return True

    @property
    def has_depth(self) -> bool:
        return self._code is not None

    @property
    def depth_code(self) -> DepthCode | None:
        """What inverse depth means; None where there is none."""
        return self._code

    def positions(self, *names: str) -> NDArray[np.int64]:
        """The positions of the samples of these splits, ascending; see SPLIT_NAMES."""
        return positions_of(self._split_codes(), names)

    def read(self, position: int, draw: int = 0) -> LabeledSample:
        """The sample at a position; with `resample_placements` and draw > 0, another placement of the same pair."""
        return self.read_many([position], [draw])[0]

    def read_many(self, positions: Sequence[int], draws: Sequence[int] | None = None) -> list[LabeledSample]:
        """The same as `read` of each; quicker, for samples are planned together."""
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
        if self._drawer is None:
            self._drawer = Drawer(self.recipe, self.catalog, room_bytes=_ROOM_BYTES)
        drawer = self._drawer
        triples: dict[int, LabeledSample] = {}
        for draw in np.unique(wanted).tolist():
            # Splits are in the catalog: another seed moves crops, placements and policies, and nothing else.
            tables = drawer.tables._replace(seed=resampled_seed(self.recipe.seed, draw))
            of_draw = np.flatnonzero(wanted == draw)
            plans = plan_samples(tables, self.catalog, indices[of_draw])
            triples |= {at: self._triple(drawer.draw(plans[n])) for n, at in enumerate(of_draw.tolist())}
        return [triples[at] for at in range(len(where))]

    def _triple(self, sample: Sample) -> LabeledSample:
        depth = None if self._code is None else coded_depth(sample.inverse_depth, self._code)
        return LabeledSample(sample.image, sample.mask, depth, sample.ignore)

    def _split_codes(self) -> NDArray[np.int8]:
        sides = [[b.split for b in self.catalog.backgrounds], [f.split for f in self.catalog.foregrounds]]
        quadrants = [[SPLIT_NAMES.index(sample_split(b, f) or "") for f in sides[1]] for b in sides[0]]
        background, foreground = np.divmod(self.indices // self.recipe.per_pair, len(sides[1]))
        codes: NDArray[np.int8] = np.array(quadrants, np.int8)[background, foreground]
        return codes


def open_data(
    path: Path | str, *, resample_placements: bool = False, limit: int | None = None
) -> FolderDataset | SyntheticDataset:
    """The dataset in a folder, or that of a recipe file; `resample_placements` and `limit` are for recipes."""
    path = Path(path)
    if path.is_dir():
        return FolderDataset(path)
    if not path.is_file():
        raise QumadeError(f"Invalid dataset: got nothing at {path.absolute()}; must be a folder or a recipe file")
    return SyntheticDataset(path, resample_placements=resample_placements, limit=limit)
