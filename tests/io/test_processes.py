import os

import pytest

from qumade.errors import RunError
from qumade.io.processes import cores, mapped


def _square(number: int) -> int:
    return number * number


def _die(number: int) -> int:
    os._exit(1)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_results_keep_the_order(workers):
    with mapped(_square, range(20), workers) as results:
        assert list(results) == [number * number for number in range(20)]


@pytest.mark.slow
def test_a_killed_process_is_reported():
    with pytest.raises(RunError, match="a worker process was killed"), mapped(_die, [1, 2], 2) as results:
        list(results)


def test_there_is_a_core():
    assert cores() >= 1
