import numpy as np
import pytest

from qumade.depth.encoding import UNDESCRIBED_DEPTH, DepthEncoding
from qumade.evaluation.evaluation import evaluate
from qumade.evaluation.legacy_notebook import (
    LEGACY_METRICS,
    LegacyMetrics,
    format_legacy,
    legacy_grey,
    legacy_scores,
    legacy_section,
    legacy_sums,
)
from qumade.evaluation.summary import format_number
from qumade.prediction.predictor import Prediction

SCALED = DepthEncoding(kind="scaled", code="inverse", bits=8, range=(0.0, 1.5))


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
    assert swapped["abs_rel"] > 1e4 > wanted["abs_rel"]  # a false alarm on a background pixel
    assert {**swapped, "abs_rel": 0} == pytest.approx({**wanted, "abs_rel": 0})


def test_grey_is_over_the_range_of_the_encoding():
    values = np.array([0.0, 0.75, 3.0, -1.0, np.nan])
    scaled = DepthEncoding(kind="scaled", code="inverse", bits=8, range=(0.0, 1.5))
    np.testing.assert_allclose(legacy_grey(values, scaled), [0, 0.5, 1, 0, np.nan])
    np.testing.assert_allclose(legacy_grey(values, UNDESCRIBED_DEPTH), [0, 0.75, 1, 0, np.nan])


def test_without_known_pixels_metrics_are_nan():
    assert np.isnan(list(legacy_scores(legacy_sums(np.full(3, np.nan), np.ones(3))).values())).all()


def legacy_of(predict, samples, keep=None, trained_tasks=("mask", "depth")):
    metrics = LegacyMetrics(samples.depth_encoding, trained_tasks)
    evaluate(predict, samples, observe=metrics.add, trained_tasks=trained_tasks)
    return metrics.scores(np.ones(len(samples.triples), bool) if keep is None else keep)


def predict_zeros(images):
    return [Prediction(np.zeros((32, 40), np.float32), np.zeros((32, 40), np.float32)) for _ in images]


def test_the_metrics_get_the_predicted_mask_first_and_the_true_depth(make_samples, oracle):
    samples = make_samples(3, depth_encoding=SCALED)
    perfect = legacy_of(oracle(samples), samples)
    assert perfect["mask"]["a1"] == perfect["depth"]["a1"] == 1
    nothing = legacy_of(predict_zeros, samples)
    share = 80 / 1280
    assert nothing["mask"]["a3"] == pytest.approx(1 - share)
    assert nothing["mask"]["abs_rel"] == pytest.approx(share * 1e5)  # relative to the prediction
    assert nothing["depth"]["abs_rel"] < 1 < nothing["mask"]["abs_rel"]
    assert nothing["mask"]["rmse"] == pytest.approx(np.sqrt(share))


def test_only_the_pictures_that_count_are_pooled(make_samples, oracle):
    samples, shown = make_samples(4, empty=2), make_samples(4, empty=2)
    shown.triples = shown.triples[2:]
    alone = legacy_of(oracle(samples, shift=2), shown)
    kept = legacy_of(oracle(samples, shift=2), samples, np.array([False, False, True, True]))
    assert kept["mask"] == pytest.approx(alone["mask"]) and kept["depth"] == pytest.approx(alone["depth"])
    assert kept["mask"]["rmse"] > legacy_of(oracle(samples, shift=2), samples)["mask"]["rmse"] > 0
    assert format_number(kept["mask"]["rmse"]) in format_legacy(kept)


def test_untrained_tasks_have_no_legacy_metrics(make_samples, oracle):
    samples = make_samples(4, empty=1)
    found = legacy_of(oracle(samples), samples, trained_tasks=("depth",))
    assert set(found["mask"].values()) == {None} and found["depth"]["a1"] == 1
    assert format_legacy(found).splitlines()[2].split() == ["mask", *"-" * 6]


def test_text_and_section_hold_the_same_table(make_samples, oracle):
    samples = make_samples(2, depth_encoding=SCALED)
    found = legacy_of(oracle(samples, shift=2), samples)
    section = legacy_section(found)
    lines = format_legacy(found).splitlines()
    assert lines[0] == f"{section.title}:" and lines[-1] == section.text
    assert [tuple(line.split()) for line in lines[2:4]] == list(section.table.rows)
    assert section.table.heads == ("", *LEGACY_METRICS)
