import numpy as np
import pytest

from qumade.recipe import load_recipe
from qumade.studio.composing import Composer, distance_text, explained, parse_indices, picture_of
from qumade.studio.controls import Problem, given_of, parse_recipe
from qumade.synth.synthesizer import Synthesizer


@pytest.fixture(scope="module")
def recipe(world):
    return load_recipe(world / "samples" / "recipe.yaml")


@pytest.fixture(scope="module")
def composer():
    return Composer()


def test_samples_are_those_of_the_library(recipe, composer):
    drawn = composer.draw(recipe, count=3)
    expected = Synthesizer.from_recipe(recipe)
    assert [one.index for one in drawn] == expected.indices(3).tolist()
    for one in drawn:
        np.testing.assert_array_equal(one.sample.image, expected[one.index].image)
        assert one.stem == expected.stem(one.index)
        assert picture_of(one, "image", None) is one.sample.image


def test_pinned_indices_stay_and_pictures_change(recipe, composer):
    other = recipe.model_copy(update={"seed": 1})
    before, after = composer.draw(recipe, [7, 3]), composer.draw(other, [7, 3])
    assert [one.index for one in before] == [one.index for one in after] == [7, 3]
    assert not np.array_equal(before[0].sample.image, after[0].sample.image)
    assert composer.synthesizer(recipe) is composer.synthesizer(recipe)
    kept = composer.synthesizer(recipe)
    composer.forget()
    assert composer.synthesizer(recipe) is not kept


def test_an_index_out_of_range_is_a_problem_of_the_indices(recipe, composer):
    with pytest.raises(Problem, match="got 480; must be from 0 to 479") as caught:
        composer.draw(recipe, [480])
    assert caught.value.field == "indices"


def test_the_explanation_is_what_the_plan_records(recipe, world, composer):
    folder = world / "samples"
    crowded = parse_recipe(given_of(recipe, folder) | {"objects": [3, 3], "min_visible": 0.9}, folder)
    rejected = 0
    for drawn in composer.draw(crowded, range(0, 400, 40)):
        made = composer.synthesizer(crowded)
        things = explained(made, drawn)
        assert len(things) == drawn.plan.sample["count"]
        for thing, row, visible in zip(things, drawn.plan.objects, drawn.sample.visible_fraction, strict=True):
            assert thing.name == made.catalog.foregrounds[row["foreground"]].name
            assert thing.policy in ("perspective", "random") and thing.visible == pytest.approx(float(visible))
            assert thing.distance == f"{1 / row['inverse_depth']:.1f} m"
            assert sum(thing.rejected.values()) == sum(row[name] for name in row.dtype.names if name.startswith("rej"))
            rejected += sum(thing.rejected.values())
    assert rejected


@pytest.mark.parametrize(
    ("text", "indices"), [("", []), ("5", [5]), ("0, 17 3-5", [0, 17, 3, 4, 5]), ("2-2", [2]), ("1 1", [1])]
)
def test_typed_indices(text, indices):
    assert parse_indices(text) == indices


@pytest.mark.parametrize("text", ["x", "-3", "5-2", "1-2-3", "0-100", "1.5", "9" * 40])
def test_wrong_indices_are_named(text):
    with pytest.raises(Problem, match="Invalid indices"):
        parse_indices(text)


@pytest.mark.parametrize(
    ("inverse_depth", "level", "kind", "text"),
    [
        (0.1, 0.0, "metric", "10.0 m"),
        (0.5, 0.25, "affine", "4.00 in the depth's own unit, no metres (affine)"),
        (0.5, 0.0, "scaled", "2.00 in the depth's own unit, no metres (scaled)"),
        (0.2, 0.3, "affine", "infinitely far"),
        (0.2, float("nan"), "affine", "unknown: this depth has no known horizon"),
    ],
)
def test_distances_are_metres_for_metric_depth_only(inverse_depth, level, kind, text):
    assert distance_text(inverse_depth, level, kind) == text
