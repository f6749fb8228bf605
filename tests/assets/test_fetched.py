import pickle
import uuid
from pathlib import Path

import fsspec
import pytest

from qumade.assets.fetched import Names, fetch_assets, local_folder
from qumade.assets.local_recipe import LocalRecipe
from qumade.assets.scan import Finding
from qumade.errors import AssetError, ConfigError
from qumade.io.pictures import UnusablePicture
from qumade.recipe import Recipe


@pytest.fixture
def store(asset_folders):
    """The URL of a folder with the files of `asset_folders`."""
    url = f"memory://{uuid.uuid4().hex}"
    for name in ("backgrounds", "foregrounds"):
        fsspec.filesystem("memory").put(str(asset_folders / name), f"{url}/{name}", recursive=True)
    return url


def test_a_recipe_without_urls_stays_as_it_is(asset_folders):
    recipe = Recipe(backgrounds=asset_folders / "backgrounds", foregrounds=asset_folders / "foregrounds", per_pair=3)
    local, names = fetch_assets(recipe)
    assert isinstance(local, LocalRecipe) and local.model_dump() == recipe.model_dump()
    assert local.model_fields_set == recipe.model_fields_set
    assert names.text(f"got {asset_folders}") == f"got {asset_folders}"


def test_urls_become_folders_and_messages_name_the_urls(asset_folders, store):
    recipe = Recipe(backgrounds=f"{store}/backgrounds", foregrounds=asset_folders / "foregrounds")
    local, names = fetch_assets(recipe)
    assert local.foregrounds == recipe.foregrounds and isinstance(local.backgrounds, Path)
    assert sorted(path.name for path in local.backgrounds.iterdir()) == sorted(
        path.name for path in (asset_folders / "backgrounds").iterdir()
    )
    photo = local.backgrounds / "photo_0.png"
    assert names.text(f"in {photo}; and {asset_folders}") == f"in {store}/backgrounds/photo_0.png; and {asset_folders}"
    finding = Finding("error", "background", str(photo), "x", f"is as {photo}")
    shown = f"{store}/backgrounds/photo_0.png"
    assert names.finding(finding) == Finding("error", "background", shown, "x", f"is as {shown}")


@pytest.mark.parametrize("error", [ConfigError("in /c/a"), UnusablePicture(Path("/c/a"), "type", "b", "c")])
def test_an_error_of_a_block_keeps_its_kind(error):
    with pytest.raises(type(error), match=r"in s3://b/a") as caught, Names({"/c": "s3://b"}):
        raise error
    assert caught.value is error
    with pytest.raises(KeyError), Names({"/c": "s3://b"}):
        raise KeyError("/c")
    assert "/c" not in str(pickle.loads(pickle.dumps(ConfigError(str(error)))))


def test_a_folder_at_a_url_or_not(asset_folders, store):
    assert local_folder(asset_folders)[0] == asset_folders
    folder, names = local_folder(f"{store}/backgrounds/")
    assert (folder / "photo_0.png").read_bytes() == (asset_folders / "backgrounds" / "photo_0.png").read_bytes()
    assert names.text(str(folder / "a")) == f"{store}/backgrounds/a"


def test_a_folder_that_is_missing_is_named(asset_folders, store):
    recipe = Recipe(backgrounds=f"{store}/backgrounds", foregrounds=f"{store}/nothing")
    with pytest.raises(AssetError, match=rf"^Invalid folder: got nothing at {store}/nothing; must be a folder"):
        fetch_assets(recipe)
