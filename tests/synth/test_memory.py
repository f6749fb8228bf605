"""A synthesizer that remembers another one must draw what a new one draws."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qumade.assets import backgrounds as backgrounds_module
from qumade.assets.bundled import write_samples
from qumade.assets.label_names import label_table
from qumade.recipe import Recipe, load_recipe, recipe_from_dict
from qumade.synth import memory as module
from qumade.synth.memory import NOT_SURVEYED, AssetMemory
from qumade.synth.synthesizer import Synthesizer


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundled samples, four photos and three cut-outs of them."""
    folder = tmp_path_factory.mktemp("memory") / "samples"
    write_samples(folder)
    for kind, kept in (("backgrounds", 4), ("foregrounds", 3)):
        for path in sorted((folder / kind).iterdir())[kept:]:
            path.unlink()
    return folder


@pytest.fixture(scope="module")
def base(samples: Path) -> dict[str, Any]:
    fields = load_recipe(samples / "recipe.yaml").model_dump(exclude_unset=True)
    fields["height_m"] = {"default": 1.5}
    fields["camera_height_m"] = {"default": 1.5}
    return fields | {"size": (96, 64)}


@pytest.fixture(scope="module")
def first(base: dict[str, Any], samples: Path) -> Synthesizer:
    return drawn_from(recipe_from_dict(base, "test", samples))


def drawn_from(recipe: Recipe, like: Synthesizer | None = None) -> Synthesizer:
    made = Synthesizer.from_recipe(recipe, like=like)
    for index in range(0, len(made), max(1, len(made) // 5)):
        made[index]
    return made


CHANGES: list[dict[str, Any]] = [
    {"seed": 5}, {"scale": (0.1, 0.5)}, {"crop": (0.5, 1.0)}, {"size": (64, 96)}, {"flip": True}, {"objects": (1, 3)},
    {"ground": ("sidewalk", "terrain")}, {"target": ("building",)}, {"contact_rows": (0.7, 1.0)},
    {"contact_sampling": "distance"}, {"policy_weights": {"random": 1.0}},
    {"placement": "semantic", "policy_weights": None},
    {"depths": None, "reliefs": None, "horizon": {"default": 0.5}}, {"reliefs": None}, {"min_visible": 0.3},
    {"present": "mask"}, {"depths": None, "reliefs": None, "horizon": "labels"}, {"encoding": "lossless"},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: ",".join(change))
def test_a_changed_recipe_gives_the_samples_of_a_new_one(change, base, samples, first):
    recipe = recipe_from_dict(base | change, "test", samples)
    remembered, new = Synthesizer.from_recipe(recipe, like=first), Synthesizer.from_recipe(recipe)
    assert remembered.findings == new.findings
    indices = np.linspace(0, len(new) - 1, 7).astype(int)
    for mine, other in zip(remembered.plan(indices), new.plan(indices), strict=True):
        for part, expected in zip(remembered.render(mine), new.render(other), strict=True):
            np.testing.assert_array_equal(part, expected)


def test_going_back_surveys_no_photo_again(base, samples, first, monkeypatch):
    here = Synthesizer.from_recipe(recipe_from_dict(base, "t", samples), like=first)
    there = Synthesizer.from_recipe(recipe_from_dict(base | {"ground": ("terrain", "road")}, "t", samples), like=here)
    monkeypatch.setattr(module, "survey_photo", _must_not)
    monkeypatch.setattr(module, "scan_backgrounds", _must_not)
    monkeypatch.setattr(module, "scan_foregrounds", _must_not)
    Synthesizer.from_recipe(recipe_from_dict(base | {"seed": 9}, "t", samples), like=there)


def _must_not(*_: Any, **__: Any) -> None:
    raise AssertionError("was read again")


def test_a_file_that_changed_is_read_again(base, tmp_path, samples):
    for kind in ("backgrounds", "foregrounds"):
        (tmp_path / kind).mkdir()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (50, 70, 3), np.uint8)).save(tmp_path / "backgrounds" / "a.png")
    (tmp_path / "foregrounds" / "b.png").write_bytes(next((samples / "foregrounds").iterdir()).read_bytes())
    recipe = Recipe(backgrounds=tmp_path / "backgrounds", foregrounds=tmp_path / "foregrounds", size=(32, 32))
    one = drawn_from(recipe)
    Image.fromarray(rng.integers(0, 255, (40, 90, 3), np.uint8)).save(tmp_path / "backgrounds" / "a.png")
    again = Synthesizer.from_recipe(recipe, like=one)
    assert (again.catalog.backgrounds[0].width, again.catalog.backgrounds[0].height) == (90, 40)
    np.testing.assert_array_equal(again[3].image, Synthesizer.from_recipe(recipe)[3].image)


