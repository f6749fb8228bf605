from typing import Any

import numpy as np

from qumade.synth.synthesizer import Synthesizer
from qumade.viz.recipe_sheet import preview_recipe


def test_a_recipe_is_previewed_without_generating(works: Any) -> None:
    before = sorted(works.root.rglob("*"))
    few, many = (preview_recipe(Synthesizer(works.recipe, works.catalog), count) for count in (3, 12))
    assert many.height > few.height and len(np.unique(np.asarray(many))) > 50
    assert sorted(works.root.rglob("*")) == before


def test_equal_recipes_have_equal_previews(works: Any) -> None:
    one, two = (preview_recipe(Synthesizer(works.recipe, works.catalog), 6) for _ in range(2))
    assert one.tobytes() == two.tobytes()
