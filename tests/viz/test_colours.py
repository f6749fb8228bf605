import matplotlib
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qumade.viz.colours import inferno


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20))
def test_the_colours_are_those_of_the_plotting_library(shares):
    values = np.array(shares, np.float32)
    expected = matplotlib.colormaps["inferno"](values, bytes=True)[:, :3]
    np.testing.assert_array_equal(inferno(values), expected)


def test_the_ends_hold_beyond_themselves():
    np.testing.assert_array_equal(inferno(np.array([-3.0, 7.0])), inferno(np.array([0.0, 1.0])))
    assert inferno(np.zeros((4, 5))).shape == (4, 5, 3)
