from pathlib import Path

import numpy as np
import pytest

from qumade.convert.importers.records import ClassIds
from qumade.convert.importers.street_classes import CLASSES, instances_of, street_classes
from qumade.errors import QumadeError

POLE, LIGHT, SIGN, PERSON, RIDER, MOTORCYCLE, BICYCLE = 17, 19, 20, 24, 25, 32, 33  # also 18, groups of poles


def test_the_ids_are_those_published() -> None:
    some = {"road": 7, "sidewalk": 8, "building": 11, "pole": 17, "vegetation": 21, "sky": 23, "person": 24, "car": 26}
    assert {name: CLASSES[name] for name in some} == {name: (number,) for name, number in some.items()}
    assert CLASSES["bicycle"] == (33,) and len(CLASSES) == 27


def test_label_ids() -> None:
    found = street_classes(["car", "truck"], Path("city"))
    assert found.chosen == {26, 27}
    assert found.unlabelled == {0, 1, 2, 3, 4, 5, 6, 255}
    assert found.in_front == {POLE, 18, LIGHT, SIGN, PERSON, RIDER, MOTORCYCLE, BICYCLE}


def test_train_ids() -> None:
    found = street_classes(["car", "person"], Path("city"), train_ids=True)
    assert found.chosen == {13, 11}
    assert 255 in found.unlabelled and not found.unlabelled & set(range(19))
    # pole, light, sign, person, rider, motorcycle, bicycle; there are no groups of poles
    assert found.in_front == {5, 6, 7, 11, 12, 17, 18}


@pytest.mark.parametrize(
    ("classes", "train_ids", "message"),
    [
        (["lorry"], False, r"Invalid --class: got 'lorry' for .*city; must be one of road, sidewalk, parking, "),
        (["car", "parking"], True, r"got 'parking' for .*city; must be one of road, "),  # not trained on
        (["unlabelled"], True, "got 'unlabelled'"),
        ([], False, "got none for"),
    ],
)
def test_unknown_classes_are_named(classes: list[str], train_ids: bool, message: str) -> None:
    with pytest.raises(QumadeError, match=message):
        street_classes(classes, Path("city"), train_ids=train_ids)


@pytest.mark.parametrize(
    ("each", "numbers"), [(1000, [26000, 26001, 27000, 25999, 26]), (256, [6656, 6657, 6912, 6655, 26])]
)
def test_instances_are_those_of_the_chosen_classes_without_groups(each: int, numbers: list[int]) -> None:
    car = ClassIds(frozenset({26}), frozenset())
    given = np.array([numbers], np.int32)
    no_groups, groups = np.zeros(given.shape, bool), np.array([[True, False, False, False, False]])
    found = instances_of(given, each, car, no_groups)
    assert found.dtype == np.int32 and found.tolist() == [[*numbers[:2], 0, 0, 0]]
    assert instances_of(given, each, car, groups).tolist() == [[0, numbers[1], 0, 0, 0]]
    assert given.tolist() == [numbers]
