import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from qumade.data.dataset import LabeledSample
from qumade.depth.encoding import DepthEncoding
from qumade.errors import QumadeError
from qumade.evaluation.evaluation import SCORES, evaluate, write_scores
from qumade.metrics.alignment import Clamp
from qumade.metrics.scores import depth_scores, mask_scores
from qumade.prediction.predictor import Prediction

SCALED = DepthEncoding(kind="scaled", code="inverse", bits=8, range=(0.0, 1.5))


def test_a_perfect_network_has_perfect_scores(make_samples, oracle):
    samples = make_samples(5, empty=1)
    found = evaluate(oracle(samples), samples, predicted_kind="metric")
    assert (found.alignment, found.clamp) == ("none", Clamp(1 / 80, 1000.0))
    iou = found.scores["mask_iou"].to_pylist()
    assert iou[0] is None and iou[1:] == [1.0] * 4
    for column in ("depth_delta1", "known_depth_delta1"):
        assert found.scores[column].to_pylist() == [1.0] * 5
    assert found.scores["object_depth_rmse"].to_pylist()[0] is None
    assert found.scores["object_depth_rmse"].to_numpy()[1:] == pytest.approx(0, abs=1e-5)
    assert found.scores["object_share"].to_pylist() == [0.0] + [pytest.approx(80 / 1280)] * 4
    assert found.scores["mask_pixels"].to_pylist() == [1280] * 5
    assert found.scores["sample"].to_pylist() == [0, 1, 2, 3, 4]


def test_scores_are_those_of_each_picture(make_samples, oracle):
    samples = make_samples(3)
    predict = oracle(samples, shift=3, factor=1.3)
    found = evaluate(predict, samples, predicted_kind="scaled", batch_size=2)
    assert found.alignment == "scale"
    for row, triple in enumerate(samples.triples):
        (predicted,) = predict([triple.image])
        truth = triple.inverse_depth.astype(np.float64)
        wanted = {f"mask_{k}": v for k, v in mask_scores(predicted.mask, triple.mask / np.float32(255)).items()}
        depth = depth_scores(predicted.inverse_depth, truth, "scale", found.clamp)
        wanted |= {f"depth_{k}": v for k, v in depth.items()}
        assert {column: found.scores[column][row].as_py() for column in wanted} == pytest.approx(wanted)
    assert found.scores["depth_scale"].to_numpy() == pytest.approx(1 / 1.3)


@pytest.mark.parametrize(
    ("predicted_kind", "code", "alignment"),
    [("metric", SCALED, "scale"), (None, SCALED, "scale and shift"), ("scaled", SCALED, "scale")],
)
def test_the_alignment_follows_the_kinds_and_may_be_given(make_samples, oracle, predicted_kind, code, alignment):
    samples = make_samples(2, depth_encoding=code)
    assert evaluate(oracle(samples), samples, predicted_kind=predicted_kind).alignment == alignment
    assert evaluate(oracle(samples), samples, predicted_kind=predicted_kind, alignment="none").alignment == "none"


@pytest.mark.parametrize("predicted_kind", ["metric", None])
def test_the_trivial_baseline_is_background_and_fitted_flat_ground(make_samples, oracle, predicted_kind):
    samples = make_samples(4, empty=1)
    found = evaluate(oracle(samples), samples, predicted_kind=predicted_kind)
    assert found.baselines["mask_iou"].to_pylist() == [None, 0, 0, 0]
    assert found.baselines["mask_mae"].to_pylist()[1:] == [pytest.approx(80 / 1280)] * 3
    truth = samples.triples[0].inverse_depth
    height, width = truth.shape
    rows = np.maximum(np.arange(height) + 0.5 - 0.45 * height, 0)  # the horizon is at 45 % of the height
    wanted = depth_scores(np.repeat(rows[:, None], width, axis=1), truth, "scale and shift", found.clamp)
    assert found.baselines["depth_abs_rel"][0].as_py() == pytest.approx(wanted["abs_rel"], rel=1e-5)


def test_masks_alone_and_depth_alone(make_samples, oracle):
    full = make_samples(2)
    masks = make_samples(2, depth_encoding=None)
    masks.triples = [LabeledSample(t.image, t.mask, None, None) for t in full.triples]
    found = evaluate(oracle(full), masks)
    assert found.has_masks and not found.has_depth and found.alignment is None
    assert found.scores["mask_iou"].to_pylist() == [1, 1] and found.scores["depth_delta1"].null_count == 2
    depth = make_samples(2)
    depth.triples = [LabeledSample(t.image, None, t.inverse_depth, None) for t in full.triples]
    found = evaluate(oracle(full), depth, predicted_kind="metric")
    assert found.has_depth and not found.has_masks
    assert found.scores["object_share"].null_count == found.scores["object_depth_delta1"].null_count == 2
    assert found.scores["depth_delta1"].to_pylist() == [1, 1]


def test_ignored_pixels_change_nothing(make_samples, oracle):
    samples = make_samples(2)
    wanted = evaluate(oracle(samples), samples, predicted_kind="metric")
    ignore = np.zeros((32, 40), bool)
    ignore[-3:] = True
    spoilt = make_samples(2)
    spoilt.triples = [
        LabeledSample(t.image, np.where(ignore, 255 - t.mask, t.mask), np.where(ignore, 9, t.inverse_depth), ignore)
        for t in samples.triples
    ]
    found = evaluate(oracle(samples), spoilt, predicted_kind="metric")
    for column in ("mask_iou", "mask_mae", "depth_delta1", "known_depth_rmse"):
        assert found.scores[column].to_numpy() == pytest.approx(wanted.scores[column].to_numpy(), abs=1e-6)
    assert found.scores["mask_pixels"].to_pylist() == [1280 - 120] * 2


