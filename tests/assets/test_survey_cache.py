import os
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qumade.assets.ground import Survey, survey_background
from qumade.assets.label_scheme import LabelScheme, label_scheme
from qumade.assets.survey_cache import cached_survey, survey_key
from qumade.geometry import GroundPlane, flat_ground_prior, inverse_depth_map
from qumade.recipe import Recipe

MakeRecipe = Callable[..., Recipe]
SIZE = 120, 90


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "qumade" / "ground"


def refuse() -> Survey:
    raise AssertionError("was not in the cache")


def surveyed(recipe: Recipe, *, with_depth: bool = False, with_labels: bool = True) -> Survey:
    plane = flat_ground_prior(36, SIZE[1])
    labels = np.where(np.arange(SIZE[1])[:, None] > 40, 0, 10).repeat(SIZE[0], 1).astype(np.int32)
    depth = np.maximum(inverse_depth_map(plane, *SIZE), 0).astype(np.float32) if with_depth else None
    scheme = label_scheme(recipe) if with_labels else None
    return survey_background(recipe, "a.jpg", SIZE, labels if with_labels else None, scheme, depth, "scaled")


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "__dataclass_fields__") and not isinstance(one, GroundPlane):
        return all(same(getattr(one, part.name), getattr(other, part.name)) for part in fields(one))
    return bool(one == other) and type(one) is type(other)


@pytest.mark.parametrize("law", ["picture", "distance"])
@pytest.mark.parametrize("with_depth", [False, True])
def test_a_survey_comes_back_as_it_was_made(make_recipe: MakeRecipe, law: str, with_depth: bool) -> None:
    recipe = make_recipe(labels="labels", contact_sampling=law, place={"a": ("road",)}, horizon="labels")
    made = surveyed(recipe, with_depth=with_depth)
    assert made.standable is not None and made.standable.any()
    assert cached_survey("key", lambda: made) is made
    assert same(cached_survey("key", refuse), made)


def test_a_survey_without_labels(make_recipe: MakeRecipe) -> None:
    made = replace(surveyed(make_recipe(), with_depth=True, with_labels=False), notes=("odd",), horizon_level=np.nan)
    cached_survey("key", lambda: made)
    found = cached_survey("key", refuse)
    assert np.isnan(found.horizon_level) and found.notes == ("odd",) and found.standing is None


def test_damaged_entries_are_made_again(make_recipe: MakeRecipe, cache: Path) -> None:
    made = surveyed(make_recipe(labels="labels"))
    cached_survey("key", lambda: made)
    whole = (cache / "key.npz").read_bytes()
    for damaged in (b"", whole[:100], whole[:-30], b"x" * 200):
        (cache / "key.npz").write_bytes(damaged)
        assert cached_survey("key", lambda: made) is made
        assert same(cached_survey("key", refuse), made)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_left_out(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    made = surveyed(make_recipe(labels="labels"))
    assert cached_survey("key", lambda: made) is made


def test_keys_differ_with_everything_that_matters(make_recipe: MakeRecipe) -> None:
    def key(
        name: str = "a.jpg", size: tuple[int, int] = SIZE, maps: tuple[str, ...] = ("1", "2"), kind: str = "metric",
        **changes: Any,
    ) -> str:  # fmt: skip
        recipe = make_recipe(labels="labels", **changes)
        scheme: LabelScheme | None = label_scheme(recipe)
        return survey_key(recipe, name, size, scheme, maps, kind)

    plain = key()
    changes: list[dict[str, Any]] = [
        {"size": (90, 120)}, {"maps": ("1", "3")}, {"kind": "scaled"}, {"ground": ("road",)}, {"target": ()},
        {"label_names": "ade20k"}, {"horizon": {"a.jpg": 0.4}}, {"contact_rows": (0.5, 1)},
        {"contact_distance": (1, 2)}, {"contact_sampling": "distance"}, {"prior": "flat"}, {"place": {"b": ("road",)}},
    ]  # fmt: skip
    assert len({plain, *(key(**change) for change in changes)}) == len(changes) + 1
    assert plain == key(name="b.jpg", seed=5) == key(horizon={"c.jpg": 0.4})
