"""Run a function over many items in several processes."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for_connection
from multiprocessing.process import BaseProcess
from typing import TypeVar

from qumade.errors import RunError

__all__ = ["cores", "end_with_parent", "mapped", "shut_down"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent() -> None:
    """Let this worker process exit as soon as its parent is gone. One whose parent was killed would wait for ever."""
    threading.Thread(target=_wait_for_end_of_parent, daemon=True).start()


def _wait_for_end_of_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_connection([parent.sentinel])
        os._exit(1)


@contextmanager
def mapped(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Iterator[Result]]:
    """Yield the results of `function` for all items, in their order, from that many processes, or from this one.

    At the end of the block, work that has not begun is dropped. Raises QumadeError if a process was killed.
    """
    if workers <= 1:
        yield map(function, items)
        return
    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=end_with_parent)
    # Workers start while Ctrl-C is blocked and inherit that: only this process receives it, and drops pending tasks.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        results = executor.map(function, items)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        yield results
    except BrokenProcessPool as error:
        raise RunError("Invalid run: a worker process was killed, perhaps for lack of memory; run again") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        shut_down(executor, set(multiprocessing.active_children()) - others)


def shut_down(executor: ProcessPoolExecutor, workers: Collection[BaseProcess]) -> None:
    """Drop what has not begun, and wait until all workers have ended.

    A worker that is killed while it waits for its next task takes the lock of the queue with it. If the executor has
    said by then that no task follows, the others wait for the lock for ever, and the executor for them: they are killed
    too.
    """
    alive = list(workers)
    executor.shutdown(wait=False, cancel_futures=True)
    while alive:
        wait_for_connection([worker.sentinel for worker in alive])
        alive = [worker for worker in alive if worker.is_alive()]
        if any(worker.exitcode for worker in workers):
            for worker in alive:
                worker.kill()
