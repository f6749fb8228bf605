from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qumade.metrics.bootstrap import CELLS, class_iou_differences, mean_differences, means
from qumade.metrics.classes import class_ious


def test_fewer_than_20_pictures_have_no_interval():
    values = np.random.default_rng(0).random((20, 2))
    values[0, 1] = np.nan
    enough, few = means(values, resamples=50)
    assert enough.low is not None and enough.low < enough.value < enough.high and enough.pictures == 20
    assert (few.low, few.high, few.pictures) == (None, None, 19)
    assert few.value == pytest.approx(np.nanmean(values[:, 1]))


def test_the_interval_is_that_of_the_normal_distribution_where_that_holds():
    values = np.random.default_rng(1).normal(5, 2, (400, 1))
    (found,) = means(values)
    spread = 1.96 * values.std() / np.sqrt(400)
    assert (found.low, found.high) == pytest.approx((values.mean() - spread, values.mean() + spread), abs=0.03)


def test_what_both_share_is_no_doubt():
    rng = np.random.default_rng(2)
    hard = rng.normal(0, 10, (100, 1))
    first, second = hard + 1 + rng.normal(0, 0.1, hard.shape), hard
    (paired,) = mean_differences(first, second)
    assert paired.low > 0.9 and paired.high < 1.1


def test_a_picture_left_out_of_one_mean_counts_in_the_other():
    first, second = np.ones((40, 1)), np.ones((40, 1))
    first[:10], second[:10] = np.nan, 0.0  # the second finds objects in empty pictures
    (found,) = mean_differences(first, second)
    assert found.value == pytest.approx(0.25) and found.pictures == 30
    assert found.low > 0.1 and found.high < 0.4
    second[10:25] = np.nan
    assert mean_differences(first, second)[0].pictures == 25  # the smaller number; 15 have both


def test_the_same_seed_gives_the_same_interval_in_any_part_of_memory(monkeypatch):
    first, second = np.random.default_rng(3).random((2, 50, 3))
    wanted = mean_differences(first, second, seed=4, resamples=100)
    assert mean_differences(first, second, seed=5, resamples=100) != wanted
    monkeypatch.setattr("qumade.metrics.bootstrap.CELLS", 170)
    assert CELLS != 170
    for found, whole in zip(mean_differences(first, second, seed=4, resamples=100), wanted, strict=True):
        # Products of matrices of another height may differ in their last bit.
        assert astuple(found) == pytest.approx(astuple(whole), rel=1e-12)


@settings(max_examples=10)
@given(st.integers(20, 60), st.floats(-3, 3))
def test_equal_tables_differ_by_nothing_and_a_constant_by_itself(rows, offset):
    table = np.random.default_rng(rows).random((rows, 1))
    (found,) = mean_differences(table + offset, table, resamples=100)
    assert (found.value, found.low, found.high) == pytest.approx((offset,) * 3)


def test_without_any_value_there_is_none():
    (found,) = means(np.full((30, 1), np.nan), resamples=10)
    assert np.isnan(found.value) and found.low is None and found.pictures == 0
    (found,) = means(np.zeros((0, 1)), resamples=10)
    assert np.isnan(found.value)


def test_differences_of_class_iou_are_those_of_the_added_matrices():
    rng = np.random.default_rng(5)
    truth = rng.integers(1, 50, (30, 3))
    first = np.zeros((30, 3, 3), np.int64)
    first[:, range(3), range(3)] = truth
    second = first.copy()
    second[:, 1, 2], second[:, 1, 1] = truth[:, 1] // 2, truth[:, 1] - truth[:, 1] // 2  # half is mistaken
    car, person, mean = class_iou_differences(first, second)
    for found, number in ((car, 0), (person, 1)):
        assert found.value == pytest.approx((class_ious(first.sum(0)) - class_ious(second.sum(0)))[number])
        assert found.low is not None and 0 < found.low < found.value < found.high and found.pictures == 30
    assert mean.value == pytest.approx((car.value + person.value) / 2) and mean.low > 0
    assert [found.value for found in class_iou_differences(first, first)] == [0, 0, 0]


def test_a_class_that_few_pictures_show_has_no_interval():
    first = np.zeros((30, 3, 3), np.int64)
    first[:, 1, 1], first[:5, 2, 2] = 7, 3
    second = first.copy()
    second[:5, 2] = [0, 3, 0]
    car, person, mean = class_iou_differences(first, second)
    assert (person.value, person.low, person.pictures) == (1, None, 5) and car.pictures == mean.pictures == 30
    absent = class_iou_differences(first[5:], second[5:])
    assert np.isnan(absent[1].value) and absent[2].value == absent[0].value == 0
