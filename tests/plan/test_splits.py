import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.plan.random_numbers import Stream
from qumade.plan.splits import FEW, SAMPLE_SPLITS, SPLITS, assign_splits, few_samples, sample_split

SHARES = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted).map(lambda cut: (cut[0], cut[1] - cut[0], 1 - cut[1]))


@given(st.lists(st.integers(0, 40), min_size=3, max_size=80), SHARES, st.integers(0, 2**62))
def test_splits_keep_identities_whole_and_match_their_shares(identities, shares, seed):
    unique = set(identities)
    if len(unique) < 3:
        return
    splits = assign_splits(identities, shares, seed, Stream.SPLIT_BACKGROUND)
    part_of = {}
    for identity, split in zip(identities, splits, strict=True):
        assert part_of.setdefault(identity, split) == split
    for name, share in zip(SPLITS, shares, strict=True):
        count = sum(part == name for part in part_of.values())
        assert (count > 0) == (share > 0)
        # The largest split absorbs rounding and the minimum of one identity.
        assert abs(count - share * len(unique)) <= 2


def test_default_split_of_typical_counts():
    splits = assign_splits(range(100), (0.8, 0.1, 0.1), 0, Stream.SPLIT_BACKGROUND)
    assert [splits.count(name) for name in SPLITS] == [80, 10, 10]


def test_splits_depend_on_seed_and_stream_but_not_on_order():
    one = assign_splits(range(40), (0.5, 0.3, 0.2), 1, Stream.SPLIT_BACKGROUND)
    again = assign_splits([*reversed(range(40)), 0, 0], (0.5, 0.3, 0.2), 1, Stream.SPLIT_BACKGROUND)
    assert again == [*reversed(one), one[0], one[0]]
    assert one != assign_splits(range(40), (0.5, 0.3, 0.2), 2, Stream.SPLIT_BACKGROUND)
    assert one != assign_splits(range(40), (0.5, 0.3, 0.2), 1, Stream.SPLIT_FOREGROUND)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((0.8, 0.1, 0.1), [{"train"}, {"train", "val"}, {"train", "val", "test"}]),
        ((0.5, 0.0, 0.5), [{"train"}, {"train", "test"}, {"train", "test"}]),
        ((0.0, 0.5, 0.5), [{"val"}, {"val", "test"}, {"val", "test"}]),
    ],
)
def test_with_too_few_identities_the_last_splits_stay_empty(shares, expected):
    found = [set(assign_splits(range(count), shares, 0, Stream.SPLIT_FOREGROUND)) for count in (1, 2, 3)]
    assert found == expected
    assert set(assign_splits([4] * 9, shares, 0, Stream.SPLIT_FOREGROUND)) == expected[0]


def test_small_splits_are_named():
    assert few_samples({"train": 400, "val": FEW, "test": 0}) == ""
    warning = few_samples({"train": 400, "val": FEW - 1, "test": 5})
    assert warning.startswith("Few samples: 49 of val, 5 of test. ") and "400" not in warning


@pytest.mark.parametrize(
    ("background", "foreground", "expected"),
    [
        ("train", "train", "train"),
        ("val", "val", "val"),
        ("test", "test", "test"),
        ("train", "test", "seen background"),
        ("val", "train", "seen foreground"),
        ("val", "test", "mixed"),
        ("test", "val", "mixed"),
        (None, "train", None),
        ("train", None, None),
    ],
)
def test_quadrants(background, foreground, expected):
    assert sample_split(background, foreground) == expected


def test_every_quadrant_is_listed():
    pairs = itertools.product([*SPLITS, None], repeat=2)
    assert {sample_split(*pair) for pair in pairs} == set(SAMPLE_SPLITS)
