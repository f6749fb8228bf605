"""Executors run ranges of indices somewhere. Nothing else knows where."""

import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for_connection
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qumade.errors import QumadeError
from qumade.generate.journal import Results
from qumade.generate.worker import Drawer, Job, Stopped
from qumade.generate.writers import FolderWriter

__all__ = ["Executor", "local_processes"]

_GRACE_S = 0.3  # for workers to end by themselves


class Executor(Protocol):
    """Draws the samples of each chunk of indices and gives what drawing told, chunk by chunk, in any order."""

    def __call__(self, job: Job, chunks: Iterable[NDArray[np.int64]], workers: int) -> Iterator[Results]: ...


def local_processes(job: Job, chunks: Iterable[NDArray[np.int64]], workers: int) -> Iterator[Results]:
    """Runs chunks in `workers` processes of this machine, in this one where `workers` is 1.

    Closing the iterator stops the workers after the sample at hand. Errors of a worker are raised here.
    """
    if workers == 1:
        with FolderWriter(job.root, job.suffixes) as writer:
            drawer = Drawer(job.recipe, job.catalog)
            for chunk in chunks:
                yield drawer.write(chunk, writer, lambda: False)
        return
    # Spawned, not forked: a fork copies threads' locks, and a parent that is killed could leave forks waiting for ever.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    stop = context.Event()
    pickled = pickle.dumps(job)
    # In shared memory: through a pipe, as arguments go, each worker would be waited for until it reads, one by one.
    shared = context.RawArray("c", len(pickled))
    shared.raw = pickled
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(shared, stop))
    remaining = iter(chunks)
    running: set[Future[Results]] = set()
    try:
        for chunk in remaining:
            with _interrupts_held():  # the first one starts the workers
                running.add(pool.submit(_draw, chunk))
            if len(running) >= 3 * workers:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    except BrokenProcessPool:
        raise QumadeError(
            "A worker process ended unexpectedly (killed, or out of memory); the same command goes on from here, "
            "with fewer --workers where memory was short"
        ) from None
    finally:
        stop.set()
        deadline = time.monotonic() + _GRACE_S
        for worker in set(multiprocessing.active_children()) - others if running else ():
            # One that has not come to its first sample hears no wish to stop. What a kill tears, the next run mends.
            worker.join(max(0.0, deadline - time.monotonic()))
            worker.kill()
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C is the parent's business: it reaches no process started meanwhile, and this one afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_state: dict[str, Any] = {}


def _start(shared: Any, stop: Any) -> None:
    """Readies a worker process; one whose parent has gone ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _state["job"], _state["stop"] = pickle.loads(shared.raw), stop


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_connection([parent.sentinel])
        os._exit(1)


def _draw(chunk: NDArray[np.int64]) -> Results:
    if "writer" not in _state:  # not in _start, whose errors nobody hears
        job = _state["job"]
        _state["drawer"] = Drawer(job.recipe, job.catalog)
        _state["writer"] = FolderWriter(job.root, job.suffixes)
    try:
        results: Results = _state["drawer"].write(chunk, _state["writer"], _state["stop"].is_set)
    except Stopped:
        raise QumadeError("stopped") from None
    return results
