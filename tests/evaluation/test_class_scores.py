from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from qumade.data.class_maps import class_map_of
from qumade.data.folder import FolderDataset
from qumade.errors import ConfigError, DatasetError
from qumade.evaluation.class_scores import (
    MEAN,
    class_groups,
    class_lines,
    classes_as_json,
    format_classes,
    unknown_classes,
)
from qumade.evaluation.compare import Run, compare, comparison_as_json, format_comparison
from qumade.evaluation.evaluation import Evaluation, evaluate, write_scores
from qumade.evaluation.summary import selected, summarise
from qumade.prediction.predictor import Prediction

CLASSES = ("car", "person")


class Knowing:
    """Predicts the truth of a dataset, but takes each person for what `person` says: 0 nothing, 1 a car, 2 a person."""

    def __init__(self, dataset: FolderDataset, person: int, order: tuple[str, ...] = CLASSES) -> None:
        self.order = order
        table = np.array([0, 1, person], np.uint8)
        if order != CLASSES:
            table = np.array([0, 2, 1], np.uint8)[table]
        self.answers = {}
        for position in range(len(dataset)):
            sample = dataset.read(position)
            self.answers[sample.image.tobytes()] = table[sample.class_map]

    def __call__(self, images: Any) -> list[Prediction]:
        found = [self.answers[image.tobytes()] for image in images]
        return [Prediction((each > 0).astype(np.float32), np.zeros(each.shape, np.float32), each) for each in found]


@pytest.fixture(scope="module")
def dataset(two_class_dataset: Path) -> FolderDataset:
    return FolderDataset(two_class_dataset)


def evaluated(dataset: FolderDataset, person: int, **more: Any) -> Evaluation:
    return evaluate(Knowing(dataset, person), dataset, trained_tasks=("mask",), classes=CLASSES, **more)


def groups_of(evaluation: Evaluation) -> Any:
    return class_groups(evaluation, summarise(evaluation), selected(evaluation))


def test_confusions_are_of_the_pixels_of_each_picture(dataset: FolderDataset) -> None:
    evaluation = evaluated(dataset, person=1)
    assert evaluation.confusions is not None and evaluation.confusions.shape == (len(dataset), 3, 3)
    for position, confusion in enumerate(evaluation.confusions):
        class_map = dataset.read(position).class_map
        background, car, person = np.bincount(class_map.ravel(), minlength=3)
        np.testing.assert_array_equal(confusion, [[background, 0, 0], [0, car, 0], [0, person, 0]])
    # Of objects of any class. Coverage also counts soft edges that meet.
    assert evaluation.scores["mask_iou"].to_numpy().min() > 0.98


def test_the_table_has_the_iou_of_each_class_in_each_picture(dataset: FolderDataset, tmp_path: Path) -> None:
    write_scores(evaluated(dataset, person=1), tmp_path / "scores.parquet")
    table = pq.read_table(tmp_path / "scores.parquet")
    for position, (car_iou, person_iou) in enumerate(
        zip(*(table[f"iou_{name}"].to_pylist() for name in CLASSES), strict=True)
    ):
        _, car, person = np.bincount(dataset.read(position).class_map.ravel(), minlength=3)
        assert car_iou == (pytest.approx(car / (car + person)) if car else None)
        assert person_iou == (0 if person else None)


def test_groups_are_the_splits_and_their_iou_is_that_of_their_pixels(dataset: FolderDataset) -> None:
    evaluation = evaluated(dataset, person=1)
    groups = groups_of(evaluation)
    assert [group.name for group in groups][:2] == ["all", "train"] and len(groups) > 3
    np.testing.assert_array_equal(groups[0].confusion, sum(group.confusion for group in groups[1:]))
    car, person = groups[0].confusion.sum(1)[1:]
    assert groups[0].ious == {"car": car / (car + person), "person": 0.0, MEAN: car / (car + person) / 2}
    assert classes_as_json(groups)["classes"]["names"] == ["background", "car", "person"]
    assert classes_as_json(groups)["classes"]["groups"]["all"]["iou"]["person"] == 0.0
    perfect = groups_of(evaluated(dataset, person=2))
    assert perfect[0].ious == {"car": 1.0, "person": 1.0, MEAN: 1.0}
    assert "  person" in format_classes(perfect) and unknown_classes(perfect) == []


