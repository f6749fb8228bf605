import math
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor

import pytest

from qumade.errors import RunError
from qumade.io.processes import cores, mapped, shut_down


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_results_keep_the_order(workers):
    # Processes that are started anew can only import what is installed.
    with mapped(math.sqrt, range(20), workers) as results:
        assert list(results) == [math.sqrt(number) for number in range(20)]


@pytest.mark.slow
def test_a_killed_process_is_reported():
    with pytest.raises(RunError, match="a worker process was killed"), mapped(os._exit, [1, 2], 2) as results:
        list(results)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_is_killed_at_the_very_end_keeps_nobody_waiting(victim):
    # One of the two waits for a task with the lock of the queue, the other for the lock.
    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))
    list(executor.map(time.sleep, [0.2] * 4))
    workers = sorted(set(multiprocessing.active_children()) - others, key=lambda worker: worker.pid)
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker.pid, signal.SIGSTOP)  # until the executor has said that no task follows

    def kill():
        workers[victim].kill()
        os.kill(workers[1 - victim].pid, signal.SIGCONT)

    timer = threading.Timer(0.5, kill)
    timer.start()
    shut_down(executor, workers)
    timer.join()
    assert not any(worker.is_alive() for worker in workers)


def test_there_is_a_core():
    assert cores() >= 1
