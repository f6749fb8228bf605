import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from qumade.depth.encoding import DepthEncoding
from qumade.errors import QumadeError
from qumade.evaluation.evaluation import evaluate
from qumade.evaluation.summary import (
    SPLIT_WORDS,
    SPLITS_NOTE,
    aligned,
    as_json,
    few_pictures,
    format_number,
    format_summary,
    how_evaluated,
    score_names,
    summarise,
    swapped_depth,
    told_pictures,
)

SPLITS = np.array(["test", "train", "seen background", "test", "train", ""])


@pytest.fixture
def evaluation(make_samples, oracle):
    samples = make_samples(6, empty=2, splits=SPLITS)
    return evaluate(oracle(samples, shift=2), samples, predicted_kind="metric")


def test_groups_are_all_pictures_and_each_split_there_is(evaluation):
    groups = summarise(evaluation)
    assert [group.name for group in groups] == ["all", "train", "test", "seen background"]
    assert [group.pictures for group in groups] == [6, 2, 2, 1]
    assert [group.no_object for group in groups] == [2, 1, 1, 0]
    iou = evaluation.scores["mask_iou"].to_numpy()
    assert groups[0].means["mask_iou"] == pytest.approx(np.nanmean(iou))
    assert groups[1].means["mask_iou"] == pytest.approx(iou[4]) and groups[1].counts["mask_iou"] == 1
    assert groups[2].means["mask_iou"] == pytest.approx(iou[3])


def test_small_objects_can_be_left_out(evaluation):
    groups = summarise(evaluation, 0.01)
    assert [group.name for group in groups] == ["all", "train", "test", "seen background"]
    assert groups[0].pictures == 4 and groups[0].no_object == 0 and groups[0].counts["depth_delta1"] == 4
    with pytest.raises(QumadeError, match=r"got 0\.5; must be at most 0\.0625"):
        summarise(evaluation, 0.5)
    with pytest.raises(QumadeError, match="from 0 to 1"):
        summarise(evaluation, 2)


def test_a_false_alarm_in_an_empty_picture_counts(make_samples, oracle):
    samples, busy = make_samples(3, empty=3), make_samples(3)
    predict = oracle(busy)
    predict.truth = {s.image.tobytes(): b for s, b in zip(samples.triples, busy.triples, strict=True)}
    (group,) = summarise(evaluate(predict, samples))
    assert group.no_object == 0 and group.means["mask_iou"] == 0


def test_text_has_every_score_and_states_how_depth_was_evaluated(evaluation):
    text = format_summary(evaluation, summarise(evaluation))
    assert all(name.title in text for name in score_names(evaluation))
    assert text.splitlines()[0].split() == ["all", "train", "test", "seen", "background", "trivial", "baseline,", "all"]
    assert "Alignment: none, as predicted. Clamp: depth from 0.001 m to 80 m." in text
    assert "RMSE (m)" in text


def test_splits_are_stated_to_be_the_dataset_s_own(evaluation, make_samples, oracle):
    assert SPLITS_NOTE in format_summary(evaluation, summarise(evaluation))
    assert not any("seen" in words for words in SPLIT_WORDS.values())  # nobody knows what the network was trained on
    samples = make_samples(2)
    without = evaluate(oracle(samples), samples)
    assert "Splits" not in format_summary(without, summarise(without))


def test_the_last_column_is_of_all_pictures(evaluation):
    groups = summarise(evaluation)
    line = next(line for line in format_summary(evaluation, groups).splitlines() if line.strip().startswith("AbsRel"))
    ends = [group.baselines["depth_abs_rel"] for group in groups]
    assert line.split()[-1] == format_number(ends[0]) and len({format_number(end) for end in ends}) > 1


@pytest.mark.parametrize(
    ("trained_tasks", "depth_there", "networks", "stated"),
    [
        (("mask",), True, 1, "Depth is not evaluated: the network was trained on masks only."),
        (("mask",), True, 2, "Depth is not evaluated: one of the networks was trained on masks only."),
        (("depth",), True, 1, "Masks are not evaluated: the network was trained on depth only. True depth is metric"),
        (("mask", "depth"), False, 1, "The dataset has no depth."),
    ],
)
def test_unevaluated_tasks_are_stated_with_the_reason(
    make_samples, oracle, trained_tasks, depth_there, networks, stated
):
    samples = make_samples(2, **({} if depth_there else {"depth_encoding": None}))
    found = evaluate(oracle(samples), samples, predicted_kind="metric", trained_tasks=trained_tasks)
    assert how_evaluated(found, networks).startswith(stated)


def test_only_metric_depth_is_stated_in_metres(make_samples, oracle):
    encoding = DepthEncoding(kind="scaled", code="inverse", bits=8, range=(0.0, 1.5))
    samples = make_samples(2, depth_encoding=encoding)
    found = evaluate(oracle(samples), samples, predicted_kind="metric")
    text = format_summary(found, summarise(found))
    assert " m " not in text and "(m)" not in text and "50 times" in how_evaluated(found)


def test_json_has_no_nan(evaluation):
    found = json.loads(json.dumps(as_json(evaluation, summarise(evaluation)), allow_nan=False))
    assert found["groups"]["test"]["no_object"] == 1 and found["clamp_depth"] == pytest.approx([0.001, 80])
    assert found["groups"]["all"]["trivial_baseline"]["mask_iou"] == 0
    assert set(found["groups"]["all"]["means"]) == {name.column for name in score_names(evaluation)}


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (float("nan"), "-"), (0.0, "0.000"), (0.12345, "0.123"), (1234.5, "1.23e+03"), (0.00012, "0.00012")],
)
def test_numbers(value, text):
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ([["", "A", "B"], ["mask IoU", "0.5", "12.25"]], ["            A      B", "mask IoU  0.5  12.25"]),
        ([["", "long head"], ["x", "1"], ["section", ""]], ["         long head", "x                1", "section"]),
        ([["alone"]], ["alone"]),
    ],
)
def test_columns_are_as_wide_as_their_longest_entries(rows, lines):
    assert aligned(rows) == lines


def test_pictures_without_a_score_are_no_pictures_behind_it(make_samples, oracle):
    samples = make_samples(60, depth_encoding=None)
    everything = np.ones((32, 40), bool)
    samples.triples[2:] = [replace(triple, ignore=everything) for triple in samples.triples[2:]]
    found = evaluate(oracle(samples), samples)
    groups = summarise(found)
    assert (groups[0].pictures, groups[0].no_object, groups[0].unknown, told_pictures(groups[0])) == (60, 0, 58, 2)
    assert few_pictures(groups).startswith("Few samples: 2 of all.")
    rows = [line.split("  ") for line in format_summary(found, groups).splitlines()]
    assert [row[-1].strip() for row in rows if row[0] == "mask unknown, left out"] == ["58"]
    assert as_json(found, groups)["groups"]["all"]["mask_unknown"] == 58


def test_swapped_depth_is_counted_in_every_group(evaluation):
    place = evaluation.scores.column_names.index("depth_swapped")
    scores = evaluation.scores.set_column(place, "depth_swapped", pa.array([1.0, 0, 0, 1, 0, None]))
    found = replace(evaluation, scores=scores)
    groups = summarise(found)
    assert [group.swapped for group in groups] == [2, 0, 2, 0]
    assert swapped_depth(groups[0]) == "In 2 of 6 pictures near and far are swapped." and swapped_depth(groups[1]) == ""
    assert "near and far swapped" in format_summary(found, groups)
    assert "near and far swapped" not in format_summary(evaluation, summarise(evaluation))
