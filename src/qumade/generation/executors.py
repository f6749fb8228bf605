"""Executors run work on units, such as chunks of indices, in this process or in several."""

import multiprocessing
import pickle
import signal
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from qumade.errors import RunError
from qumade.generation.worker import Stopped, Task
from qumade.io.processes import end_with_parent, shut_down

__all__ = ["Executor", "local_processes", "this_process"]

_GRACE_S = 0.3  # time for workers to stop on their own

Unit = TypeVar("Unit")
Result = TypeVar("Result")


class Executor(Protocol):
    """Runs the work on each unit, such as a chunk of indices or a shard, and yields the results, in any order. Closing
    the iterator stops the work after the current sample. Errors of the work are raised here."""

    def __call__(self, work: Task[Unit, Result], chunks: Iterable[Unit]) -> Iterator[Result]: ...


def this_process(work: Task[Unit, Result], chunks: Iterable[Unit]) -> Iterator[Result]:
    """Runs chunks one after the other in this process."""
    work.open()
    try:
        for chunk in chunks:
            yield work(chunk, lambda: False)
    finally:
        work.close()


def local_processes(work: Task[Unit, Result], chunks: Iterable[Unit], *, workers: int) -> Iterator[Result]:
    """Runs chunks in `workers` processes of this machine, or in this process if `workers` is 1."""
    if workers == 1:
        yield from this_process(work, chunks)
        return
    # Spawned, not forked: a fork copies the locks of threads, and forks of a killed parent could wait forever.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    stop = context.Event()
    pickled = pickle.dumps(work)
    # In shared memory: arguments go through a pipe, and the parent would wait for each worker in turn to read it.
    shared = context.RawArray("c", len(pickled))
    shared.raw = pickled
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(shared, stop))
    remaining = iter(chunks)
    running: set[Future[Any]] = set()
    try:
        for chunk in remaining:
            with _interrupts_held():  # the first submit starts the workers
                running.add(pool.submit(_run, chunk))
            if len(running) >= 3 * workers:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    except BrokenProcessPool:
        raise RunError(
            "A worker process ended unexpectedly (killed, or out of memory); the same command resumes from here, "
            "with fewer --workers if it ran out of memory"
        ) from None
    finally:
        stop.set()
        deadline = time.monotonic() + _GRACE_S
        workers_begun = set(multiprocessing.active_children()) - others
        for worker in workers_begun if running else ():
            # A worker before its first sample does not see the stop event. The next run repairs files torn by the kill.
            worker.join(max(0.0, deadline - time.monotonic()))
            worker.kill()
        shut_down(pool, workers_begun)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Delays Ctrl-C in this process. Processes started in the meantime ignore it: the parent handles it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_state: dict[str, Any] = {}


def _start(shared: Any, stop: Any) -> None:
    """Initialises a worker process, which exits as soon as its parent is gone."""
    end_with_parent()
    _state["pickled"], _state["stop"] = shared.raw, stop


def _run(chunk: Any) -> Any:
    if "work" not in _state:  # not in _start, whose errors are lost
        work = pickle.loads(_state["pickled"])
        work.open()  # where it fails, the next chunk tries again and fails in the same way
        _state["work"] = work
        del _state["pickled"]
    try:
        return _state["work"](chunk, _state["stop"].is_set)
    except Stopped:
        raise RunError("stopped") from None
