import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.errors import QumadeError
from qumade.plan.indices import limited_indices, sample_count, stem, stratified_indices

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


@given(COUNTS, st.integers(1, 700))
def test_limits_select_distinct_samples_and_are_nested(counts, limit):
    total = sample_count(*counts)
    indices = limited_indices(limit, *counts)
    assert len(indices) == len(set(indices.tolist())) == min(limit, total)
    assert (np.diff(indices) > 0).all() and indices[0] >= 0 and indices[-1] < total
    assert set(indices.tolist()) <= set(limited_indices(limit + 1, *counts).tolist())


@given(COUNTS)
def test_all_assets_appear_early_and_no_pair_repeats_before_all_appear(counts):
    backgrounds, foregrounds, _ = counts
    soon = triples(limited_indices(max(backgrounds, foregrounds), *counts), counts)
    if len(soon) == max(backgrounds, foregrounds):
        assert {b for b, _, _ in soon} == set(range(backgrounds))
        assert {f for _, f, _ in soon} == set(range(foregrounds))
    pairs = triples(limited_indices(backgrounds * foregrounds, *counts), counts)
    assert len({(b, f) for b, f, _ in pairs}) == backgrounds * foregrounds
    assert {k for _, _, k in pairs} == {0}


def test_no_limit_selects_all_samples():
    assert limited_indices(None, 3, 4, 5).tolist() == list(range(60))


@pytest.mark.parametrize("limit", [0, -3])
def test_limit_below_one_is_rejected(limit):
    with pytest.raises(QumadeError, match=f"got {limit}"):
        limited_indices(limit, 1, 1, 1)


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
