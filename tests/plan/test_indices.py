from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.errors import QumadeError
from qumade.plan.indices import limited_indices, sample_count, stem, stratified_indices
from qumade.plan.splits import sample_split

COUNTS = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 4))


def triples(indices, counts):
    """The background, foreground and k of each sample."""
    return list(zip(*np.unravel_index(indices, counts), strict=True))


@pytest.mark.parametrize(
    ("index", "total", "expected"),
    [
        (0, 1, "img000001"),
        (999_998, 999_999, "img999999"),
        (0, 1_000_000, "img0000001"),
        (399_999, 400_000, "img400000"),
    ],
)
def test_stem(index, total, expected):
    assert stem(index, total) == expected


SHARES = (0.8, 0.1, 0.1)
SIDE = st.lists(st.sampled_from(["train", "val", "test"]), min_size=1, max_size=12)


def limited(limit, counts):
    """The indices that a limit selects if all assets are in train."""
    return limited_indices(limit, ["train"] * counts[0], ["train"] * counts[1], counts[2], SHARES)


def splits_of(indices, backgrounds, foregrounds, per_pair):
    pairs = np.unravel_index(indices, (len(backgrounds), len(foregrounds), per_pair))[:2]
    return Counter(sample_split(backgrounds[b], foregrounds[f]) for b, f in zip(*pairs, strict=True))


@given(SIDE | st.lists(st.none(), min_size=1, max_size=4), SIDE, st.integers(1, 4), st.integers(1, 700))
def test_limits_select_distinct_samples_and_are_nested(backgrounds, foregrounds, per_pair, limit):
    total = sample_count(len(backgrounds), len(foregrounds), per_pair)
    indices = limited_indices(limit, backgrounds, foregrounds, per_pair, SHARES)
    assert len(indices) == len(set(indices.tolist())) == min(limit, total)
    assert (np.diff(indices) > 0).all() and indices[0] >= 0 and indices[-1] < total
    larger = limited_indices(limit + 1, backgrounds, foregrounds, per_pair, SHARES)
    assert set(indices.tolist()) <= set(larger.tolist())


@given(SIDE, SIDE, st.integers(1, 4), st.integers(1, 700))
def test_a_limit_has_the_shares_of_the_splits_as_long_as_they_have_samples(backgrounds, foregrounds, per_pair, limit):
    indices = limited_indices(limit, backgrounds, foregrounds, per_pair, SHARES)
    found = splits_of(indices, backgrounds, foregrounds, per_pair)
    total = sample_count(len(backgrounds), len(foregrounds), per_pair)
    there = splits_of(np.arange(total), backgrounds, foregrounds, per_pair)
    own = {name: there[name] for name in ("train", "val", "test")}
    assert sum(found[name] for name in own) == min(limit, sum(own.values()))
    if all(share * limit <= own[name] for name, share in zip(own, SHARES, strict=True)):
        assert all(abs(found[name] - share * limit) <= 1 for name, share in zip(own, SHARES, strict=True))


@pytest.mark.parametrize(("limit", "expected"), [(500, (400, 50, 50)), (200, (160, 20, 20)), (10, (8, 1, 1))])
def test_a_limit_of_a_usual_recipe(limit, expected):
    sides = [["train"] * (8 * n) + ["val"] * n + ["test"] * n for n in (10, 20)]
    found = splits_of(limited_indices(limit, *sides, 20, SHARES), *sides, 20)
    assert found == dict(zip(("train", "val", "test"), expected, strict=True))


def test_samples_of_two_splits_come_last_and_shares_of_zero_have_no_turn():
    sides = ["train", "val", "test"], ["train", "val"]
    order = [limited_indices(limit, *sides, 2, (0.5, 0.5, 0.0)) for limit in range(1, 13)]
    assert splits_of(order[3], *sides, 2) == {"train": 2, "val": 2}
    assert order[-1].tolist() == list(range(12))


@given(COUNTS)
def test_all_assets_appear_early_and_no_pair_repeats_before_all_appear(counts):
    backgrounds, foregrounds, _ = counts
    soon = triples(limited(max(backgrounds, foregrounds), counts), counts)
    if len(soon) == max(backgrounds, foregrounds):
        assert {b for b, _, _ in soon} == set(range(backgrounds))
        assert {f for _, f, _ in soon} == set(range(foregrounds))
    pairs = triples(limited(backgrounds * foregrounds, counts), counts)
    assert len({(b, f) for b, f, _ in pairs}) == backgrounds * foregrounds
    assert {k for _, _, k in pairs} == {0}


def test_no_limit_selects_all_samples():
    assert limited(None, (3, 4, 5)).tolist() == list(range(60))


@pytest.mark.parametrize("limit", [0, -3])
def test_limit_below_one_is_rejected(limit):
    with pytest.raises(QumadeError, match=f"got {limit}"):
        limited(limit, (1, 1, 1))


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_stratified_indices_take_one_per_stratum(total, count):
    chosen = stratified_indices(total, count)
    if count >= total:
        assert chosen.tolist() == list(range(total))
    else:
        assert len(chosen) == count
        assert all(n * total // count <= one < (n + 1) * total // count for n, one in enumerate(chosen.tolist()))
    assert chosen.tolist() == stratified_indices(total, count).tolist()


@pytest.mark.parametrize("count", [100, 256, 300, 400, 4000])
@pytest.mark.parametrize(("backgrounds", "foregrounds", "per_pair"), [(100, 200, 20), (64, 160, 20), (61, 160, 15)])
def test_stratified_indices_show_as_many_objects_as_random_ones(backgrounds, foregrounds, per_pair, count):
    chosen = stratified_indices(sample_count(backgrounds, foregrounds, per_pair), count)
    shown = len(np.unique(chosen // per_pair % foregrounds))
    assert shown >= 0.85 * foregrounds * (1 - (1 - 1 / foregrounds) ** count)
    assert len(np.unique(chosen % per_pair)) == per_pair
