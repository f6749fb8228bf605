"""The work of one worker: plans, draws, encodes and writes the samples that it is given."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qumade.assets.catalog import Catalog
from qumade.compose.sample import Sample, draw_sample
from qumade.data.encode import Encoded, depth_code, encode_sample
from qumade.data.metadata import DepthCode
from qumade.generate.journal import Results
from qumade.generate.writers import Writer
from qumade.plan.indices import sample_count, stem
from qumade.plan.planner import Plan, plan_samples
from qumade.plan.tables import plan_tables
from qumade.recipe import Recipe
from qumade.synth.asset_cache import AssetStore

__all__ = ["Drawer", "Job", "Stopped"]


class Stopped(Exception):
    """The work was asked to stop."""


@dataclass(frozen=True)
class Job:
    """Everything a worker needs to know, on any machine that sees the assets. Pickles."""

    recipe: Recipe
    catalog: Catalog
    root: Path
    suffixes: dict[str, str]


class Drawer:
    """Draws samples of one recipe, keeping decoded assets between them, as many as AssetStore has room for."""

    def __init__(self, recipe: Recipe, catalog: Catalog, *, room_bytes: int | None = None) -> None:
        self.recipe = recipe
        self.catalog = catalog
        self.tables = plan_tables(recipe, catalog)
        self.total = sample_count(len(catalog.backgrounds), len(catalog.foregrounds), recipe.per_pair)
        # Composite depth is predicted from what is drawn, afterwards.
        self.code: DepthCode | None = depth_code(recipe, catalog) if recipe.depth == "layered" else None
        self._store = AssetStore(recipe, catalog, room_bytes=room_bytes)

    def draw(self, plan: Plan) -> Sample:
        """The sample of a plan."""
        return draw_sample(
            plan,
            self.recipe.size,
            self._store.background,
            self._store.cutout,
            binary_mask=self.recipe.mask == "binary",
            present_in_mask=self.recipe.present == "mask",
        )

    def encode(self, sample: Sample) -> Encoded:
        """The files of a sample; the one of depth is missing where it is predicted from the composite."""
        return encode_sample(sample, self.code, self.recipe.encoding)

    def write(self, indices: NDArray[np.int64], writer: Writer, stopped: Callable[[], bool]) -> Results:
        """Draws and writes the samples of these indices. Raises Stopped between two samples when asked to."""
        plans = plan_samples(self.tables, self.catalog, indices)
        results = Results.empty(len(indices), self.recipe.objects[1])
        results.indices[:] = indices
        for n, index in enumerate(indices.tolist()):
            if stopped():
                raise Stopped
            sample = self.draw(plans[n])
            encoded = self.encode(sample)
            writer.write(stem(index, self.total), encoded)
            results.visible_fraction[n, : len(sample.visible_fraction)] = sample.visible_fraction
            results.depth_clipped_px[n] = encoded.depth_clipped_px
        return results
