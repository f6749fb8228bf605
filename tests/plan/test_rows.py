"""Objects in a row, against perspective in closed form."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from qumade.geometry import GroundPlane
from qumade.plan.planner import plan_samples
from qumade.plan.tables import plan_tables


def test_a_row_is_a_line_on_the_ground_and_shrinks_towards_the_horizon(
    make_recipe: Callable, make_catalog: Callable
) -> None:
    plane = GroundPlane(0.0, 0.02, -0.8)  # the horizon is in row 40 of 90
    recipe = make_recipe(
        rows=1.0, objects=(3, 5), scale=(0.02, 0.9), min_visible=0.2, size_jitter=0.0, size=(240, 180),
        centre_row=(0.6, 0.9), per_pair=40, retries=100,
    )  # fmt: skip
    catalog = make_catalog(grounds=(plane,), scale=(0.02, 0.9))
    tables = plan_tables(recipe, catalog)
    plans = plan_samples(tables, catalog, np.arange(150))
    rows = [each for each in plans if len(each.objects) >= 3 and not each.objects["fallback"].any()]
    assert len(rows) > 60
    for each in rows:
        u, v = each.objects["contact_background_u"] - 60, each.objects["contact_background_v"] - 40
        # The middle of the photo on the horizon is the vanishing point: u / v is the lateral position on the ground.
        assert u / v == pytest.approx(np.full(len(u), u[0] / v[0]), abs=1e-6)
        catalogued = [catalog.foregrounds[number] for number in each.objects["foreground"]]
        foot = each.objects["height"] * [f.contact[1] / f.height for f in catalogued]
        assert foot / v == pytest.approx(np.full(len(v), foot[0] / v[0]))
        distance = np.sort(1 / v)
        # No two stand at one place: the next one is at least 1.1 times its own width away.
        assert (np.diff(distance) > 0).all()
    for index in (7, 3, 149):
        alone = plan_samples(plan_tables(recipe, catalog), catalog, [index])[0]
        assert alone.sample == plans[index].sample and (alone.objects == plans[index].objects).all()
    level = replace(catalog.backgrounds[0], plane=None, coarse_depth=np.ones((4, 4), np.float32),
                    coarse_occluder=np.zeros((4, 4), np.float32))  # fmt: skip
    bare = replace(catalog, backgrounds=(level,))
    assert plan_samples(plan_tables(recipe, bare), bare, np.arange(5)).objects["fallback"][:, 1].all()
