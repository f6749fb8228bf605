import os

import pytest

from qumade.errors import ConfigError
from qumade.recipe import Recipe
from qumade.studio.opened import Opened, kind_of, open_path, shown_name, start_of


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "work" / "photos").mkdir(parents=True)
    (tmp_path / "work" / "cutouts").mkdir()
    (tmp_path / "work" / "recipe.yaml").write_text("backgrounds: photos\nforegrounds: cutouts\n")
    (tmp_path / "work" / "data" / "images").mkdir(parents=True)
    (tmp_path / "work" / "run" / "weights").mkdir(parents=True)
    (tmp_path / "work" / "run" / "config.yaml").write_text("data: ../data\n")
    (tmp_path / "secret").mkdir()
    return tmp_path


def test_kinds(tree):
    work = tree / "work"
    found = [kind_of(work / name) for name in ("recipe.yaml", "data", "run", "photos", "nothing")]
    assert found == ["recipe", "dataset", "run", "folder", None]


def test_a_folder_with_a_recipe_starts_with_it(tree):
    work = tree / "work"
    assert start_of(work) == work / "recipe.yaml"
    for other in (work / "data", work / "run", work / "photos", work / "recipe.yaml", tree / "nothing"):
        assert start_of(other) == other
    (work / "recipe.yaml").write_text("backgrounds: [")
    assert start_of(work) == work


def test_found_by_kind(tree):
    opened, kind = open_path(tree / "work", tree / "own")
    work = tree / "work"
    assert kind == "folder"
    assert opened.found("recipe") == [work / "recipe.yaml"]
    assert opened.found("dataset") == [work / "data"]
    assert opened.found("run") == [work / "run"]


@pytest.mark.parametrize("way", ["../secret/x", "/etc/passwd", "link/x", "link"])
def test_what_was_not_opened_is_refused(tree, way):
    (tree / "work" / "link").symlink_to(tree / "secret")
    opened = Opened(tree / "own", (tree / "work",))
    with pytest.raises(ConfigError, match="must be below a folder that was opened when the studio started"):
        opened.inside(tree / "work" / way)
    assert opened.inside(tree / "work" / "new" / "file.png") == tree / "work" / "new" / "file.png"


def test_a_recipe_opens_its_folder_and_those_of_its_assets(tree):
    path = tree / "work" / "recipe.yaml"
    path.write_text("backgrounds: photos\nforegrounds: ../secret\n")
    opened, kind = open_path(path, tree / "own")
    assert kind == "recipe"
    assert opened.inside(tree / "secret" / "x.png")
    with pytest.raises(ConfigError):
        opened.inside(tree / "other")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("recipe.yaml", None), ("new/other.yml", None), ("dataset.yaml", "must not be named"),
        ("data/Dataset.yaml", "must not be named"), ("run/config.yaml", "must not be named"),
        ("photo.png", "must end in .yaml"), ("folder.yaml", "must be a file"), ("../secret/x.yaml", "must be below"),
    ],
)  # fmt: skip
def test_where_a_recipe_may_be_written(tree, name, message):
    (tree / "work" / "folder.yaml").mkdir()
    opened = Opened(tree / "own", (tree / "work",))
    if message is None:
        assert opened.writable(tree / "work" / name) == tree / "work" / name
    else:
        with pytest.raises(ConfigError, match=message):
            opened.writable(tree / "work" / name)


def test_a_recipe_of_other_folders_is_refused_by_field(tree):
    opened = Opened(tree / "own", (tree / "work",))
    recipe = Recipe(backgrounds=tree / "work" / "photos", foregrounds=tree / "secret")
    with pytest.raises(ConfigError, match=r"Invalid foregrounds: got .*secret"):
        opened.check(recipe)


def test_assets_at_a_url_are_refused(tree):
    opened = Opened(tree / "own", (tree / "work",))
    recipe = Recipe(backgrounds=tree / "work" / "photos", foregrounds="s3://bucket/cars")
    with pytest.raises(ConfigError, match=r"^Invalid foregrounds: got s3://bucket/cars; must be a folder on this mach"):
        opened.check(recipe)


@pytest.mark.parametrize("name", ["nothing", "photo.png"])
def test_what_cannot_be_opened_is_named(tree, name):
    (tree / "photo.png").write_bytes(b"x")
    with pytest.raises(ConfigError, match=rf"got .* at .*{name}; must be a recipe"):
        open_path(tree / name, tree / "own")
    with pytest.raises(ConfigError, match="Invalid --open"):
        open_path(tree / "work", tree / "own", [tree / "nothing"])


def test_names_are_shown_on_one_line():
    assert shown_name("a b.png") == "a b.png"
    assert shown_name("a\nb.png") == "a\\nb.png"
    assert shown_name(os.fsdecode(b"\xff.png")) == "\\udcff.png"
