from pathlib import Path

import numpy as np
import pytest

from qumade.convert.exporters.conversion import convert
from qumade.convert.importers import import_dataset
from qumade.convert.importers.objects import UNKNOWN, folders_of, numbered, painted
from qumade.convert.importers.records import Labels
from qumade.data.folder import FolderDataset
from qumade.data.objects import read_objects


@pytest.mark.parametrize("name", ["coco", "yolo", "voc"])
def test_what_is_exported_comes_back(two_class_dataset: Path, tmp_path: Path, name: str) -> None:
    """Pixels, classes and boxes of objects, images and splits are those of the dataset that was exported."""
    pytest.importorskip("pycocotools")
    convert(two_class_dataset, name, tmp_path / "out", workers=1, progress=False)
    given = {"classes": ("car", "person"), "workers": 1, "progress": False}
    import_dataset(name, tmp_path / "out", tmp_path / "back", **given)
    before, after = FolderDataset(two_class_dataset), FolderDataset(tmp_path / "back")
    assert after.stems.tolist() == before.stems.tolist()
    known = {"train", "val", "test"}  # the formats have no other splits
    assert after.splits.tolist() == [split if split in known else "" for split in before.splits.tolist()]
    there, back = read_objects(before), read_objects(after)
    assert after.classes == ("car", "person")
    np.testing.assert_array_equal(back.class_number, there.class_number)
    np.testing.assert_array_equal(back.visible_box, there.visible_box)
    np.testing.assert_array_equal(back.start, there.start)
    for position in range(0, len(before), 5):
        np.testing.assert_array_equal(after.read_instances(position), before.read_instances(position))
        assert after.path("images", position).read_bytes() == before.path("images", position).read_bytes()
        np.testing.assert_array_equal(after.read_mask(position) == 255, before.read_instances(position) > 0)
    assert import_dataset(name, tmp_path / "out", tmp_path / "back", **given).written == 0


def test_an_interrupted_import_is_finished_with_its_objects(two_class_dataset: Path, tmp_path: Path) -> None:
    convert(two_class_dataset, "voc", tmp_path / "out", workers=1, progress=False)
    given = {"classes": ("person", "car"), "workers": 1, "progress": False}
    import_dataset("voc", tmp_path / "out", tmp_path / "back", **given)
    whole = read_objects(FolderDataset(tmp_path / "back"))
    description = tmp_path / "back" / "dataset.yaml"
    description.write_text(description.read_text().replace("complete: true", "complete: false"))
    (tmp_path / "back" / "manifest.parquet").unlink()
    sorted((tmp_path / "back" / "images").iterdir())[3].unlink()
    assert import_dataset("voc", tmp_path / "out", tmp_path / "back", **given).written == 1
    again = read_objects(FolderDataset(tmp_path / "back"))
    assert again.classes == ("person", "car")
    np.testing.assert_array_equal(again.class_number, whole.class_number)
    np.testing.assert_array_equal(again.visible_box, whole.visible_box)


def test_later_objects_cover_earlier_ones() -> None:
    rows, columns = np.mgrid[:4, :6]
    first, second, other = columns < 3, (columns >= 1) & (columns < 4), columns == 5
    labels = painted((4, 6), [(0, first), (1, second), (None, other)], rows == 0)
    numbers, objects = numbered(labels)
    assert numbers[1].tolist() == [1, 2, 2, 2, 0, 0]
    assert objects.rows(("car", "person")) == [
        {"class": "car", "visible_left": 0, "visible_top": 0, "visible_width": 1, "visible_height": 4},
        {"class": "person", "visible_left": 1, "visible_top": 0, "visible_width": 3, "visible_height": 4},
    ]
    assert labels.in_front is not None and labels.in_front[0].tolist() == [0, 0, 0, 0, 0, 3]
    assert labels.ignore is not None and labels.ignore[0].tolist() == [False, False, False, False, True, True]


def test_a_covered_object_is_left_out_and_numbers_have_no_gap() -> None:
    labels = Labels(instances=np.array([[7, 3], [3, 7]], np.int32), object_classes={3: 1, 5: 0, 7: 0})
    numbers, objects = numbered(labels)
    assert numbers.tolist() == [[2, 1], [1, 2]]
    assert objects.class_number.tolist() == [1, 0]


def test_one_class_has_no_instances() -> None:
    assert folders_of(("car",)) == ("masks", "ignore")
    assert folders_of(("car", "van")) == ("masks", "ignore", "instances")


def test_what_is_unknown_covers_and_is_covered() -> None:
    def columns(*numbers: int) -> np.ndarray:
        return np.isin(np.arange(6), numbers)[None]

    drawn = [(0, columns(0, 1)), (UNKNOWN, columns(1, 2, 3)), (None, columns(3)), (1, columns(4))]
    labels = painted((1, 6), drawn, columns(4, 5))
    assert labels.mask.tolist() == [[255, 0, 0, 0, 255, 0]]
    assert labels.ignore.tolist() == [[False, True, True, False, False, True]]
    assert labels.in_front.tolist() == [[0, 0, 0, 3, 0, 0]]
    assert labels.object_classes == {1: 0, 4: 1}
