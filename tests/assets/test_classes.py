from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.classes import write_cutout
from qumade.assets.classes import class_folders, class_names, class_of, cutout_names, sub_folders
from qumade.errors import ConfigError
from qumade.recipe import Recipe


@pytest.fixture
def foregrounds(tmp_path: Path) -> Path:
    for name in ("van/b.png", "car/a.png", "car/.hidden.png", "car/deeper/c.png", ".cache/x.png"):
        write_cutout(tmp_path / name, 0)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_sub_folders_with_pictures_are_classes_of_a_folder_without(foregrounds: Path) -> None:
    assert class_folders(foregrounds) == ("car", "van")
    assert cutout_names(foregrounds) == ["car/a.png", "van/b.png"]


def test_beside_pictures_sub_folders_are_not_read(foregrounds: Path) -> None:
    write_cutout(foregrounds / "own.png", 1)
    assert class_folders(foregrounds) == ()
    assert cutout_names(foregrounds) == ["own.png"]
    assert [path.name for path in sub_folders(foregrounds)] == ["car", "van"]


def test_a_sub_folder_that_cannot_name_a_class_is_refused(foregrounds: Path) -> None:
    write_cutout(foregrounds / "a:b" / "c.png", 1)
    with pytest.raises(ConfigError, match=r"sub-folder .*a:b; must be named by letters"):
        class_folders(foregrounds)


def test_patterns_come_before_sub_folders(foregrounds: Path, make_recipe: Callable[..., Recipe]) -> None:
    recipe = make_recipe(foregrounds=foregrounds, classes={"van/*": "car"})
    assert class_of(recipe, "van/b.png") == class_of(recipe, "car/a.png") == "car"
    assert class_names(recipe) == ("car",)


def test_one_name_is_the_class_of_all(foregrounds: Path, make_recipe: Callable[..., Recipe]) -> None:
    assert class_names(make_recipe(foregrounds=foregrounds / "car", classes="truck")) == ("truck",)
    assert class_names(make_recipe(foregrounds=foregrounds / "car")) == ()


def test_a_cutout_without_a_class_beside_others_is_refused(
    foregrounds: Path, make_recipe: Callable[..., Recipe]
) -> None:
    write_cutout(foregrounds / "car" / "z.png", 1)
    with pytest.raises(ConfigError, match=r"got none for .*z\.png; must match every cut-out"):
        class_names(make_recipe(foregrounds=foregrounds / "car", classes={"a*": "car"}))


def test_too_many_classes_are_refused(tmp_path: Path, make_recipe: Callable[..., Recipe]) -> None:
    for number in range(255):
        (tmp_path / f"{number}.png").touch()
    table = {f"{number}.png": f"class {number}" for number in range(255)}
    with pytest.raises(ConfigError, match="got 255; must be at most 254"):
        class_names(make_recipe(foregrounds=tmp_path, classes=table))
