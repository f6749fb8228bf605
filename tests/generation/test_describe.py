from pathlib import Path
from typing import Any

import pytest
import yaml

from qumade.data.encode import folder_settings
from qumade.data.metadata import begun_metadata, read_metadata, write_metadata
from qumade.errors import QumadeError
from qumade.generation.describe import describe
from qumade.io.files import remove_temporary_files
from qumade.recipe import load_recipe
from qumade.synth.choose_encoding import layered_encoding
from qumade.synth.synthesizer import Synthesizer


def described(works: Any, out: Path, recipe: Any = None) -> dict[str, Any]:
    recipe = recipe or works.recipe
    return describe(Synthesizer(recipe, works.catalog), out, 1200, layered_encoding(recipe, works.catalog))


@pytest.fixture
def description(works: Any, tmp_path: Path) -> dict[str, Any]:
    return described(works, tmp_path)


def test_dataset_yaml_describes_the_dataset(works: Any, tmp_path: Path, description: dict[str, Any]) -> None:
    write_metadata(tmp_path, description)
    read = read_metadata(tmp_path / "dataset.yaml")
    assert (read.complete, read.samples, read.size) == (True, 1200, (32, 24))
    assert read.depth == layered_encoding(works.recipe, works.catalog)
    assert read.folders is not None
    assert {name: code.model_dump() for name, code in read.folders.items()} == folder_settings(works.recipe)
    assert load_recipe(tmp_path / "dataset.yaml") == works.recipe
    assert [b["name"] for b in read.assets["backgrounds"]] == [f"photo_{n}.png" for n in range(3)]
    assert [f["name"] for f in read.assets["foregrounds"]] == [f"thing_{n}.png" for n in range(4)]
    assert {"qumade", "numpy", "simplejpeg"} <= read.package.keys()
    assert [path.name for path in tmp_path.iterdir()] == ["dataset.yaml"]


def test_asset_hashes_are_those_of_the_files(works: Any, description: dict[str, Any]) -> None:
    import hashlib

    for kind in ("backgrounds", "foregrounds"):
        for asset in description["assets"][kind]:
            content = (works.root / kind / asset["name"]).read_bytes()
            assert asset["sha256"] == hashlib.sha256(content).hexdigest()


def test_an_equal_description_is_accepted(tmp_path: Path, description: dict[str, Any]) -> None:
    assert begun_metadata(tmp_path, description, "qumade generate") is None
    write_metadata(tmp_path, {**description, "complete": False, "samples": 10})
    found = begun_metadata(tmp_path, description, "qumade generate")
    assert found == {**description, "complete": False, "samples": 10}


def test_a_description_that_was_never_finished_leaves_an_empty_folder(
    tmp_path: Path, description: dict[str, Any]
) -> None:
    (tmp_path / ".tmp-123-dataset.yaml").write_text("format: qum")
    assert begun_metadata(tmp_path, description, "qumade generate") is None
    write_metadata(tmp_path, description)
    remove_temporary_files(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["dataset.yaml"]


@pytest.mark.parametrize(
    ("change", "where", "there", "here"),
    [
        ({"seed": 5}, "recipe.seed", 5, 0),
        ({"per_pair": 7}, "recipe.per_pair", 7, 100),
        ({"size": (48, 24)}, "size[0]", 48, 32),
        ({"centre_row": (0.25, 1.0)}, "recipe.centre_row[0]", 0.25, 0.5),
        ({"scale": {"default": (0.1, 0.5), "thing_2.png": (0.1, 0.2)}}, "recipe.scale.thing_2.png", [0.1, 0.2], None),
        ({"encoding": "lossless"}, "depth.bits", 16, 8),
        ({"depth_near": 2.0}, "depth.range[1]", 2.0, 1.5),
    ],
)
def test_another_recipe_is_refused_naming_the_field_that_differs(
    works: Any, tmp_path: Path, description: dict[str, Any], change: dict[str, Any], where: str, there: Any, here: Any
) -> None:
    other = works.recipe.model_copy(update=change)
    write_metadata(tmp_path, described(works, tmp_path, other))
    with pytest.raises(QumadeError) as caught:
        begun_metadata(tmp_path, description, "qumade generate")
    assert str(caught.value) == (
        f"Invalid --out: {tmp_path} holds a dataset with {where} {there!r}, this one has {here!r}; must be "
        "equal, or use another folder"
    )


def test_a_changed_asset_is_refused_naming_its_hash(tmp_path: Path, description: dict[str, Any]) -> None:
    changed = yaml.safe_load(yaml.safe_dump(description))
    changed["assets"]["foregrounds"][2]["sha256"] = "0" * 64
    write_metadata(tmp_path, changed)
    with pytest.raises(QumadeError, match=r"assets\.foregrounds\[thing_2.png\]\.sha256 '0{64}'"):
        begun_metadata(tmp_path, description, "qumade generate")


def test_other_assets_are_refused_in_one_short_line(tmp_path: Path, description: dict[str, Any]) -> None:
    changed = yaml.safe_load(yaml.safe_dump(description))
    changed["assets"]["foregrounds"] += changed["assets"]["foregrounds"][:1]
    write_metadata(tmp_path, changed)
    with pytest.raises(QumadeError, match=r"assets\.foregrounds '5 entries', this one has ") as caught:
        begun_metadata(tmp_path, description, "qumade generate")
    assert "\n" not in str(caught.value)


def test_another_package_version_is_refused(tmp_path: Path, description: dict[str, Any]) -> None:
    write_metadata(tmp_path, {**description, "package": {**description["package"], "simplejpeg": "1.0.0"}})
    with pytest.raises(QumadeError, match=r"package\.simplejpeg '1\.0\.0'"):
        begun_metadata(tmp_path, description, "qumade generate")


@pytest.mark.parametrize("name", ["photo.jpg", "images", ".hidden"])
def test_a_foreign_folder_is_refused(tmp_path: Path, description: dict[str, Any], name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(QumadeError, match=rf"{tmp_path} is not empty and holds no dataset\.yaml \(but '{name}'\)"):
        begun_metadata(tmp_path, description, "qumade generate")
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("content", ["", "[1]", "complete: true", "a: [", "\x00", "!!python/object/apply:os.getpid []"])
def test_an_invalid_description_is_refused_in_one_line(
    tmp_path: Path, description: dict[str, Any], content: str
) -> None:
    (tmp_path / "dataset.yaml").write_text(content)
    with pytest.raises(QumadeError) as caught:
        begun_metadata(tmp_path, description, "qumade generate")
    assert str(tmp_path / "dataset.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)