@pytest.mark.slow
def test_classes_of_the_label_maps_are_looked_up_again(base, samples, tmp_path):
    """A file of names with other content, and classes that come from the cut-outs' folders."""
    names = tmp_path / "names.yaml"
    fields = base | {"label_names": names, "ground": ("road",), "split": (1.0, 0.0, 0.0)}
    text = "".join(f"{ids[0]}: {name}\n" for name, ids in label_table("cityscapes").items())
    names.write_text(text)
    recipe = recipe_from_dict(fields, "test", samples)
    one = drawn_from(recipe)
    names.write_text(text.replace("13: car", "13: building").replace("2: building", "2: car"))
    same = drawn_from(recipe, like=one), drawn_from(recipe)
    classes = tmp_path / "foregrounds"
    for number, path in enumerate(sorted((samples / "foregrounds").iterdir())):
        target = classes / ("building" if number else "car") / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    recipe = recipe_from_dict(fields | {"foregrounds": classes, "reliefs": None}, "test", samples)
    sorted_ones = drawn_from(recipe, like=one), drawn_from(recipe)
    for mine, other in (same, sorted_ones):
        assert mine.findings == other.findings
        for index in (0, len(other) // 2, len(other) - 1):
            for part, expected in zip(mine[index], other[index], strict=True):
                np.testing.assert_array_equal(part, expected)
    assert any(not np.array_equal(one[n].ignore, same[0][n].ignore) for n in range(0, len(one), len(one) // 5))


def test_the_survey_reads_none_of_the_fields_that_it_is_said_not_to(base, samples, monkeypatch):
    """Recipes are read through a spy: a field in NOT_SURVEYED that the survey reads would make samples stale."""
    read: set[str] = set()
    recipe = recipe_from_dict(base, "test", samples)
    plain = type(recipe).__getattribute__
    survey = backgrounds_module.survey_photo

    def spy(self: Recipe, name: str) -> Any:
        read.add(name)
        return plain(self, name)

    def spied(*arguments: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(Recipe, "__getattribute__", spy)
            return survey(*arguments)

    monkeypatch.setattr(module, "survey_photo", spied)
    AssetMemory()
    Synthesizer.from_recipe(recipe)
    assert {"ground", "present"} & read or read, "the spy saw nothing"
    by_own_key = {"horizon", "placement", "policy_weights"}
    assert (read & NOT_SURVEYED) - by_own_key == set()


def test_unusable_reliefs_are_remembered_as_such(base, samples, first, tmp_path):
    reliefs = tmp_path / "reliefs"
    reliefs.mkdir()
    for path in (samples / "foregrounds").iterdir():
        (reliefs / path.name).write_bytes(b"\x89PNG no")
    recipe = recipe_from_dict(base | {"reliefs": reliefs}, "test", samples)
    one = Synthesizer.from_recipe(recipe, like=first)
    again = Synthesizer.from_recipe(recipe, like=one)
    count: Callable[[Synthesizer], int] = lambda made: sum(found.reason == "relief" for found in made.findings)  # noqa: E731
    assert count(one) == count(again) == 3
