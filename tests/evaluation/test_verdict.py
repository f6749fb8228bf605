import numpy as np
import pyarrow as pa
import pytest

from qumade.evaluation.compare import Run, compare
from qumade.evaluation.evaluation import evaluate
from qumade.evaluation.summary import summarise
from qumade.evaluation.verdict import how_good, how_they_differ, weakness

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
