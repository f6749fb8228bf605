import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.data.stream_order import LANES, stream_order

SIZES = st.lists(st.integers(1, 700), min_size=1, max_size=9).map(lambda sizes: np.array(sizes, np.int64))


@given(SIZES, st.integers(0, 3), st.integers(0, 3))
def test_an_epoch_shows_every_sample_once(sizes, seed, epoch):
    total = int(sizes.sum())
    order = stream_order(sizes, 0, total, seed=seed, epoch=epoch)
    assert np.array_equal(np.sort(order), np.arange(total))


@given(SIZES, st.integers(0, 500), st.integers(0, 500))
def test_a_part_of_the_order_needs_no_other_part(sizes, start, length):
    total = int(sizes.sum())
    whole = stream_order(sizes, 0, total, seed=1, epoch=2)
    assert np.array_equal(stream_order(sizes, start, start + length, seed=1, epoch=2), whole[start : start + length])


def test_epochs_seeds_and_ingredients_have_other_orders():
    sizes = np.full(6, 500)
    orders = [
        stream_order(sizes, 0, 3000, seed=seed, ingredient=ingredient, epoch=epoch).tolist()
        for seed, ingredient, epoch in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    ]
    assert all(a != b for n, a in enumerate(orders) for b in orders[:n])


def test_neighbours_agree_in_their_shard_no_more_than_by_chance():
    """1 in 100, where 100 shards are of equal size."""
    shards = stream_order(np.full(100, 1000), 0, 100_000, seed=0) // 1000
    for distance in (1, 2, 7, 31):
        assert np.mean(shards[distance:] == shards[:-distance]) < 0.012
    # Nor do the samples of a batch come from fewer shards than lanes allow.
    assert np.mean([len(set(batch)) for batch in shards[: 64 * 1500].reshape(-1, 64)]) > 50


@pytest.mark.parametrize("processes", [1, 2, 4, 64])
def test_a_process_reads_its_own_lanes_sequentially(processes):
    """Each process reads each part of the shards once: what it reads is little more than its share."""
    sizes, block = np.full(40, 3200), 256
    order = stream_order(sizes, 0, int(sizes.sum()), seed=3)
    read = 0
    for rank in range(processes):
        mine = order[rank::processes]
        read += len(np.unique(mine // block))
    assert read * block < 1.2 * sizes.sum()
    lane = order[5::LANES]
    jumps = np.abs(np.diff(lane))
    assert np.mean(jumps < 256) > 0.95
