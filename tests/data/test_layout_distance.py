import numpy as np
import pytest

from qumade.assets.scene_layout import ROWS, SceneLayout
from qumade.data.layout_distance import format_distances, layout_distances


def test_distances_in_closed_form() -> None:
    def one(row: int, size: int, number: tuple[float, ...]) -> SceneLayout:
        table = np.zeros((ROWS, 14))
        table[row, size] = 5
        return SceneLayout(format="qumade-layout/1", number=number, size_and_row=tuple(map(tuple, table.tolist())))

    found = layout_distances(one(10, 4, (9, 1, 1)), one(14, 6, (0, 1, 0, 1)))
    assert found.number is not None
    assert (found.number.total_variation, found.number.wasserstein) == (0.5, 0.5)
    assert (found.size.total_variation, found.size.wasserstein) == (1, 1)  # two half octaves
    assert (found.row.total_variation, found.row.wasserstein) == (1, pytest.approx(0.2))


def test_an_unknown_number_has_no_distance() -> None:
    table = np.ones((ROWS, 14))
    layout = SceneLayout(format="qumade-layout/1", size_and_row=tuple(map(tuple, table.tolist())))
    found = layout_distances(layout, layout)
    assert found.number is None and found.size.wasserstein == found.row.total_variation == 0
    assert "unknown" in format_distances(found).splitlines()[1]
