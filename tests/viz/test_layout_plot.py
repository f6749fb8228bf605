from pathlib import Path

import numpy as np
from PIL import Image

from qumade.assets.scene_layout import ROWS, SIZES, SceneLayout
from qumade.viz.layout_plot import draw_layouts, write_layouts


def layout(row: int, number: tuple[float, ...]) -> SceneLayout:
    table = np.zeros((ROWS, SIZES))
    table[row, 4], table[row, 5] = 3, 1
    return SceneLayout(format="qumade-layout/1", number=number, size_and_row=tuple(map(tuple, table.tolist())))


def test_bars_are_shares_and_titles_name_the_distance(tmp_path: Path) -> None:
    figure = draw_layouts(layout(10, (0, 1, 1)), layout(15, (0, 1)))
    number, size, row = figure.axes
    assert [bar.get_height() for bar in number.patches[:2]] == [50, 50]
    assert [bar.get_height() for bar in size.patches[4:6]] == [75, 25]
    assert row.patches[10].get_height() == 100 and "1.000" in row.get_title() and "0.000" in size.get_title()
    write_layouts(layout(10, ()), layout(15, (0, 1)), tmp_path / "layout.png")
    with Image.open(tmp_path / "layout.png") as picture:
        assert picture.width > 1000
