import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.plan.random_numbers import Stream, resampled_seed, uniforms

WORD = st.integers(0, 2**63 - 1)


@given(seed=WORD, stream=st.sampled_from(list(Stream)), index=WORD, item=WORD, attempt=WORD)
def test_uniforms_match_numpy_philox(seed, stream, index, item, attempt):
    # numpy's generator steps its counter before it draws, hence the minus one.
    counter = (index + (item << 64) + (attempt << 128) - 1) % 2**256
    words = np.random.Philox(key=seed + (int(stream) << 64), counter=counter).random_raw(4)
    assert uniforms(seed, int(stream), index, item, attempt) == tuple((words >> np.uint64(11)) * 2.0**-53)


def test_values_are_uniform_and_independent_over_neighbouring_counters():
    draws = np.array([uniforms(0, Stream.PLACEMENT, index, 0, 0) for index in range(20_000)])
    assert draws.min() >= 0 and draws.max() < 1
    assert draws.mean(axis=0) == pytest.approx(0.5, abs=0.01)
    assert np.abs(np.corrcoef(draws.T) - np.eye(4)).max() < 0.03
    assert np.abs(np.corrcoef(draws[1:, 0], draws[:-1, 0])[0, 1]) < 0.03


@given(seed=WORD)
def test_resampled_seeds_differ_and_are_valid_recipe_seeds(seed):
    seeds = [resampled_seed(seed, draw) for draw in range(20)]
    assert seeds[0] == seed
    assert len(set(seeds)) == 20
    assert all(isinstance(other, int) and 0 <= other < 2**63 for other in seeds)
