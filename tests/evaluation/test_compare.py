import json
import re
from pathlib import Path

import numpy as np
import pytest

from qumade.depth.encoding import DepthEncoding
from qumade.errors import QumadeError
from qumade.evaluation.compare import (
    Run,
    compare,
    comparison_as_json,
    draw_wins,
    format_comparison,
    format_interval,
    letter,
    unique_names,
    wins,
)
from qumade.evaluation.summary import ScoreName
from qumade.metrics.bootstrap import Interval
from qumade.prediction.predictor import Prediction

AFFINE = DepthEncoding(kind="affine", code="inverse", bits=8, range=(0.0, 1.0))


@pytest.fixture
def runs(make_samples, oracle):
    samples = make_samples(24, empty=2)
    good, bad = oracle(samples), oracle(samples, shift=4)
    return samples, [Run("good", good, "metric"), Run("bad", bad, "metric")]


def test_differences_are_those_of_the_means(runs):
    samples, networks = runs
    found = compare(networks, samples)
    good, bad = found.groups
    interval = found.differences[0]["mask_iou"]
    assert interval.value == pytest.approx(good.means["mask_iou"] - bad.means["mask_iou"])
    assert 0 < interval.low < interval.value < interval.high and interval.pictures == 22
    assert found.differences[0]["depth_delta1"].value == 0
    few = compare(networks, samples, limit=19)
    assert few.differences[0]["mask_iou"].low is None and few.groups[0].pictures == 19
    assert compare(networks, samples, min_object_share=0.01).groups[0].pictures == 22


@pytest.mark.parametrize(
    ("kinds", "alignment"),
    [(("metric", "metric"), "none"), (("metric", "scaled"), "scale"), ((None, "metric"), "scale and shift")],
)
def test_all_runs_are_aligned_as_the_weakest_needs(runs, kinds, alignment):
    samples, networks = runs
    named = [Run(run.name, run.predict, kind) for run, kind in zip(networks, kinds, strict=True)]
    found = compare(named, samples, limit=3)
    assert {evaluation.alignment for evaluation in found.evaluations} == {alignment}


def test_only_tasks_that_all_were_trained_on_are_compared(runs):
    samples, (good, bad) = runs
    masks_only = Run("masks", good.predict, None, ("mask",))
    found = compare([masks_only, bad], samples)
    assert all(evaluation.has_masks and not evaluation.has_depth for evaluation in found.evaluations)
    assert found.differences[0]["mask_iou"].value > 0 and "delta" not in format_comparison([masks_only, bad], [found])
    assert "Depth is not evaluated: one of the networks was trained on masks only." in format_comparison(
        [masks_only, bad], [found]
    )
    with pytest.raises(QumadeError, match="must share a task"):
        compare([masks_only, Run("depth", good.predict, "metric", ("depth",))], samples)


def test_where_which_one_wins(runs):
    samples, networks = runs
    found = compare(networks, samples)
    ahead = wins(found, 0, 1)
    leads = [lead for _, lead in ahead]
    assert len(ahead) == 8 and leads == sorted(leads, reverse=True) and leads[-1] > 0
    assert not {0, 1} & {row for row, _ in ahead} and wins(found, 1, 0) == [] and wins(found, 0, 1, score=1) == []
    rows = draw_wins(found, networks, samples, (0, 1), [row for row, _ in ahead])
    titles = [panel.title for panel in rows[0].panels]
    assert titles == ["image", "true mask", "A's mask", "B's mask", "true depth", "A's depth", "B's depth"]
    assert rows[0].caption.startswith(f"sample {ahead[0][0]} · mask IoU: A 1.000, B 0.")


def test_who_sees_nothing_where_nothing_is_wins_over_a_false_alarm(runs):
    samples, networks = runs

    def alarmed(images):
        return [Prediction(np.ones((32, 40), np.float32), np.ones((32, 40), np.float32)) for _ in images]

    found = compare([networks[0], Run("alarmed", alarmed, "metric")], samples)
    assert {0, 1} <= {row for row, _ in wins(found, 0, 1, count=2)}
    assert found.differences[0]["mask_iou"].value == pytest.approx(
        1 - np.mean([0, 0, *[80 / 1280] * 22])
    )  # empty pictures count for the one that finds something there


def test_json_and_text(runs):
    samples, networks = runs
    found = [compare(networks, samples), compare(networks, samples, limit=4)]
    told = json.loads(json.dumps(comparison_as_json(networks, found), allow_nan=False))
    assert told["runs"] == {"A": "good", "B": "bad"} and len(told["datasets"]) == 2
    first = told["datasets"][0]
    (difference,) = first["differences"]
    assert (difference["first"], difference["second"]) == ("A", "B")
    means = [first["runs"][name]["means"]["mask_iou"] for name in "AB"]
    assert difference["scores"]["mask_iou"]["value"] == pytest.approx(means[0] - means[1])
    assert told["datasets"][1]["differences"][0]["scores"]["mask_iou"]["low"] is None
    text = format_comparison(networks, found)
    assert "A  good" in text and "24 pictures" in text and " to +" in text


def test_no_two_columns_touch(runs, monkeypatch):
    samples, networks = runs
    long = f"known depth {'delta of a very long name ' * 3}".strip()
    names = [ScoreName("mask_iou", "mask", "IoU", True), ScoreName("depth_delta1", "known depth", long[12:], True)]
    monkeypatch.setattr("qumade.evaluation.compare.score_names", lambda _: names)
    found = compare(networks, samples)
    wide = Interval(-1.234e-05, -5.678e-05, -1.234e-05, 24)
    found.differences[0]["mask_iou"] = wide
    lines = format_comparison(networks, [found]).splitlines()
    table = [re.split(r" {2,}", line.strip()) for line in lines[-3:]]
    assert format_interval(wide) == "-1.23e-05 (-5.68e-05 to -1.23e-05)"
    assert table == [
        ["A", "B", "A - B"],
        ["mask IoU", "1.000", f"{found.groups[1].means['mask_iou']:.3f}", format_interval(wide)],
        [long, "1.000", "1.000", format_interval(found.differences[0]["depth_delta1"])],
    ]
    assert len({len(line) for line in lines[-3:]}) == 1  # they end together


def test_three_runs_are_compared_with_the_first(runs):
    samples, networks = runs
    found = compare([*networks, networks[0]], samples, limit=4)
    assert len(found.differences) == 2 and found.differences[1]["mask_iou"].value == 0
    assert [letter(n) for n in (0, 1, 25, 26)] == ["A", "B", "Z", "A26"]


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["a", "b", "c"], ["a", "b", "c"]),
        (["data", "b", "data"], ["/one/data", "b", "/two/data"]),
        (["data\udcff"], ["data?"]),
    ],
)
def test_equal_names_are_distinguished_by_paths(names, wanted):
    paths = [Path(folder, name) for folder, name in zip(("/one", "/", "/two"), names, strict=False)]
    assert unique_names(names, paths) == wanted


def test_a_share_that_is_none_is_refused_before_predicting(runs):
    samples, networks = runs
    for share in (5, float("nan")):
        with pytest.raises(QumadeError, match="must be from 0 to 1"):
            compare(networks, samples, min_object_share=share)
    assert networks[0].predict.pictures == 0


def test_one_run_cannot_be_compared(runs):
    samples, networks = runs
    with pytest.raises(QumadeError, match="got 1 runs"):
        compare(networks[:1], samples)
