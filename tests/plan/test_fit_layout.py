"""Planned samples against the layout that they shall have."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from qumade.assets.scene_layout import ROWS, SIZES, SceneLayout
from qumade.plan.fit_layout import count_placements, fit_layout, number_shares, target_shares
from qumade.plan.planner import plan_samples
from qumade.plan.tables import plan_tables


def far(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one / one.sum() - other / other.sum()).sum()) / 2


def layout_of(table: np.ndarray, number: tuple[float, ...] = ()) -> SceneLayout:
    return SceneLayout(format="qumade-layout/1", number=number, size_and_row=tuple(map(tuple, table.tolist())))


@pytest.mark.slow
def test_planned_samples_have_the_layout(make_recipe: Callable, make_catalog: Callable) -> None:
    table = np.zeros((ROWS, SIZES))
    table[14:20, 6:11] = np.outer([6, 5, 4, 3, 2, 1], [30, 20, 10, 5, 2]) * 10
    layout = layout_of(table, (5, 4, 3, 2, 1))
    recipe = make_recipe(objects=(1, 4), scale=(0.03, 0.6), min_visible=0.35, per_pair=500, centre_row=(0.4, 1.0))
    catalog = make_catalog(scale=(0.03, 0.6))
    catalog = replace(catalog, layout=fit_layout(recipe, catalog, layout, "0" * 64))
    assert catalog.layout.unreachable < 0.02
    plans = plan_samples(plan_tables(recipe, catalog), catalog, np.arange(2000))
    counts = count_placements(plans, recipe.size)
    assert far(np.bincount(plans.samples["wanted"], minlength=5)[1:], np.array([4, 3, 2, 1])) < 0.03
    assert far(counts.sum(0), table.sum(0)) < 0.08
    assert far(counts.sum(1), table.sum(1)) < 0.08
    assert plans.objects["rejected_layout"].sum() > 0
    alone = plan_samples(plan_tables(recipe, catalog), catalog, [1234])[0]
    assert alone.sample == plans[1234].sample and (alone.objects == plans[1234].objects).all()


def test_what_no_recipe_reaches_is_taken_as_it_comes(make_recipe: Callable, make_catalog: Callable) -> None:
    table = np.zeros((ROWS, SIZES))
    table[0, 0] = 1000  # tiny things in the sky
    recipe, catalog = make_recipe(per_pair=10, retries=20), make_catalog()
    fitted = fit_layout(recipe, catalog, layout_of(table), "")
    assert fitted.unreachable == 1 and fitted.number_end.size == 0
    with_layout = replace(catalog, layout=fitted)
    plans = plan_samples(plan_tables(recipe, with_layout), with_layout, np.arange(50))
    assert (plans.samples["count"] == 1).all()


def test_few_objects_are_smoothed_and_numbers_lie_in_the_range() -> None:
    table = np.zeros((ROWS, SIZES))
    table[10, 5] = 3
    shares = target_shares(layout_of(table))
    assert shares.sum() == pytest.approx(1) and shares[10, 5] == 0.25 and shares[11, 6] == 1 / 16
    assert number_shares(layout_of(table, (9, 1, 2, 3)), (2, 16))[:2].tolist() == [0.4, 0.6]
    assert number_shares(layout_of(table), (1, 16)).size == 0
