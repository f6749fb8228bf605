import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qumade.compose.boxes import visible_boxes


@given(arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 4)))
def test_boxes_are_the_extents_of_the_pixels(numbers):
    for number, (left, top, width, height) in enumerate(visible_boxes(numbers, 3).tolist(), 1):
        rows, columns = np.nonzero(numbers == number)
        if len(rows) == 0:
            assert (left, top, width, height) == (0, 0, 0, 0)
        else:
            assert (left, top) == (columns.min(), rows.min())
            assert (left + width - 1, top + height - 1) == (columns.max(), rows.max())