def test_a_prediction_that_does_not_fit_names_the_sample(make_samples):
    def predict(images):
        return [Prediction(np.zeros((3, 3), np.float32), np.zeros((3, 3), np.float32)) for _ in images]

    with pytest.raises(QumadeError, match=r"shape \(3, 3\); must be \(32, 40\) \(sample 1 of samples\)"):
        evaluate(predict, make_samples(2), positions=np.array([1]))


def test_scores_on_disk_state_how_they_were_taken(make_samples, oracle, tmp_path):
    samples = make_samples(3, empty=1, splits=np.array(["train", "test", "test"]))
    found = evaluate(oracle(samples), samples, predicted_kind="metric")
    write_scores(found, tmp_path / "scores.parquet")
    table = pq.read_table(tmp_path / "scores.parquet")
    assert set(SCORES) < set(table.column_names) and table["mask_iou"].null_count == 1
    assert table["split"].to_pylist() == ["train", "test", "test"]
    stated = json.loads(table.schema.metadata[b"qumade"])
    assert stated["alignment"] == "none" and stated["clamp_depth"] == pytest.approx([0.001, 80])


def test_untrained_tasks_are_not_scored(make_samples, oracle):
    samples = make_samples(4, empty=1)
    masks = evaluate(oracle(samples), samples, predicted_kind="metric", trained_tasks=("mask",))
    assert masks.has_masks and not masks.has_depth and masks.alignment is None
    assert all(masks.scores[column].null_count == 4 for column in SCORES if not column.startswith("mask"))
    both = evaluate(oracle(samples), samples, predicted_kind="metric")
    assert masks.scores["mask_iou"].equals(both.scores["mask_iou"])
    depth = evaluate(oracle(samples), samples, predicted_kind="metric", trained_tasks=("depth",))
    assert depth.has_depth and not depth.has_masks
    for table in (depth.scores, depth.baselines):
        assert all(table[column].null_count == 4 for column in SCORES if column.startswith("mask"))
    assert depth.scores["object_depth_rmse"].equals(both.scores["object_depth_rmse"])
    assert depth.scores["object_share"].equals(both.scores["object_share"])
    assert depth.scores["predicted_share"].null_count == 4


@pytest.mark.parametrize(("trained_tasks", "kept", "needed"), [("depth", "mask", "depth"), ("mask", "depth", "masks")])
def test_a_dataset_without_labels_of_the_trained_tasks_is_refused_before_predicting(
    make_samples, oracle, trained_tasks, kept, needed
):
    samples = make_samples(2)
    samples.has_masks = kept == "mask"
    samples.depth_encoding = samples.depth_encoding if kept == "depth" else None
    predict = oracle(samples)
    with pytest.raises(QumadeError, match=rf"got samples without {needed}; must have labels of a task"):
        evaluate(predict, samples, trained_tasks=(trained_tasks,))
    assert predict.pictures == 0
    assert evaluate(predict, samples, trained_tasks=(kept,)).trained_tasks == (kept,)


def test_an_observer_receives_each_sample_with_its_prediction(make_samples, oracle):
    samples, seen = make_samples(3), []
    predict = oracle(samples)
    evaluate(predict, samples, positions=np.array([2, 0]), observe=lambda *pair: seen.append(pair))
    assert [sample for sample, _ in seen] == [samples.triples[2], samples.triples[0]] and predict.pictures == 2
    for sample, predicted in seen:
        np.testing.assert_array_equal(predicted.inverse_depth, sample.inverse_depth)


def test_an_ignored_picture_is_unknown_and_not_empty(make_samples, oracle):
    samples = make_samples(3, empty=3)
    samples.triples[1] = replace(samples.triples[1], ignore=np.ones((32, 40), bool))
    half = np.zeros((32, 40), bool)
    half[:, :20] = True
    samples.triples[2] = replace(samples.triples[2], ignore=half)
    predict = oracle(samples)

    def everywhere(images):
        return [found._replace(mask=np.ones_like(found.mask)) for found in predict(images)]

    found = evaluate(everywhere, samples, predicted_kind="metric")
    assert found.scores["object_share"].to_pylist() == [0.0, None, 0.0]
    assert found.scores["predicted_share"].to_pylist() == [1.0, None, 0.5]


@pytest.mark.parametrize("kind", ["metric", None])
def test_pictures_with_near_and_far_swapped_are_marked(make_samples, oracle, kind):
    samples = make_samples(3)
    predict = oracle(samples)
    turned = samples.triples[1].image.tobytes()

    def inside_out(images):
        return [
            found._replace(inverse_depth=1 - found.inverse_depth if image.tobytes() == turned else found.inverse_depth)
            for found, image in zip(predict(images), images, strict=True)
        ]

    found = evaluate(inside_out, samples, predicted_kind=kind)
    assert found.scores["depth_swapped"].to_pylist() == [0, 1, 0]
    fitted = found.scores["fitted_delta1"].to_pylist()
    assert fitted[0] == fitted[2] == 1 and fitted[1] < 0.9
