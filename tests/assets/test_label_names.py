from pathlib import Path

import numpy as np
import pytest

from qumade.assets.label_names import (
    LABEL_TABLES,
    fitting_tables,
    label_table,
    means_unknown,
    named_ids,
    read_label_table,
    resolve_ids,
    table_of_names,
    unnamed_ids,
)
from qumade.errors import QumadeError


@pytest.mark.parametrize(
    ("table", "name", "ids"),
    [
        ("cityscapes", "road", {0}),
        ("cityscapes", "sky", {10}),
        ("cityscapes", "car", {13}),
        ("cityscapes", "bicycle", {18}),
        ("cityscapes", "unlabelled", {19, 255}),
        ("ade20k", "wall", {0}),
        ("ade20k", "road", {6}),
        ("ade20k", "car", {20}),
        ("ade20k", "flag", {149}),
        ("ade20k", "terrain", {9, 13, 29, 94, 46, 91}),
        ("ade20k_from_1", "car", {21}),
        ("ade20k_from_1", "unlabelled", {0}),
        ("cityscapes_ids", "car", {26}),
        ("cityscapes_ids", "unlabelled", set(range(7))),
        ("cityscapes_ids", "bicycle", {33}),
        ("camvid_32", "car", {5}),
        ("camvid_32", "sky", {21}),
        ("camvid_32", "wall", {31}),
        ("camvid_32", "road", {10, 17}),
        ("camvid", "sky", {0}),
        ("camvid", "car", {8}),
        ("camvid", "sidewalk", {4}),
        ("camvid", "terrain", set()),
        ("camvid", "unlabelled", {11}),
    ],
)
def test_built_in_names(table: str, name: str, ids: set[int]) -> None:
    assert resolve_ids(label_table(table), [name]) == ids


@pytest.mark.parametrize(
    ("table", "classes"),
    [
        ("cityscapes", 19),
        ("cityscapes_ids", 34),
        ("ade20k", 150),
        ("ade20k_from_1", 151),
        ("camvid", 12),
        ("camvid_32", 32),
    ],
)
def test_built_in_tables_are_complete_and_speak_one_language(table: str, classes: int) -> None:
    names = LABEL_TABLES[table]
    assert {i for ids in names.values() for i in ids} >= set(range(classes))
    resolve_ids(names, ["road", "sidewalk", "terrain", "vegetation", "building", "person", "car", "sky"])


def test_ids_of_one_name_are_kept_together() -> None:
    table = table_of_names({4: "road", 0: "road", 2: "car"})
    assert dict(table) == {"road": (0, 4), "car": (2,)}


@pytest.mark.parametrize("text", ["{0: road, 7: car, 9: road}", "0: road\n7: car\n9: road\n"])
def test_file_with_a_mapping(tmp_path: Path, text: str) -> None:
    (tmp_path / "names.yaml").write_text(text)
    assert dict(label_table(tmp_path / "names.yaml")) == {"road": (0, 9), "car": (7,)}


def test_file_with_a_list(tmp_path: Path) -> None:
    (tmp_path / "names.yaml").write_text("[road, ' car ']")
    assert dict(label_table(str(tmp_path / "names.yaml"))) == {"road": (0,), "car": (1,)}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"road",
        b"[]",
        b"{road: 0}",
        b"{-1: road}",
        b"{true: road}",
        b"{0: 5}",
        b"{0: ''}",
        b"{0: no}",
        b"[road, [car]]",
        b"{0: road",
        b"!!python/object/apply:os.system [echo]",
        b"2001-99-99",
        b"[" * 50_000,
        b"\xff\xfe\x00",
        b"- road\n" * 200_000,
    ],
)
def test_file_that_is_no_table_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "names.yaml"
    file.write_bytes(content)
    with pytest.raises(QumadeError, match=r"names\.yaml") as caught:
        read_label_table(file)
    assert "\n" not in str(caught.value)


def test_unknown_table_is_refused() -> None:
    with pytest.raises(QumadeError, match="cityscapes, cityscapes_ids, ade20k, ade20k_from_1, camvid, camvid_32"):
        label_table("cityscape")


def test_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(QumadeError, match=r"got 'side walk' .did you mean 'sidewalk'"):
        resolve_ids(LABEL_TABLES["cityscapes"], ["road", "side walk"])
    with pytest.raises(QumadeError, match="must be one of road, sidewalk"):
        resolve_ids(LABEL_TABLES["cityscapes"], ["zzzzzz"])


def test_ids_without_a_name_and_the_tables_that_fit() -> None:
    ids = np.array([[0, 1, 2, 26], [26, 26, 33, 255]])
    assert unnamed_ids(ids, named_ids(LABEL_TABLES["cityscapes"])) == {26: 3 / 8, 33: 1 / 8}
    assert unnamed_ids(ids, named_ids(LABEL_TABLES["cityscapes_ids"])) == {}
    assert unnamed_ids(np.array([[-1, 70_000]]), {0}) == {-1: 0.5, 70_000: 0.5}
    assert fitting_tables([0, 26, 255])[0] == "camvid_32" and "cityscapes" not in fitting_tables([0, 26])
    assert fitting_tables([150]) == ["ade20k_from_1"] and fitting_tables([999]) == []


@pytest.mark.parametrize(
    "name",
    ["unlabelled", "Unlabeled", "void", "__ignore__", "ignored regions", "ignore-region", "DontCare", "don't care"],
)
def test_names_of_what_is_not_labelled(name: str) -> None:
    assert means_unknown(name)


@pytest.mark.parametrize("name", ["background", "none", "voids", "car", "care", "_background_", "unlabelled car"])
def test_names_of_what_is_labelled(name: str) -> None:
    assert not means_unknown(name)
