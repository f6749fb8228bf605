from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qumade.assets.label_names import LABEL_TABLES
from qumade.assets.label_scheme import label_scheme
from qumade.errors import QumadeError
from qumade.recipe import Recipe

MakeRecipe = Callable[..., Recipe]


def test_classes_by_name(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(labels="labels", place={"a*": ("road",), "b.png": ("sidewalk",), "c.png": ("road",)})
    scheme = label_scheme(recipe)
    assert scheme is not None
    assert (scheme.ground, scheme.road, scheme.flat) == ({0, 1, 9}, {0}, {0, 1})
    assert (scheme.sky, scheme.target, scheme.level) == ({10}, {13}, {0, 1, 9})
    assert scheme.named == set(range(19))  # 19 and 255 mean unknown
    assert scheme.places == (("road", "sidewalk", "terrain"), ("road",), ("sidewalk",))
    names = ["other.png", "a1.png", "b.png", "c.png"]
    assert [scheme.place_of(recipe.place, name) for name in names] == [0, 1, 2, 1]


def test_none_without_label_maps(make_recipe: MakeRecipe) -> None:
    assert label_scheme(make_recipe()) is None


def test_labels_without_names_are_refused_with_the_tables_that_fit(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    def refused(*ids: int) -> str:
        Image.fromarray(np.array([ids], np.uint8)).save(tmp_path / "a.png")
        with pytest.raises(QumadeError, match="Invalid label_names: got none") as raised:
            label_scheme(make_recipe(labels=tmp_path, label_names=None))
        assert str(tmp_path) in str(raised.value)
        return str(raised.value)

    smallest_first = "camvid, cityscapes, camvid_32, cityscapes_ids, ade20k, ade20k_from_1"
    assert f"(ids 0 to 11, which {smallest_first} can name)" in refused(0, 3, 11)
    assert "(ids 0 to 149, which ade20k, ade20k_from_1 can name)" in refused(0, 149)
    assert "which no built-in table can name" in refused(0, 200)
    (tmp_path / "a.png").unlink()
    with pytest.raises(QumadeError, match=f"must be {', '.join(LABEL_TABLES)}, or a YAML file"):
        label_scheme(make_recipe(labels=tmp_path, label_names=None))
    with pytest.raises(QumadeError, match="Invalid labels: got no folder"):
        label_scheme(make_recipe(labels=tmp_path / "gone", label_names=None))


@pytest.mark.parametrize("fields", [{"ground": ("raod",)}, {"place": {"*": ("raod",)}}, {"target": ("raod",)}], ids=str)
def test_unknown_names_are_rejected(make_recipe: MakeRecipe, fields: dict[str, Any]) -> None:
    with pytest.raises(QumadeError, match=r"got 'raod' \(did you mean 'road'\?\)"):
        label_scheme(make_recipe(labels="labels", **fields))


def test_names_without_sky_and_road(make_recipe: MakeRecipe, tmp_path: Any) -> None:
    (tmp_path / "names.yaml").write_text("{0: floor, 1: wall}")
    recipe = make_recipe(labels="labels", label_names=tmp_path / "names.yaml", ground=("floor",), target=())
    scheme = label_scheme(recipe)
    assert scheme is not None
    assert scheme.ground == scheme.road == scheme.flat == {0}
    assert scheme.level == {0} and scheme.named == {0, 1}
    assert scheme.sky == scheme.target == set()


def test_capitals_do_not_hide_sky_ground_or_targets(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    names = "{0: Road, 1: Sidewalk, 2: Terrain, 3: Sky, 4: Car, 5: person, 6: Void, 7: Unlabeled}"
    (tmp_path / "names.yaml").write_text(names)
    fields = {"ground": ("Road", "Terrain"), "target": ("Car",), "label_names": tmp_path / "names.yaml"}
    scheme = label_scheme(make_recipe(labels="labels", **fields), ("car", "Person", "truck"))
    assert scheme is not None
    assert (scheme.road, scheme.flat, scheme.level, scheme.sky) == ({0}, {0, 1}, {0, 1, 2}, {3})
    assert (scheme.target, scheme.named) == ({4, 5}, {0, 1, 2, 3, 4, 5})
    assert label_scheme(make_recipe(labels="labels", **fields | {"target": ()}), ("car",)).target == set()
