from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qumade.convert.cutout_folders import records_of_dataset, write_cutouts
from qumade.convert.cutouts import Rules
from qumade.convert.object_records import records_of_objects
from qumade.data.folder import FolderDataset
from qumade.data.objects import read_objects
from qumade.errors import ConfigError


def test_cutouts_of_all_classes_go_into_sub_folders(two_class_dataset: Path, tmp_path: Path) -> None:
    dataset = FolderDataset(two_class_dataset)
    rules = Rules(min_side_px=4, min_area_px=16, max_hidden=1.0)
    records = records_of_dataset(dataset)
    summary = write_cutouts(
        records, tmp_path / "fg", splits=set(dataset.splits.tolist()), rules=rules, workers=1, progress=False,
        classes=("car", "person"),
    )  # fmt: skip
    found = {name: len(list((tmp_path / "fg" / name).iterdir())) for name in ("car", "person")}
    assert summary.classes == found and summary.kept == sum(found.values()) and min(found.values()) > 5
    for path in (tmp_path / "fg" / "person").iterdir():
        assert Image.open(path).mode == "RGBA"


def test_other_classes_may_be_in_front(two_class_dataset: Path) -> None:
    dataset = FolderDataset(two_class_dataset)
    objects = read_objects(dataset)
    for position, record in enumerate(records_of_objects(dataset, ["person"])[:12]):
        labels = record.read_labels((36, 48))
        numbers = dataset.read_instances(position)
        persons = np.flatnonzero(objects.class_number[objects.of(position)] == 1) + 1
        np.testing.assert_array_equal(labels.mask == 255, np.isin(numbers, persons))
        np.testing.assert_array_equal(labels.in_front > 0, (numbers > 0) & ~np.isin(numbers, persons))
        assert set(labels.object_classes) == set(persons.tolist())


def test_an_unknown_class_is_refused(two_class_dataset: Path) -> None:
    with pytest.raises(ConfigError, match=r"got 'bus' for .*; must be one of car, person"):
        records_of_objects(FolderDataset(two_class_dataset), ["bus"])
