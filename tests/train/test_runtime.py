import os
import signal
import sys
import threading
from types import SimpleNamespace

import pytest
import torch

from qumade.train.runtime import console, deterministic_mode, held_signals


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
