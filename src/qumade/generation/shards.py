"""The work of drawing shards: a shard is a pure function of the recipe, the limit, the size of shards and its name."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qumade.compose.pyramid import Pyramid
from qumade.data.encode import Encoded, folder_settings
from qumade.data.manifest import manifest_table
from qumade.data.shard_files import SHARD_BYTES, ShardEntry, extension
from qumade.data.shard_writer import ShardWriter
from qumade.generation.summary import placement_counts
from qumade.generation.worker import draw_samples
from qumade.io.storage import Storage
from qumade.plan.indices import stratified_indices
from qumade.plan.shards import Quadrants, Shard, ShardPlan
from qumade.synth.synthesizer import Synthesizer

__all__ = ["DrawShards", "default_samples", "draw_rows", "quadrants_of"]

_CHUNK = 128
_LEAST_SHARDS, _LEAST_SAMPLES = 32, 128
_PROBED = 16


def quadrants_of(synthesizer: Synthesizer, limit: int | None) -> Quadrants:
    """Returns the samples of a recipe by split."""
    catalog = synthesizer.catalog
    sides = [b.split for b in catalog.backgrounds], [f.split for f in catalog.foregrounds]
    return Quadrants(*sides, synthesizer.recipe.per_pair, synthesizer.recipe.split, limit)


def default_samples(synthesizer: Synthesizer, samples: int) -> int:
    """Returns how many of `samples` samples a shard holds: about 256 MiB, measured on 16 samples of the recipe.

    A small dataset is divided further, so that all cores have something to do, down to 128 samples. Pure.
    """
    probed = stratified_indices(len(synthesizer), _PROBED)
    _, parts = draw_rows(synthesizer, probed, lambda: False)[:2]
    sample_bytes = sum(len(content) for files in parts for _, content in files) / len(probed)
    by_size = max(1, int(SHARD_BYTES / sample_bytes))
    return min(by_size, max(_LEAST_SAMPLES, -(-samples // _LEAST_SHARDS)))


def draw_rows(
    synthesizer: Synthesizer, indices: NDArray[np.int64], stopped: Callable[[], bool]
) -> tuple[pa.Table, list[list[tuple[str, bytes]]], dict[str, int]]:
    """Draws samples. Returns their rows of the manifest, the extensions and contents of the files of each, and counts
    of the placements."""
    suffixes = {
        folder: settings["suffix"]
        for folder, settings in folder_settings(synthesizer.recipe, instances=synthesizer.writes_instances).items()
    }
    parts: list[list[tuple[str, bytes]]] = []

    def keep(stem: str, encoded: Encoded) -> None:
        parts.append([(extension(folder, suffixes[folder]), content) for folder, content in encoded.files.items()])

    plans, results = draw_samples(synthesizer, indices, stopped, keep)
    counts = placement_counts(plans) | {"depth_clipped_px": int(results.depth_clipped_px.sum())}
    boxes = results.visible_box if synthesizer.writes_instances else None
    table = manifest_table(synthesizer, plans, results.visible_fraction, results.depth_clipped_px, boxes)
    return table, parts, counts


@dataclass
class DrawShards:
    """Draws shards into a storage. `recipe` is the hash that identifies what they are drawn from."""

    synthesizer: Synthesizer
    plan: ShardPlan
    storage: Storage
    recipe: str

    def open(self) -> None:
        """Nothing to prepare: assets are read when the first shard needs them."""

    def close(self) -> None:
        """Nothing to end."""

    def shared_parts(self) -> tuple[int, int]:
        """The decoded cut-outs, if a process can't hold them all."""
        size = self.synthesizer.assets.cutouts_beyond_room()
        return (len(self.synthesizer.catalog.foregrounds), size) if size else (0, 0)

    def make_part(self, number: int) -> Pyramid:
        return self.synthesizer.assets.cutout(number)

    def take_parts(self, get: Callable[[int], Pyramid]) -> None:
        self.synthesizer.assets.take_cutouts(get)

    def __call__(self, unit: Shard, stopped: Callable[[], bool]) -> ShardEntry:
        """Draws one shard in the order of the indices, which reads each background once, and writes it in its own."""
        stored = self.plan.indices(unit)
        indices = np.sort(stored)
        total: dict[str, int] = {}
        with ShardWriter(self.storage) as writer:
            for at in range(0, len(indices), _CHUNK):
                rows, parts, counts = draw_rows(self.synthesizer, indices[at : at + _CHUNK], stopped)
                writer.add(rows, parts)
                total = {name: total.get(name, 0) + count for name, count in counts.items()}
            return writer.write(unit.name, unit.split, np.searchsorted(indices, stored), self.recipe, total)
