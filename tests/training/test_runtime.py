import os
import signal
import sys
import threading
from types import SimpleNamespace

import pytest
import torch
from accelerate.state import AcceleratorState

from qumade.training import runtime as module
from qumade.training.runtime import (
    console,
    default_workers,
    deterministic_mode,
    has_bf16_units,
    held_signals,
    new_accelerator,
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_is_noted_and_the_second_interrupts(number):
    before = signal.getsignal(number)
    with held_signals() as stopped:
        assert not stopped()
        os.kill(os.getpid(), number)
        assert stopped()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
            signal.sigtimedwait([], 1)
    assert signal.getsignal(number) is before


def test_another_thread_leaves_signals_alone():
    before, seen = signal.getsignal(signal.SIGINT), []

    def hold():
        with held_signals() as stopped:
            seen.append((stopped(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert seen == [(False, before)]


def test_threads_are_as_before_also_after_an_exception():
    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="inside"), deterministic_mode(before + 1, torch.device("cpu")):
        assert torch.get_num_threads() == before + 1 and torch.are_deterministic_algorithms_enabled()
        raise ValueError("inside")
    assert torch.get_num_threads() == before and not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("shell", "stream"),
    [
        (None, "stderr"),  # IPython is imported by something
        (SimpleNamespace(config={"TerminalIPythonApp": {}}), "stderr"),
        (SimpleNamespace(config={"IPKernelApp": {}}), "stdout"),
    ],
)
def test_lines_are_not_red_in_notebooks(monkeypatch, shell, stream):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert console() is getattr(sys, stream)


def test_without_notebooks_lines_go_to_stderr(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert console() is sys.stderr


@pytest.mark.parametrize(
    ("device", "cores", "workers"),
    [("cpu", 1, 0), ("cpu", 4, 0), ("cpu", 5, 1), ("cpu", 64, 1), ("cuda", 1, 0), ("cuda", 4, 3), ("cuda", 64, 8)],
)
def test_workers_leave_the_cores_to_the_training(monkeypatch, device, cores, workers):
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert default_workers(torch.device(device)) == workers


@pytest.mark.parametrize(("cuda", "mps"), [(False, False), (True, False), (False, True)])
def test_the_cpu_is_requested_without_a_gpu(monkeypatch, cuda, mps):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(module, "Accelerator", lambda cpu, mixed_precision: {"cpu": cpu})
    assert new_accelerator() == {"cpu": not (cuda or mps)}


def test_the_environment_does_not_decide_the_precision(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        assert new_accelerator().mixed_precision == "no"
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("units", [False, True])
def test_a_gpu_that_emulates_bf16_has_no_units_for_it(monkeypatch, units):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or units)
    assert has_bf16_units(torch.device("cuda")) == units
