"""Objects that are cut on one side, drawn over their plans: the cut is outside the image or behind something."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qumade.assets.catalog import Catalog
from qumade.geometry import GroundPlane
from qumade.plan.cut_objects import cut_edge_left
from qumade.plan.planner import Plan, plan_samples
from qumade.plan.tables import OBJECT_ROW, plan_tables
from qumade.plan.visibility import CUT_SHARE

SIZE = 64, 48
CUTS = ("left", None, "right")


@pytest.fixture(scope="module")
def catalog(make_catalog: Callable[..., Catalog], alphas: dict[str, np.ndarray]) -> Catalog:
    """A block that is cut on its left, a whole one, and one cut on its right, over ground that reaches far."""
    made = make_catalog(grounds=(GroundPlane(0.0, 0.02, -0.2),), alphas=(alphas["block"],) * 3, scale=(0.2, 0.6))
    foregrounds = tuple(replace(one, cut=cut) for one, cut in zip(made.foregrounds, CUTS, strict=True))  # type: ignore[arg-type]
    return replace(made, foregrounds=foregrounds)


def seen_of_cuts(plan: Plan) -> list[float]:
    """Return for each object with a cut how much of the strip along it is seen, by drawing boxes near over far."""
    owner = np.full((SIZE[1] * 8, SIZE[0] * 8), -1)
    v, u = (np.mgrid[: SIZE[1] * 8, : SIZE[0] * 8] + 0.5) / 8
    strips = []
    for number, thing in enumerate(plan.objects):
        inside = (u >= thing["left"]) & (u < thing["left"] + thing["width"])
        inside &= (v >= thing["top"]) & (v < thing["top"] + thing["height"])
        owner[inside] = number
        cut = CUTS[thing["foreground"]]
        width = CUT_SHARE * thing["width"]
        first = thing["left"] if cut == "left" else thing["left"] + thing["width"] - width
        if cut is not None:
            strips.append((number, (u >= first) & (u < first + width), width * thing["height"] * 64))
    return [np.count_nonzero(strip & (owner == number)) / area for number, strip, area in strips]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), objects=st.integers(1, 4), min_visible=st.sampled_from([0.2, 0.5, 0.7]))
def test_a_cut_is_never_seen(
    catalog: Catalog, make_recipe: Callable[..., Any], seed: int, objects: int, min_visible: float
) -> None:
    recipe = make_recipe(size=SIZE, seed=seed, objects=(objects, objects), min_visible=min_visible, per_pair=4)
    plans = plan_samples(plan_tables(recipe, catalog), catalog, range(12))
    for n in range(12):
        # A cell of the silhouette counts by its centre: half a cell may show.
        assert all(share <= 0.3 for share in seen_of_cuts(plans[n]))
        for thing in plans[n].objects:
            assert 0.02 * thing["contact_background_v"] - 0.2 == pytest.approx(thing["inverse_depth"], rel=1e-5)


def test_objects_are_cut_by_both_edges_and_behind_others(catalog: Catalog, make_recipe: Callable[..., Any]) -> None:
    recipe = make_recipe(size=SIZE, objects=(3, 3), min_visible=0.3, per_pair=60)
    plans = plan_samples(plan_tables(recipe, catalog), catalog, range(180))
    places = set()
    for n in range(180):
        for thing in plans[n].objects:
            cut, right = CUTS[thing["foreground"]], thing["left"] + thing["width"]
            if cut is not None:
                outside = thing["left"] < 0 if cut == "left" else right > SIZE[0]
                places.add((cut, "edge" if outside else "behind"))
    assert places == {(cut, place) for cut in ("left", "right") for place in ("edge", "behind")}


def test_the_hidden_share_lies_beyond_the_edge(catalog: Catalog, make_recipe: Callable[..., Any]) -> None:
    tables = plan_tables(make_recipe(size=SIZE), catalog)
    thing = np.zeros(1, OBJECT_ROW)[0]
    thing["width"] = 20.0
    for foreground, left in ((0, -5.0), (2, 49.0)):
        thing["foreground"] = foreground
        assert cut_edge_left(tables, thing, 0.25) == left
