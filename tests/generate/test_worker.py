import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qumade.data.encode import Encoded
from qumade.generate.worker import Drawer, Job, Stopped
from qumade.plan.planner import plan


class Kept:
    """A writer that keeps samples in memory."""

    def __init__(self) -> None:
        self.samples: dict[str, Encoded] = {}

    def write(self, stem: str, encoded: Encoded) -> None:
        self.samples[stem] = encoded


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def drawer(works: Any) -> Drawer:
    return Drawer(works.recipe, works.catalog)


def test_written_samples_are_the_drawn_ones_under_their_names(works: Any, drawer: Drawer) -> None:
    indices = np.array([0, 7, 1199], np.int64)
    kept = Kept()
    results = drawer.write(indices, kept, never)
    assert list(kept.samples) == ["img000001", "img000008", "img001200"]
    for row, (index, encoded) in enumerate(zip(indices.tolist(), kept.samples.values(), strict=True)):
        sample = drawer.draw(plan(works.recipe, works.catalog, index))
        assert encoded == drawer.encode(sample)
        objects = len(sample.visible_fraction)
        np.testing.assert_array_equal(results.visible_fraction[row, :objects], sample.visible_fraction)
        assert np.isnan(results.visible_fraction[row, objects:]).all()
    np.testing.assert_array_equal(results.indices, indices)
    assert results.visible_fraction.shape == (3, 2)


def test_a_sample_depends_on_nothing_that_was_drawn_before_it(works: Any, drawer: Drawer) -> None:
    indices = np.arange(0, 1200, 37)
    forward, backward, alone = Kept(), Kept(), Kept()
    drawer.write(indices, forward, never)
    Drawer(works.recipe, works.catalog).write(indices[::-1], backward, never)
    for index in indices[:5]:
        Drawer(works.recipe, works.catalog).write(np.array([index]), alone, never)
    assert forward.samples == backward.samples
    assert alone.samples.items() <= forward.samples.items()


def test_a_reused_drawer_changes_no_asset(works: Any, drawer: Drawer) -> None:
    first, again = Kept(), Kept()
    drawer.write(np.arange(30), first, never)
    drawer.write(np.arange(30), again, never)
    assert first.samples == again.samples


def test_clipped_depth_is_counted_for_each_sample(works: Any) -> None:
    recipe = works.recipe.model_copy(update={"depth_near": 0.4})
    drawer = Drawer(recipe, works.catalog)
    indices = np.arange(0, 1200, 100)
    results = drawer.write(indices, Kept(), never)
    for index, clipped in zip(indices.tolist(), results.depth_clipped_px.tolist(), strict=True):
        inverse_depth = drawer.draw(plan(recipe, works.catalog, index)).inverse_depth.astype(np.float64)
        # The nearest code stands for 0.4 and reaches half a step beyond.
        assert clipped == int((inverse_depth >= 0.4 * (255.5 / 255)).sum())
    assert results.depth_clipped_px.min() > 0


def test_work_stops_between_two_samples(drawer: Drawer) -> None:
    kept = Kept()
    with pytest.raises(Stopped):
        drawer.write(np.arange(10), kept, lambda: len(kept.samples) == 4)
    assert len(kept.samples) == 4


def test_a_job_travels_to_another_process(
    works: Any, tmp_path: Path, read_tree: Callable[[Path], dict[str, bytes]]
) -> None:
    job = Job(works.recipe, works.catalog, tmp_path, {"images": ".jpg"})
    arrived = pickle.loads(pickle.dumps(job))
    assert (arrived.recipe, arrived.root, arrived.suffixes) == (job.recipe, job.root, job.suffixes)
    here, there = Kept(), Kept()
    Drawer(job.recipe, job.catalog).write(np.arange(3), here, never)
    Drawer(arrived.recipe, arrived.catalog).write(np.arange(3), there, never)
    assert here.samples == there.samples