def test_a_class_that_no_picture_shows_is_unknown(dataset: FolderDataset) -> None:
    shows = [bool((dataset.read(position).class_map == 2).any()) for position in range(len(dataset))]
    without = np.flatnonzero(~np.array(shows))
    groups = groups_of(evaluated(dataset, person=2, positions=without))
    assert groups[0].ious == {"car": 1.0, "person": None, MEAN: 1.0}
    assert "No sample shows person: its IoU is unknown." in format_classes(groups)
    assert classes_as_json(groups)["classes"]["groups"]["all"]["iou"]["person"] is None


def test_one_class_has_no_such_scores(dataset: FolderDataset) -> None:
    evaluation = evaluate(Knowing(dataset, 2), dataset, trained_tasks=("mask",))
    groups = groups_of(evaluation)
    assert groups == [] and format_classes(groups) == "" and classes_as_json(groups) == {} and class_lines(groups) == []


def test_the_order_of_classes_in_the_dataset_does_not_matter(dataset: FolderDataset) -> None:
    turned = Knowing(dataset, 1, order=("person", "car"))
    evaluation = evaluate(turned, dataset, trained_tasks=("mask",), classes=("person", "car"))
    expected = evaluated(dataset, person=1)
    group = class_groups(evaluation, summarise(evaluation), selected(evaluation), CLASSES)[0]
    np.testing.assert_array_equal(group.confusion, groups_of(expected)[0].confusion)


@pytest.mark.parametrize("classes", [("car", "bus"), ("bus", "car", "person")])
def test_other_classes_are_refused(dataset: FolderDataset, classes: tuple[str, ...]) -> None:
    with pytest.raises(
        DatasetError, match=f"got car, person in dataset; must have the classes .* {', '.join(classes)}"
    ):
        evaluate(Knowing(dataset, 2), dataset, trained_tasks=("mask",), classes=classes)


def test_a_dataset_of_one_class_is_refused(make_samples: Any) -> None:
    samples = make_samples(2)
    samples.classes, samples.has_instances = (), False
    with pytest.raises(
        DatasetError, match="got one class in samples; must have the classes of the network, car, person"
    ):
        evaluate(lambda images: [], samples, trained_tasks=("mask",), classes=CLASSES)


def test_runs_are_compared_class_by_class_whatever_their_order(dataset: FolderDataset) -> None:
    runs = [
        Run("right", Knowing(dataset, 2), None, ("mask",), CLASSES),
        Run("wrong", Knowing(dataset, 1, ("person", "car")), None, ("mask",), ("person", "car")),
    ]
    comparison = compare(runs, dataset)
    car, person = groups_of(evaluated(dataset, 1))[0].confusion.sum(1)[1:]
    lines = dict(class_lines(comparison.classes))
    assert lines["car"] == [1.0, car / (car + person)] and lines["person"] == [1.0, 0.0]
    text = format_comparison(runs, [comparison])
    assert [line.split() for line in text.splitlines() if "IoU person" in line] == [
        ["class", "IoU", "person", "1.000", "0.000", "+1", "(+1", "to", "+1)"]
    ]
    found = comparison_as_json(runs, [comparison])["datasets"][0]["classes"]
    assert found["B"]["groups"]["all"]["iou"]["person"] == 0.0


def test_runs_of_different_classes_are_not_compared(dataset: FolderDataset) -> None:
    runs = [
        Run("several", Knowing(dataset, 2), None, ("mask",), CLASSES),
        Run("one", Knowing(dataset, 2), None, ("mask",)),
    ]
    with pytest.raises(
        ConfigError, match=r"got car, person of A \(several\) and one class of B \(one\); must be the same"
    ):
        compare(runs, dataset)


def test_class_maps_number_from_one() -> None:
    np.testing.assert_array_equal(class_map_of(np.array([[0, 1, 2]]), np.array([1, 0])), [[0, 2, 1]])
