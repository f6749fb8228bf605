import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qumade.assets.scene_layout import ROWS, SIZES, count_boxes
from qumade.plan.layout_bins import accepted_share
from qumade.plan.tables import OBJECT_ROW, plan_tables

WIDTH, HEIGHT = 64, 48


@given(st.integers(0, 2**32 - 1))
def test_a_placed_object_is_in_the_bin_of_its_visible_box(make_recipe, make_catalog, seed):
    layout = np.arange(1.0, ROWS * SIZES + 1).reshape(ROWS, SIZES)
    tables = plan_tables(make_recipe(size=(WIDTH, HEIGHT)), make_catalog())._replace(layout=layout)
    rng = np.random.default_rng(seed)
    things = np.zeros(20, OBJECT_ROW)
    things["width"], things["height"] = rng.uniform(1, 60, (2, 20))
    things["left"] = rng.uniform(-0.9, 0.9, 20) * things["width"] + (WIDTH - things["width"]) * rng.random(20)
    things["top"] = (HEIGHT - things["height"] / 2) * rng.random(20)
    for number in range(20):
        thing = things[number]
        box = [
            max(thing["left"], 0), max(thing["top"], 0),
            min(thing["left"] + thing["width"], WIDTH), min(thing["top"] + thing["height"], HEIGHT),
        ]  # fmt: skip
        if box[2] > box[0]:
            (bin_,) = layout[count_boxes(np.array([box]), WIDTH, HEIGHT) > 0]
            assert accepted_share(tables, thing) == bin_


def test_without_a_layout_everything_is_accepted(make_recipe, make_catalog):
    tables = plan_tables(make_recipe(), make_catalog())
    assert accepted_share(tables, np.zeros(1, OBJECT_ROW)[0]) == 1.0
