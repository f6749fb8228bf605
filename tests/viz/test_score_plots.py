import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from qumade.metrics.bootstrap import Interval
from qumade.viz.score_plots import (
    plot_differences,
    plot_histogram,
    plot_intervals,
    plot_pairs,
    plot_sizes,
    plot_training,
)

RNG = np.random.default_rng(0)
SCORES = np.where(RNG.random(200) < 0.1, np.nan, RNG.random(200))
NOTHING = np.full(5, np.nan)
SURE, UNSURE = Interval(0.5, 0.4, 0.6, 50), Interval(0.7, None, None, 3)


CURVE = [{"step": step, "loss": 1 / step, "val_loss": 2 / step, "val_iou": None} for step in (1.0, 2.0, 3.0)]
DRAWINGS = pytest.mark.parametrize(
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
        lambda: plot_differences({"<b>$x^2$\n" * 9: SURE, "dataset 2": UNSURE}, ("mask IoU of A", "B")),
        lambda: plot_training(CURVE)[0][0],
    ],
)


@DRAWINGS
def test_plots_are_svg_without_external_resources(draw):
    text = draw().decode()
    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert "<script" not in text and 'href="http' not in text


def test_equal_scores_give_equal_bytes():
    assert plot_histogram(SCORES, "mask IoU") == plot_histogram(SCORES, "mask IoU")


@DRAWINGS
def test_all_plots_have_one_size(draw):
    root = ElementTree.fromstring(draw())
    assert (root.get("width"), root.get("height")) == ("374.4pt", "244.8pt")


def test_curves_that_no_row_has_are_left_out():
    assert [caption for _, caption in plot_training(CURVE)] == ["Loss over the steps of the training."]
    assert plot_training([]) == []
