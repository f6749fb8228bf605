import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from qumade.metrics.bootstrap import Interval
from qumade.viz.score_plots import plot_differences, plot_histogram, plot_intervals, plot_pairs, plot_sizes

RNG = np.random.default_rng(0)
SCORES = np.where(RNG.random(200) < 0.1, np.nan, RNG.random(200))
NOTHING = np.full(5, np.nan)
SURE, UNSURE = Interval(0.5, 0.4, 0.6, 50), Interval(0.7, None, None, 3)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot_histogram(SCORES, "mask IoU"),
        lambda: plot_histogram(NOTHING, "mask IoU"),
        lambda: plot_sizes(RNG.random(200), SCORES, "mask IoU"),
        lambda: plot_sizes(np.full(3, 0.5), np.ones(3), "mask IoU"),
        lambda: plot_sizes(np.ones(5), NOTHING, "mask IoU"),
        lambda: plot_intervals({"all": SURE, "test": UNSURE}, "mask IoU"),
        lambda: plot_intervals({}, "mask IoU"),
        lambda: plot_differences({"dataset 1": SURE}, ("mask IoU of A", "B")),
        lambda: plot_pairs(SCORES, SCORES[::-1], "mask IoU", ("A", "B")),
        lambda: plot_pairs(NOTHING, NOTHING, "mask IoU", ("A", "B")),
    ],
)
def test_plots_are_svg_without_external_resources(draw):
    text = draw().decode()
    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert "<script" not in text and 'href="http' not in text


def test_equal_scores_give_equal_bytes():
    assert plot_histogram(SCORES, "mask IoU") == plot_histogram(SCORES, "mask IoU")
