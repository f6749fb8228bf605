import pytest

from qumade.errors import ConfigError
from qumade.studio.opened import open_path
from qumade.studio.state import Studio


def test_each_tab_has_a_draft_of_its_own(world):
    path = world / "samples" / "recipe.yaml"
    opened, kind = open_path(path, world / "own")
    studio = Studio(opened, path, kind)
    one, other = studio.draft("one"), studio.draft("other")
    assert one.recipe == other.recipe and one.file == path
    one.given["seed"] = 5
    assert "seed" not in other.given or other.given["seed"] != 5
    assert studio.draft("one") is one


def test_without_a_recipe_a_draft_is_empty(tmp_path):
    opened, kind = open_path(tmp_path, tmp_path / "own")
    assert Studio(opened, tmp_path, kind).draft("x").recipe is None


def test_a_recipe_of_other_folders_is_not_taken_over(world, tmp_path):
    opened, kind = open_path(world / "samples" / "recipe.yaml", world / "own")
    studio = Studio(opened, world / "samples" / "recipe.yaml", kind)
    draft = studio.draft("x")
    other = world / "samples" / "other.yaml"
    other.write_text(f"backgrounds: {tmp_path}\nforegrounds: {tmp_path}\n")
    before = draft.recipe
    with pytest.raises(ConfigError, match=r"Invalid backgrounds: got .*; must be below a folder that was opened"):
        draft.load(other, opened)
    other.unlink()
    assert draft.recipe is before
