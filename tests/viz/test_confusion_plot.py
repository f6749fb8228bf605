import numpy as np
import pytest

from qumade.viz.confusion_plot import plot_confusion


def test_rows_are_dark_where_their_pixels_are():
    """Of four cells the darkest blue is where all pixels of a row are; a row without pixels is grey."""
    sure, unsure = (
        plot_confusion(np.array(cells), ("background", "car")) for cells in ([[9, 0], [0, 5]], [[9, 9], [5, 5]])
    )
    assert sure.size == unsure.size
    darkest = (8, 48, 107)  # the end of matplotlib's Blues
    counts = [(np.asarray(each) == darkest).all(2).sum() for each in (sure, unsure)]
    assert counts[0] > counts[1] + 1000
    empty = np.asarray(plot_confusion(np.array([[9, 0], [0, 0]]), ("background", "car")))
    assert (empty == (0xD8, 0xD8, 0xDC)).all(2).sum() > 1000


@pytest.mark.parametrize("classes", [2, 60])
def test_any_names_are_drawn(classes):
    names = ["$x^", "_" * 90, *map(str, range(classes - 1))]
    picture = plot_confusion(np.eye(classes + 1, dtype=np.int64), names)
    assert picture.mode == "RGB" and max(picture.size) < 3500
