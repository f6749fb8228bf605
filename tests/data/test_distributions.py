import numpy as np
import pytest

from qumade.data.dataset import LabeledSample
from qumade.data.distributions import distributions
from qumade.errors import QumadeError
from qumade.plan.indices import stratified_indices


def _sample(level: int, depth: float) -> LabeledSample:
    mask = np.zeros((64, 128), np.uint8)
    mask[:32] = 255
    inverse_depth = np.full((64, 128), depth, np.float32)
    inverse_depth[:, :64] = np.nan
    return LabeledSample(np.full((64, 128, 3), (level, 0, 255), np.uint8), mask, inverse_depth, None)


class _Samples(list[LabeledSample]):
    def read(self, position: int) -> LabeledSample:
        return self[position]


def test_values_are_counted_and_averaged() -> None:
    found = distributions(_Samples([_sample(7, 0.25), _sample(9, 0.75)]), progress=False)
    assert found.samples == 2
    assert found.levels.sum(axis=1).tolist() == [2 * 64 * 128] * 3
    assert [np.flatnonzero(counts).tolist() for counts in found.levels] == [[7, 9], [0], [255]]
    assert found.object_share is not None and found.object_share.tolist() == [0.5, 0.5]
    assert found.coverage is not None and found.depth_map is not None and found.inverse_depth is not None
    np.testing.assert_array_equal(found.coverage, np.repeat([[1.0], [0.0]], 32, axis=0) + np.zeros((64, 64)))
    assert np.isnan(found.depth_map[:, :32]).all() and (found.depth_map[:, 32:] == 0.5).all()
    assert np.unique(found.inverse_depth).tolist() == [0.25, 0.75]


def test_missing_labels_stay_none() -> None:
    images = _Samples([LabeledSample(np.zeros((5, 4, 3), np.uint8), None, None, None)])
    found = distributions(images, progress=False)
    assert (found.object_share, found.coverage, found.inverse_depth, found.depth_map) == (None,) * 4


def test_a_selection_is_stratified_over_the_dataset() -> None:
    found = distributions(_Samples([_sample(level, 0.5) for level in range(10)]), 2, progress=False)
    assert np.flatnonzero(found.levels[0]).tolist() == stratified_indices(10, 2).tolist()


def test_zero_samples_are_refused() -> None:
    with pytest.raises(QumadeError, match="Invalid count: got 0; must be at least 1"):
        distributions(_Samples([_sample(0, 0.5)]), 0, progress=False)
