from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from qumade.data.dataset import LabeledSample
from qumade.evaluation.compare import Run, compare, swapped_runs
from qumade.evaluation.evaluation import evaluate
from qumade.evaluation.panels import best, headline_scores, worst
from qumade.evaluation.summary import summarise
from qumade.evaluation.verdict import how_good, how_they_differ, weakness
from qumade.prediction.predictor import Prediction

ALL = np.ones(60, bool)


@pytest.fixture(scope="module")
def perfect(make_samples, oracle):
    samples = make_samples(60, splits=np.array(["train"] * 10 + ["test"] * 50))
    return evaluate(oracle(samples), samples, predicted_kind="metric")


def with_scores(found, **columns):
    table = found.scores
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(np.asarray(values, float)))
    return type(found)(**{**vars(found), "scores": table})


def every(found):
    return np.ones(found.scores.num_rows, bool)


def test_a_perfect_network_has_no_weakness(perfect):
    text = how_good(perfect, summarise(perfect), ALL)
    assert text.startswith("On 50 pictures of the split test, masks overlap the true ones by 100 % (mask IoU; an empty")
    assert "100 % of the depth is within a factor of 1.25 as it is, 100 % with scale and shift fitted, against" in text
    assert text.endswith(" % of flat ground.")
    assert weakness(perfect, ALL) == "No weakness stands out: in nine of ten pictures the mask IoU is above 1.00."


def test_a_test_split_of_few_pictures_is_no_headline_and_seen_pictures_are_counted(make_samples, oracle):
    samples = make_samples(12, splits=np.array(["train"] * 8 + ["test"] * 4))
    found = evaluate(oracle(samples), samples, predicted_kind="metric")
    text = how_good(found, summarise(found), every(found))
    assert text.startswith("On 12 pictures, 8 of them of the split train, masks")
    samples.splits = np.array(["test"] * 12)
    found = evaluate(oracle(samples), samples, predicted_kind="metric")
    assert how_good(found, summarise(found), every(found)).startswith("On 12 pictures of the split test, masks")


def test_depth_that_flat_ground_beats_is_called_that(perfect):
    found = with_scores(perfect, depth_delta1=np.full(60, 0.01))
    assert "1 % of the depth is within a factor of 1.25 as it is, 100 % with" in how_good(found, summarise(found), ALL)
    found = with_scores(perfect, fitted_delta1=np.full(60, 0.01))
    assert ", 1 % with scale and shift fitted; flat ground reaches " in how_good(found, summarise(found), every(found))


def test_the_alignment_is_stated(make_samples, oracle):
    samples = make_samples(3)
    found = evaluate(oracle(samples), samples, predicted_kind="scaled")
    text = how_good(found, summarise(found), every(found))
    assert "within a factor of 1.25 with its scale fitted, 100 % with scale and shift fitted," in text


def test_small_objects_that_are_worse_are_named(perfect):
    share = np.linspace(0.01, 0.6, 60)
    iou = np.repeat([0.4, 0.7, 0.9], 20)
    text = weakness(with_scores(perfect, object_share=share, mask_iou=iou), ALL)
    thirds = "mask IoU 0.40 where they cover at most 20 %, 0.90 in the third with the largest"
    assert text == f"It fails most at small objects ({thirds})."
    text = weakness(with_scores(perfect, object_share=share, mask_iou=iou[::-1]), ALL)
    assert "at large objects (mask IoU 0.90 where" in text


def test_missed_and_invented_objects_are_counted(perfect):
    share, iou = np.full(60, 0.1), np.ones(60)
    iou[:15], share[50:], iou[55:] = 0.05, 0.0, 0.0
    iou[50:55] = np.nan
    text = weakness(with_scores(perfect, object_share=share, mask_iou=iou), ALL)
    assert "pictures without an object (5 of 10: it sees one)" in text
    assert weakness(with_scores(perfect, object_share=share, mask_iou=iou), np.arange(60) < 5) == (
        "It fails most at objects that it does not see (5 of 5: IoU below 0.1)."
    )


def test_poor_depth_of_objects_is_named(perfect):
    text = weakness(with_scores(perfect, object_depth_delta1=np.full(60, 0.6)), ALL)
    assert text == "It fails most at the depth of objects (60 % within a factor of 1.25)."


def test_the_better_run_of_a_pair_is_named_only_where_pictures_tell(make_samples, oracle):
    samples = make_samples(30)
    good, bad = Run("good", oracle(samples), "metric"), Run("bad", oracle(samples, shift=3), "metric")
    first = how_they_differ(compare([good, bad], samples))
    assert first.startswith("A is better than B in mask IoU (1.000 against 0.") and "apart in delta < 1.25" in first
    assert "B is better than A in mask IoU (1.000 against 0." in how_they_differ(compare([bad, good], samples))
    assert "Too few pictures tell A and B apart" in how_they_differ(compare([good, bad], samples, limit=5))


def test_only_pictures_with_the_score_are_counted(make_samples, oracle):
    samples = make_samples(60, depth_encoding=None, splits=np.array(["train"] * 10 + ["test"] * 50))
    ignored = [replace(triple, ignore=np.ones((32, 40), bool)) for triple in samples.triples]
    samples.triples[11:] = ignored[11:]
    found = evaluate(oracle(samples), samples)
    text = how_good(found, summarise(found), every(found))
    assert text.startswith("On 11 pictures, 10 of them of the split train, masks overlap the true ones by 100 %")
    assert "without an object" not in weakness(found, every(found))
    samples.triples = ignored
    found = evaluate(oracle(samples), samples)
    assert how_good(found, summarise(found), every(found)) == "On 60 pictures, no score is defined."


