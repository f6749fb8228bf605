import numpy as np
import pytest

from qumade.depth.encoding import UNDESCRIBED_DEPTH, DepthEncoding
from qumade.evaluate.legacy_notebook import LEGACY_METRICS, legacy_grey, legacy_scores, legacy_sums


def test_pooling_pictures_equals_one_large_picture():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 60)), rng.random((2, 60))
    at_once = legacy_scores(legacy_sums(first, second))
    parts = [legacy_sums(first[:, a:b], second[:, a:b]) for a, b in ((0, 10), (10, 45), (45, 60))]
    assert legacy_scores(sum(parts)) == pytest.approx(at_once)
    assert tuple(at_once) == LEGACY_METRICS


def test_values_in_closed_form():
    first = np.array([0.0, 0.5, 1.0, np.nan])
    second = np.array([0.0, 0.25, 0.0, 0.3])
    e = 1e-5
    wanted = {
        "a1": 1 / 3,
        "a2": 1 / 3,
        "a3": 1 / 3,
        "abs_rel": (0.25 / (0.5 + e) + 1 / (1 + e)) / 3,
        "rmse": np.sqrt((0.25**2 + 1) / 3),
        "log_10": (np.log10((0.5 + e) / (0.25 + e)) + np.log10((1 + e) / e)) / 3,
    }
    assert legacy_scores(legacy_sums(first, second)) == pytest.approx(wanted)
    swapped = legacy_scores(legacy_sums(second, first))
    assert swapped["abs_rel"] > 1e4 > wanted["abs_rel"]  # a background pixel falsely alarmed
    assert {**swapped, "abs_rel": 0} == pytest.approx({**wanted, "abs_rel": 0})


def test_grey_is_over_the_range_of_the_code():
    values = np.array([0.0, 0.75, 3.0, -1.0, np.nan])
    scaled = DepthEncoding(kind="scaled", code="inverse", bits=8, range=(0.0, 1.5))
    np.testing.assert_allclose(legacy_grey(values, scaled), [0, 0.5, 1, 0, np.nan])
    np.testing.assert_allclose(legacy_grey(values, UNDESCRIBED_DEPTH), [0, 0.75, 1, 0, np.nan])


def test_nothing_known_gives_no_numbers():
    assert np.isnan(list(legacy_scores(legacy_sums(np.full(3, np.nan), np.ones(3))).values())).all()
