"""How the process behaves while it trains: when it may be interrupted, how it computes, and where it tells of it."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

import torch

__all__ = ["console", "deterministic_mode", "held_signals"]


@contextmanager
def held_signals(active: bool = True) -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether a stop was asked for by Ctrl-C or SIGTERM; a second one interrupts at once.

    So a stop comes between two steps and never inside one: half a step would be no state to go on from.

    Only the main thread may hold signals; elsewhere they go their usual way.
    """
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    if not active or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deterministic_mode(threads: int | None, device: torch.device) -> Iterator[None]:
    """Compute with `threads`, and on a CPU the same way every time; as before afterwards."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    memory = torch.utils.deterministic
    filling = memory.fill_uninitialized_memory  # type: ignore[attr-defined]
    if threads is not None:
        torch.set_num_threads(threads)
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True, warn_only=True)
        # slow, and nothing here reads such memory
        memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        memory.fill_uninitialized_memory = filling  # type: ignore[attr-defined]


def console() -> TextIO:
    """Where lines go that people read while it trains: stderr, and stdout in a notebook, which shows stderr as if
    something were wrong."""
    ipython = sys.modules.get("IPython")  # of a notebook it is there
    shell = None if ipython is None else ipython.get_ipython()
    return sys.stderr if shell is None or "IPKernelApp" not in shell.config else sys.stdout
