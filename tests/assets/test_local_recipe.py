import uuid

import fsspec
import pytest

from qumade.assets.local_recipe import LocalRecipe, asset_file, shown_asset
from qumade.errors import QumadeError
from qumade.io.pictures import content_hash
from qumade.io.storage import is_url
from qumade.recipe import Recipe


def test_every_folder_that_may_be_at_a_url_is_local():
    folders = {"backgrounds", "foregrounds", "masks", "depths", "labels", "reliefs", "distractor_foregrounds"}
    fields = Recipe.model_fields
    assert {name for name, field in fields.items() if str(field.annotation).count("Path | str")} == folders
    assert not any("str" in str(LocalRecipe.model_fields[name].annotation) for name in folders)
    assert list(LocalRecipe.model_fields) == list(fields)


def test_an_asset_is_held_against_its_hash(tmp_path):
    (tmp_path / "a.png").write_bytes(b"1")
    sha256 = content_hash(tmp_path / "a.png")
    url = f"memory://{uuid.uuid4().hex}"
    fsspec.filesystem("memory").pipe_file(f"{url}/a.png", b"1")
    assert asset_file(tmp_path, "a.png", sha256) == tmp_path / "a.png"
    assert asset_file(url, "a.png", sha256).read_bytes() == b"1"
    for folder in (tmp_path, url):
        with pytest.raises(QumadeError, match=rf"^Invalid asset: {folder}/a\.png has changed since the catalog was"):
            asset_file(folder, "a.png", "0" * 64)


def test_names_for_messages(tmp_path):
    assert shown_asset(tmp_path, "a") == f"{tmp_path}/a" and shown_asset(tmp_path) == str(tmp_path)
    assert shown_asset("s3://b/c/", "a\n") == "s3://b/c/a\\n" and is_url(shown_asset("s3://b/c"))
