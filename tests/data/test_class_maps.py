import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qumade.data.class_maps import class_map_of, class_numbers_of
from qumade.data.dataset import known_classes
from qumade.data.folder import FolderDataset
from qumade.data.synthetic import SyntheticDataset
from qumade.errors import DatasetError
from qumade.recipe import Recipe
from qumade.synth.synthesizer import Synthesizer


def test_a_folder_and_its_recipe_say_the_same_class_of_each_pixel(two_class_dataset: Path, two_classes: Recipe) -> None:
    dataset, drawn = FolderDataset(two_class_dataset), SyntheticDataset(two_classes, limit=60)
    synthesizer = Synthesizer.from_recipe(two_classes)
    assert known_classes(dataset) == known_classes(drawn) == ("car", "person")
    rows = pq.read_table(two_class_dataset / "manifest.parquet").to_pylist()
    seen = set()
    for position, row in enumerate(rows):
        owner = synthesizer[row["index"]].owner
        expected = np.zeros_like(owner)
        for number, thing in enumerate(row["objects"], 1):
            expected[owner == number] = 1 if thing["foreground"].startswith("car/") else 2
        np.testing.assert_array_equal(dataset.read(position).class_map, expected)
        np.testing.assert_array_equal(drawn.read(position).class_map, expected)
        seen |= set(np.unique(expected).tolist())
    assert seen == {0, 1, 2}


def test_a_selection_reads_its_own_classes(two_class_dataset: Path) -> None:
    dataset = FolderDataset(two_class_dataset)
    dataset.read(0)
    taken = dataset.take(np.array([7, 19]))
    for own, whole in ((0, 7), (1, 19)):
        np.testing.assert_array_equal(taken.read(own).class_map, dataset.read(whole).class_map)


def test_one_class_has_no_class_map(two_class_dataset: Path, tmp_path: Path) -> None:
    copy = tmp_path / "one"
    shutil.copytree(two_class_dataset, copy)
    text = (copy / "dataset.yaml").read_text()
    (copy / "dataset.yaml").write_text(text.replace("classes: [car, person]", "classes: [car]"))
    dataset = FolderDataset(copy)
    assert dataset.classes == ("car",) and known_classes(dataset) == ()
    assert dataset.read(0).class_map is None


def test_an_object_that_the_manifest_does_not_list_is_named(two_class_dataset: Path, tmp_path: Path) -> None:
    copy = tmp_path / "damaged"
    shutil.copytree(two_class_dataset, copy)
    table = pq.read_table(copy / "manifest.parquet")
    rows = table.to_pylist()
    rows[4]["objects"] = []
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), copy / "manifest.parquet")
    dataset = FolderDataset(copy)
    with pytest.raises(DatasetError, match=r"got number \d in .*/instances/.*; must be at most 0") as caught:
        dataset.read(4)
    assert str(dataset.path("instances", 4)) in str(caught.value)
    assert dataset.read(5).class_map is not None


def test_a_class_that_the_dataset_does_not_list_is_named(two_class_dataset: Path, tmp_path: Path) -> None:
    copy = tmp_path / "other"
    shutil.copytree(two_class_dataset, copy)
    text = (copy / "dataset.yaml").read_text()
    (copy / "dataset.yaml").write_text(text.replace("classes: [car, person]", "classes: [car, dog]"))
    with pytest.raises(DatasetError, match=r"got 'person' in .*/manifest.parquet; must list objects"):
        FolderDataset(copy).read(0)


def test_classes_without_maps_are_refused_with_the_way_to_make_them(two_class_dataset: Path) -> None:
    dataset = FolderDataset(two_class_dataset)
    dataset.suffixes = {name: values for name, values in dataset.suffixes.items() if name != "instances"}
    with pytest.raises(
        DatasetError, match=r"got classes car, person without instances/ .* `qumade generate --instances`"
    ):
        known_classes(dataset)


def test_numbers_and_names() -> None:
    owner = np.array([[0, 1], [2, 3]], np.uint16)
    np.testing.assert_array_equal(class_map_of(owner, np.array([4, 0, 253])), [[0, 5], [1, 254]])
    np.testing.assert_array_equal(class_map_of(np.zeros((1, 2), np.uint8), np.array([], np.int32)), [[0, 0]])
    objects = pa.StructArray.from_arrays([pa.array(["b", "a", "b"])], ["class"])
    np.testing.assert_array_equal(class_numbers_of(objects, ("a", "b"), Path("m")), [1, 0, 1])
    unnamed = pa.StructArray.from_arrays([pa.array([None, None], pa.string())], ["class"])
    np.testing.assert_array_equal(class_numbers_of(unnamed, (), Path("m")), [0, 0])
    with pytest.raises(DatasetError, match="got None in m"):
        class_numbers_of(unnamed, ("a",), Path("m"))