def test_depth_of_other_pictures_than_the_masks_says_of_how_many(perfect):
    iou = np.where((np.arange(60) < 5) | (np.arange(60) > 50), 1.0, np.nan)
    found = with_scores(perfect, mask_iou=iou)
    text = how_good(found, summarise(found), ALL)
    assert (
        text.startswith("On 14 pictures, 5 of them of the split train, masks")
        and "100 % of the depth in 60 pictures is within" in text
    )


def test_depth_that_is_inside_out_is_told(make_samples, oracle):
    samples = make_samples(60, splits=np.array(["train"] * 10 + ["test"] * 50))
    predict = oracle(samples)

    def inside_out(images):
        return [found._replace(inverse_depth=1 - found.inverse_depth) for found in predict(images)]

    found = evaluate(inside_out, samples)
    assert how_good(found, summarise(found), ALL).endswith(" In 50 of 50 pictures near and far are swapped.")
    assert found.scores["depth_delta1"].to_numpy().mean() < 0.7


class Classes:
    """Bright boxes on black, each of one class, which the red channel numbers."""

    name, has_masks, depth_encoding, classes = "boxes", True, None, ("car", "person")
    has_instances = True

    def __init__(self, count=30):
        rng = np.random.default_rng(0)
        self.samples = []
        for number in range(count):
            class_map = np.zeros((32, 32), np.uint8)
            top, left = rng.integers(0, 20, 2)
            class_map[top : top + 8, left : left + 8] = 1 + number % 2
            image = np.repeat(class_map[:, :, None], 3, axis=2)
            self.samples.append(LabeledSample(image, 255 * (class_map > 0).astype(np.uint8), None, None, class_map))
        self.stems = self.splits = np.full(count, "", np.str_)

    def __len__(self):
        return len(self.samples)

    def read(self, position):
        return self.samples[position]


def seeing(*classes):
    """A network with perfect outlines that takes car and person for these numbers, 0 for nothing."""
    table = np.array([0, *classes], np.uint8)

    def predict(images):
        maps = [table[image[..., 0]] for image in images]
        return [Prediction((each > 0).astype(np.float32), np.zeros(each.shape, np.float32), each) for each in maps]

    return predict


def judged(predict):
    found = evaluate(predict, Classes(), trained_tasks=("mask",), classes=Classes.classes)
    return found, how_good(found, summarise(found), every(found)), weakness(found, every(found))


def test_a_network_that_confuses_classes_is_not_called_good():
    _, text, weak = judged(seeing(2, 2))
    assert text == (
        "On 30 pictures, masks overlap the true ones by 100 % (mask IoU; an empty mask: 0 %); those of its 2 classes "
        "by 25 % (mean class IoU)."
    )
    assert weak == "It takes car for person (100 % of its pixels)."
    _, text, weak = judged(seeing(1, 2))
    assert "those of its 2 classes by 100 % (mean class IoU)." in text
    assert weak == "No weakness stands out: in nine of ten pictures the class IoU is above 1.00."


def test_a_class_that_is_overlooked_is_named_beside_the_objects_that_are():
    _, _, weak = judged(seeing(1, 0))
    assert weak == (
        "It fails most at objects that it does not see (15 of 30: IoU below 0.1). It takes person for background "
        "(100 % of its pixels)."
    )
    _, _, weak = judged(seeing(0, 0))
    assert weak == "It fails most at objects that it does not see (30 of 30: IoU below 0.1)."


def test_the_worst_pictures_of_several_classes_show_the_wrong_class():
    found, _, _ = judged(seeing(2, 2))
    cars = list(range(0, 30, 2))
    assert [title for title, _ in headline_scores(found)] == ["class IoU", "mask IoU"]
    assert worst(found)[:15] == cars and not set(best(found)) & set(cars)


def test_runs_that_differ_in_classes_alone_are_told_apart():
    runs = [
        Run(name, seeing(*table), None, ("mask",), Classes.classes) for name, table in (("a", (1, 2)), ("b", (1, 1)))
    ]
    text = how_they_differ(compare(runs, Classes()))
    assert "A is better than B in mean class IoU (1.000 against 0.25" in text
    assert "A and B cannot be told apart in mask IoU (1.000 against 1.000)." in text
    text = how_they_differ(compare(runs[::-1], Classes()))
    assert "B is better than A in mean class IoU (1.000 against 0.25" in text
    assert "Too few pictures tell A and B apart in mean class IoU" in how_they_differ(compare(runs, Classes(), limit=6))


def test_a_run_with_depth_inside_out_is_named_in_a_comparison(make_samples, oracle):
    samples = make_samples(4)
    predict = oracle(samples)

    def inside_out(images):
        return [found._replace(inverse_depth=1 - found.inverse_depth) for found in predict(images)]

    comparison = compare([Run("right", predict), Run("wrong", inside_out)], samples)
    assert swapped_runs(comparison) == ["B: In 4 of 4 pictures near and far are swapped."]
