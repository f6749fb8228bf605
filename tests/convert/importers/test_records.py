from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qumade.convert.importers.records import (
    ClassIds,
    Labels,
    Record,
    choose_classes,
    labels_of_ids,
    left_out,
    pictures_by_stem,
    unique_stems,
)
from qumade.errors import QumadeError


def record(stem: str, split: str = "") -> Record:
    return Record(stem, split, Path(f"{split}/{stem}.jpg"), f"{split}/{stem}.jpg", lambda shape: Labels())


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["train", "val"])), unique=True))
def test_stems_become_unique_and_unique_ones_stay(names: list[tuple[str, str]]) -> None:
    stems = [each.stem for each in unique_stems(record(*name) for name in names)]
    assert len(set(stems)) == len(names)
    if len({stem for stem, _ in names}) == len(names):
        assert stems == [stem for stem, _ in names]


def test_the_same_stem_twice_in_a_split_is_refused() -> None:
    with pytest.raises(QumadeError, match=r"got train/a.jpg and train/a.jpg of the stem 'train_a'"):
        unique_stems([record("a", "train"), record("a", "train")])


def test_a_name_that_is_not_utf_8_is_refused_on_one_line() -> None:
    with pytest.raises(QumadeError, match=r"train/a\\udcff.jpg, which is not UTF-8") as caught:
        unique_stems([record("b", "train"), record("a\udcff", "train")])
    assert str(caught.value).isprintable()


def test_two_files_with_the_same_stem_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        Image.new("RGB", (2, 2)).save(tmp_path / name)
    with pytest.raises(QumadeError, match=r"a.jpg and a.png; must be one file per stem"):
        pictures_by_stem(tmp_path)


def test_other_files_are_skipped(tmp_path: Path) -> None:
    for name in ("._a.png", "readme.txt", "b.PNG"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "c.png").mkdir()
    assert list(pictures_by_stem(tmp_path)) == ["b"]
    assert pictures_by_stem(tmp_path / "nowhere") == {}


def test_classes_must_exist() -> None:
    table = {"road": (0,), "car": (13, 14), "nothing": ()}
    assert choose_classes(table, ["car", "road"], Path("x")) == {0, 13, 14}
    for names in (["nothing"], ["Car"], []):
        with pytest.raises(QumadeError, match="must be one of road, car"):
            choose_classes(table, names, Path("x"))


def test_chosen_classes_are_not_in_front() -> None:
    ids = np.array([[0, 1, 2, 3]])
    labels = labels_of_ids(ids, ClassIds(frozenset({1}), frozenset({3}), frozenset({0, 1})), Path("x"))
    assert labels.mask is not None and labels.mask.tolist() == [[0, 255, 0, 0]]
    assert labels.in_front is not None and labels.in_front.tolist() == [[1, 0, 0, 0]]
    assert labels.ignore is not None and labels.ignore.tolist() == [[False, False, False, True]]


def test_ids_that_the_table_does_not_name_are_refused(tmp_path: Path) -> None:
    ids = np.full((40, 60), 7)
    ids[:10], ids[10:15], ids[0, 0] = 23, 26, 255
    classes = ClassIds(frozenset({13}), frozenset(), named=frozenset(range(19)), table="the table 'cityscapes'")
    wanted = r"got ids 23 \(25.0%\), 26 \(12.5%\) in .*a.png; must be ids that the table 'cityscapes' names; tables"
    with pytest.raises(QumadeError, match=wanted) as caught:
        labels_of_ids(ids, classes, tmp_path / "a.png")
    assert "cityscapes_ids" in str(caught.value)
    ids[:15] = 7
    ids[0, 0] = 99
    assert labels_of_ids(ids, classes, tmp_path / "a.png").mask is not None  # a few pixels are noise


def test_names_that_differ_in_their_unicode_form_are_equal(tmp_path: Path) -> None:
    for name in ("stra\u00dfe_ko\u0308ln.png", "u\u0308.PNG"):
        Image.new("RGB", (2, 2)).save(tmp_path / name)
    assert list(pictures_by_stem(tmp_path)) == ["stra\u00dfe_k\u00f6ln", "\u00fc"]
    Image.new("RGB", (2, 2)).save(tmp_path / "\u00fc.jpg")
    with pytest.raises(QumadeError, match="must be one file per stem"):
        pictures_by_stem(tmp_path)


def test_what_is_left_out_is_counted_and_named(tmp_path: Path) -> None:
    for name in ("a.png", "b.txt", "c.heif", "Thumbs.db", ".x"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "@eaDir").mkdir()
    (tmp_path / "night").mkdir()
    assert left_out(tmp_path, [tmp_path / "a.png"], "no images") == [
        f"3 entries of {tmp_path} are left out, no images: b.txt, c.heif, night/"
    ]
    assert left_out(tmp_path / "nowhere", [], "no images") == []


def test_an_image_in_two_splits_is_refused() -> None:
    one, other = (Record("a", split, Path("a.jpg"), "images/a.jpg", lambda shape: Labels()) for split in ("train", ""))
    with pytest.raises(QumadeError, match=r"got the image images/a\.jpg in the splits train and without a name"):
        unique_stems([one, other])


def test_a_class_that_is_given_twice_is_refused() -> None:
    with pytest.raises(QumadeError, match="Invalid --class: got 'car' twice; must be given once"):
        choose_classes({"car": (1,), "bus": (2,)}, ["car", "bus", "car"], Path("x"))
