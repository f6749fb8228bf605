import io

import numpy as np
import pytest
from PIL import Image

from qumade.data.dataset import LabeledSample
from qumade.evaluation.evaluation import evaluate
from qumade.evaluation.panels import MASK_COLOURS, Panel, Row, best, draw_rows, jpeg, row_of, sheet, typical, worst
from qumade.prediction.predictor import Prediction


def is_near(pixels, colour):
    """Where a picture is tinted in a colour."""
    grey = np.array([150, 150, 150])
    towards = 0.75 * np.array(colour) + 0.25 * grey
    return np.abs(pixels - towards).max(axis=-1) < 30


def test_the_worst_come_first_and_correctly_empty_pictures_last(make_samples, oracle):
    samples = make_samples(6, empty=2)
    predict = oracle(samples)
    blind = samples.triples[4].image.tobytes()

    def one_is_missed(images):
        return [p._replace(mask=p.mask * (i.tobytes() != blind)) for p, i in zip(predict(images), images, strict=True)]

    found = evaluate(one_is_missed, samples, predicted_kind="metric")
    assert worst(found)[0] == 4 and len(worst(found)) == 6 and len(worst(found, 2)) == 2
    assert sorted(worst(found, min_object_share=0.01)) == [2, 3, 4, 5]
    rows = draw_rows(found, one_is_missed, samples, [4, 0])
    assert rows[0].caption == "sample 4 · mask IoU 0.000 · delta < 1.25 1.000"
    assert rows[1].caption == "sample 0 · mask IoU 1.000 · delta < 1.25 1.000"


def test_typical_and_best_pictures_show_an_object(make_samples, oracle):
    samples = make_samples(9, empty=2)
    shifted = oracle(samples, shift=2)  # by 2, 4 or 6 pixels
    found = evaluate(shifted, samples, predicted_kind="metric")
    iou = found.scores["mask_iou"].to_numpy()
    ranked = [row for row in worst(found) if row > 1]
    assert len(ranked) == 7 and set(best(found, 3)) == set(ranked[-3:]) and iou[best(found, 1)[0]] == np.nanmax(iou)
    assert typical(found, 3) == ranked[2:5] and sorted(typical(found, 50)) == sorted(ranked)


def test_panels_show_hits_misses_false_alarms_and_ignored_pixels(make_samples, oracle):
    samples = make_samples(1)
    image = np.full((32, 40, 3), 100, np.uint8)
    mask, probability = np.zeros((32, 40), np.uint8), np.zeros((32, 40), np.float32)
    mask[:, 10:20], probability[:, 15:25] = 255, 1
    ignore = np.zeros((32, 40), bool)
    ignore[:, 30:] = True
    found = evaluate(oracle(samples), samples)
    triple = LabeledSample(image, mask, samples.triples[0].inverse_depth, ignore)
    predicted = Prediction(probability, samples.triples[0].inverse_depth)
    row = row_of(found, 0, triple, [("predicted", predicted)], samples.depth_encoding, "text")
    titles = [panel.title for panel in row.panels]
    assert titles == ["image", "overlay", "true mask", "predicted mask", "true depth", "predicted depth"]
    assert row.caption == "text"
    pixels = np.asarray(row.panels[3].image, np.float64)
    assert row.panels[3].image.size == (200, 160)  # enlarged by whole pixels
    for name, column in (("missed", 12), ("found", 17), ("false alarm", 22), ("not evaluated", 35)):
        assert is_near(pixels[80, 5 * column + 2], MASK_COLOURS[name])
    overlay = np.asarray(row.panels[1].image, int)
    assert overlay[80, 62].tolist() == [100] * 3  # missed: not predicted
    assert overlay[80, 102, 1] > overlay[80, 102, 0]  # predicted
    # aligned with the ground truth, the same prediction in the same colours
    first, second = (np.asarray(row.panels[n].image) for n in (4, 5))
    np.testing.assert_array_equal(first[:, :150], second[:, :150])


def test_without_labels_only_predictions_are_shown(make_samples, oracle):
    samples = make_samples(1)
    found = evaluate(oracle(samples), samples)
    triple = LabeledSample(samples.triples[0].image, None, None, None)
    predicted = Prediction(np.ones((32, 40), np.float32), np.ones((32, 40), np.float32))
    row = row_of(found, 0, triple, [("A's", predicted)], None)
    assert [panel.title for panel in row.panels] == ["image", "overlay", "A's mask", "A's depth"]


@pytest.mark.parametrize(("task", "other"), [("mask", "depth"), ("depth", "mask")])
def test_untrained_tasks_are_not_shown(make_samples, oracle, task, other):
    samples = make_samples(2)
    found = evaluate(oracle(samples), samples, trained_tasks=(task,))
    for row in draw_rows(found, oracle(samples), samples, [0, 1]):
        titles = [panel.title for panel in row.panels]
        assert f"predicted {task}" in titles and f"predicted {other}" not in titles
        assert ("delta" in row.caption) == (task == "depth") and ("mask" in row.caption) == (task == "mask")


def test_sheet_and_files():
    rows = [Row(f"<b>{n}\x1b", (Panel("a", Image.new("RGB", (200, 100 + n))),) * 3) for n in range(5)]
    page = sheet(rows, "title\n" * 50)
    assert page.width >= 2 * 3 * 200 and page.height >= 3 * 100
    assert sheet([], "none").size[0] > 0
    assert Image.open(io.BytesIO(jpeg(page))).format == "JPEG"
