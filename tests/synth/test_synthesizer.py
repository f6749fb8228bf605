import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qumade.assets.catalog import Catalog
from qumade.errors import QumadeError
from qumade.plan.planner import plan_samples
from qumade.plan.tables import plan_tables
from qumade.recipe import save_recipe
from qumade.synth.synthesizer import Synthesizer


def test_length_and_stems_follow_the_triple_loop(synthesizer: Synthesizer) -> None:
    assert len(synthesizer) == 3 * 4 * 100
    assert (synthesizer.stem(0), synthesizer.stem(1199)) == ("img000001", "img001200")
    np.testing.assert_array_equal(synthesizer.indices(), np.arange(1200))
    assert set(synthesizer.indices(5)) <= set(synthesizer.indices(9)) and len(synthesizer.indices(9)) == 9


def test_an_item_is_the_rendered_plan(works: Any, synthesizer: Synthesizer) -> None:
    planned = plan_samples(plan_tables(works.recipe, works.catalog), works.catalog, [123])[0]
    assert synthesizer.plan([5, 123])[1].sample == planned.sample
    for got in (synthesizer[123], synthesizer[123 - 1200]):
        for part, expected in zip(got, synthesizer.render(planned), strict=True):
            np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("index", [1200, -1201])
def test_an_index_out_of_range_raises(synthesizer: Synthesizer, index: int) -> None:
    with pytest.raises(IndexError, match=f"no sample {index}: the recipe has 1200"):
        synthesizer[index]


def test_another_draw_places_the_same_pair_elsewhere(synthesizer: Synthesizer) -> None:
    first, again = synthesizer.plan([7, 700]), synthesizer.plan([7, 700], draw=3)
    for name in ("index", "background", "foreground"):
        np.testing.assert_array_equal(first.samples[name], again.samples[name])
    assert (first.objects["left"][:, 0] != again.objects["left"][:, 0]).all()
    np.testing.assert_array_equal(again.objects, synthesizer.plan([7, 700], draw=3).objects)


def test_it_pickles_without_decoded_assets(synthesizer: Synthesizer) -> None:
    sample = synthesizer[11]
    pickled = pickle.dumps(synthesizer)
    assert len(pickled) < 64 * 1024
    for part, expected in zip(pickle.loads(pickled)[11], sample, strict=True):
        np.testing.assert_array_equal(part, expected)


def test_from_a_recipe_or_its_file(works: Any, synthesizer: Synthesizer, tmp_path: Path) -> None:
    save_recipe(works.recipe, tmp_path / "recipe.yaml")
    for source in (works.recipe, tmp_path / "recipe.yaml", str(tmp_path / "recipe.yaml")):
        made = Synthesizer.from_recipe(source)
        assert made.recipe == works.recipe and len(made) == 1200
        np.testing.assert_array_equal(made[77].image, synthesizer[77].image)


def test_findings_are_kept_and_strict_raises(works: Any, tmp_path: Path) -> None:
    for name in ("backgrounds", "foregrounds"):
        (tmp_path / name).symlink_to(works.root / name)
    broken = tmp_path / "photos"
    broken.mkdir()
    for path in (works.root / "backgrounds").iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    recipe = works.recipe.model_copy(update={"backgrounds": broken})
    found = Synthesizer.from_recipe(recipe).findings
    assert [Path(finding.path).name for finding in found if finding.severity == "error"] == ["torn.png"]
    with pytest.raises(QumadeError, match=r"torn\.png"):
        Synthesizer.from_recipe(recipe, strict=True)


def test_scales_without_enough_visibility_are_rejected(works: Any) -> None:
    recipe = works.recipe.model_copy(update={"min_visible": 1.0})
    foregrounds = tuple(f.__class__(**{**f.__dict__, "scale": (3.0, 4.0)}) for f in works.catalog.foregrounds)
    catalog = Catalog(works.catalog.backgrounds, foregrounds, works.catalog.depth_kind)
    with pytest.raises(QumadeError, match="Invalid scale"):
        Synthesizer(recipe, catalog)


def test_predicted_depth_has_no_encoding_yet(works: Any) -> None:
    recipe = works.recipe.model_copy(update={"depth": "composite", "depth_teacher": "a/b"})
    assert Synthesizer(recipe, works.catalog).depth_encoding is None
    encoding = Synthesizer(works.recipe, works.catalog).depth_encoding
    assert encoding is not None and encoding.kind == "scaled"
