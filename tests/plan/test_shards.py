import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.errors import QumadeError
from qumade.plan.indices import limited_indices
from qumade.plan.shards import ListedQuadrants, Quadrants, Shard, ShardPlan, split_slug
from qumade.plan.splits import sample_split

SHARES = (0.8, 0.1, 0.1)
SIDES = st.lists(st.sampled_from(["train", "val", "test", None]), min_size=1, max_size=7)


def listed(backgrounds, foregrounds, per_pair, limit):
    """Every sample by split, by listing them all."""
    found = {}
    for index in limited_indices(limit, backgrounds, foregrounds, per_pair, SHARES).tolist():
        background, foreground = divmod(index // per_pair, len(foregrounds))
        found.setdefault(sample_split(backgrounds[background], foregrounds[foreground]), []).append(index)
    return found


@given(SIDES, SIDES, st.integers(1, 4), st.none() | st.integers(1, 200), st.integers(0, 60), st.integers(0, 60))
def test_ranks_are_those_of_a_listing_of_all_samples(backgrounds, foregrounds, per_pair, limit, start, length):
    expected = listed(backgrounds, foregrounds, per_pair, limit)
    quadrants = Quadrants(backgrounds, foregrounds, per_pair, SHARES, limit)
    assert quadrants.counts() == {split: len(found) for split, found in expected.items()}
    for split, found in expected.items():
        ranks = np.arange(start, min(start + length, len(found)))
        assert quadrants.indices(split, ranks).tolist() == found[start : start + length]
        assert quadrants.indices(split, ranks[::3]).tolist() == found[start : start + length : 3]


@given(SIDES, SIDES, st.integers(1, 4), st.none() | st.integers(1, 200), st.integers(1, 40))
def test_every_sample_is_in_one_shard_of_its_split(backgrounds, foregrounds, per_pair, limit, samples):
    plan = ShardPlan(Quadrants(backgrounds, foregrounds, per_pair, SHARES, limit), samples, seed=3)
    shards = list(plan)
    assert len(shards) == len(plan) == len(set(shards))
    found = {}
    for shard in shards:
        indices = plan.indices(shard)
        assert 0 < len(indices) <= samples
        found.setdefault(shard.split, []).extend(indices.tolist())
    expected = listed(backgrounds, foregrounds, per_pair, limit)
    assert {split: sorted(each) for split, each in found.items()} == expected


def test_listed_samples_give_the_same_shards():
    sides = ["train"] * 6 + ["val", "test"], ["train"] * 4 + ["val", "test"]
    expected = listed(*sides, 9, 300)
    indices, splits = zip(*[(index, split) for split, found in expected.items() for index in found], strict=True)
    one = ShardPlan(Quadrants(*sides, 9, SHARES, 300), 16, seed=5)
    other = ShardPlan(ListedQuadrants(np.array(indices), splits), 16, seed=5)
    assert list(one) == list(other)
    assert all(np.array_equal(one.indices(shard), other.indices(shard)) for shard in one)


def test_a_shard_mixes_the_backgrounds_of_its_group():
    plan = ShardPlan(Quadrants(["train"] * 16, ["train"] * 10, 10, SHARES), 100, seed=0)
    indices = plan.indices(Shard("train", 0))
    backgrounds = indices // 100
    assert set(backgrounds) == set(range(8))  # eight shards of 100 samples share eight backgrounds of 100 samples
    # Neighbours agree in their background about as often as independent draws do: 1 in 8.
    assert np.mean(backgrounds[1:] == backgrounds[:-1]) < 0.25
    assert not np.array_equal(plan.indices(Shard("train", 8)) - 800, indices)


def test_a_billion_samples_need_no_list_of_them():
    plan = ShardPlan(
        Quadrants(["train"] * 9000 + ["val"] * 1000, ["train"] * 900 + ["val"] * 100, 100, SHARES), 10_000, 0
    )
    assert sum(plan.counts.values()) == 10**9 and plan.counts["train"] == 81 * 10**7
    last = plan.indices(Shard("train", 80_999))
    assert len(last) == 10_000 and last.max() < 9000 * 100_000


def test_names():
    assert [split_slug(split) for split in ("train", "seen background", None)] == ["train", "seen-background", "all"]
    assert Shard("seen foreground", 12).name == "seen-foreground-000012"


@pytest.mark.parametrize("samples", [0, -1])
def test_a_shard_without_samples_is_refused(samples):
    with pytest.raises(QumadeError, match=rf"^Invalid samples of a shard: got {samples}; must be at least 1"):
        ShardPlan(Quadrants(["train"], ["train"], 1, SHARES), samples, 0)


def test_a_limit_below_one_is_refused():
    with pytest.raises(QumadeError, match=r"^Invalid limit: got 0"):
        Quadrants(["train"], ["train"], 1, SHARES, 0)
