import math
import os

import pytest

from qumade.errors import RunError
from qumade.io.processes import cores, mapped


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_results_keep_the_order(workers):
    # Processes that are started anew can only import what is installed.
    with mapped(math.sqrt, range(20), workers) as results:
        assert list(results) == [math.sqrt(number) for number in range(20)]


@pytest.mark.slow
def test_a_killed_process_is_reported():
    with pytest.raises(RunError, match="a worker process was killed"), mapped(os._exit, [1, 2], 2) as results:
        list(results)


def test_there_is_a_core():
    assert cores() >= 1
