import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from qumade.convert.cutout_folders import records_of_dataset, write_cutouts
from qumade.convert.cutouts import Rules
from qumade.convert.object_records import records_of_objects
from qumade.data.folder import FolderDataset
from qumade.data.manifest import read_manifest
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


def test_a_photo_with_a_crowd_of_a_class_is_no_background(two_class_dataset: Path, tmp_path: Path) -> None:
    """An import of two classes says in its manifest that ignored pixels may be of a class; unknown means that, too."""
    root = tmp_path / "imported"
    shutil.copytree(two_class_dataset, root)
    dataset = FolderDataset(root)
    metadata = yaml.safe_load((root / "dataset.yaml").read_text())
    (root / "dataset.yaml").write_text(yaml.safe_dump(metadata | {"import": {"dataset": "coco"}}))
    flags = [n % 3 == 0 or (None if n % 3 == 1 else False) for n in range(len(dataset))]
    table = pa.concat_tables(read_manifest(root / "manifest.parquet"))
    pq.write_table(table.append_column("uncertain", pa.array(flags, pa.bool_())), root / "manifest.parquet")
    stems = dict(zip(table["stem"].to_pylist(), flags, strict=True))
    for record in records_of_dataset(FolderDataset(root)):
        assert record.uncertain == (stems[record.stem] is not False)
