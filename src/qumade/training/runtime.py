"""How the process behaves while it trains: devices and processes, interruptions, determinism, and where it prints."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

import torch
from accelerate import Accelerator

__all__ = ["console", "default_workers", "deterministic_mode", "has_bf16_units", "held_signals", "new_accelerator"]


def new_accelerator() -> Accelerator:
    """Return the device and the processes of this training.

    Without a GPU the CPU is requested explicitly, since otherwise processes launched together would not find each
    other. The config decides the precision, not the environment.
    """
    return Accelerator(cpu=not (torch.cuda.is_available() or torch.backends.mps.is_available()), mixed_precision="no")


def default_workers(device: torch.device) -> int:
    """Return how many processes read ahead: none where they would take the cores that compute."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores - 1) if device.type != "cpu" else int(cores > 4)


def has_bf16_units(device: torch.device) -> bool:
    """Return whether the device multiplies matrices of bfloat16 in hardware; a CPU that only emulates it takes many
    times as long."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("amx_bf16", False))


@contextmanager
def held_signals(active: bool = True) -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether Ctrl-C or SIGTERM requested a stop; a second signal interrupts at once.

    So training stops between two steps and never inside one: half a step is no state to resume from. Only the main
    thread can hold signals; in other threads they act as usual.
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
    """Compute with `threads` threads, and deterministically on a CPU; restore the settings on exit."""
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
    """Return the stream for progress lines: stderr, but stdout in a notebook, which shows stderr as an error."""
    ipython = sys.modules.get("IPython")  # a notebook has imported it
    shell = None if ipython is None else ipython.get_ipython()
    return sys.stderr if shell is None or "IPKernelApp" not in shell.config else sys.stdout
