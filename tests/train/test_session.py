import os
import signal
import threading

import pytest
import torch

from qumade.train.session import calm, held_signals


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
    with pytest.raises(ValueError, match="inside"), calm(before + 1, torch.device("cpu")):
        assert torch.get_num_threads() == before + 1 and torch.are_deterministic_algorithms_enabled()
        raise ValueError("inside")
    assert torch.get_num_threads() == before and not torch.are_deterministic_algorithms_enabled()
