import os
import signal
import sys
import time

import pytest
from tqdm.auto import tqdm

from qumade.io.progress import EVERY_S, progress_bar


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that `time.monotonic` returns."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def work(clock: list[float], seconds: float, **options: object) -> None:
    bar = progress_bar(total=10, unit="file", desc="read", **options)
    bar._time, bar.start_t, bar.last_print_t = (lambda: clock[0]), clock[0], clock[0]
    for _ in range(10):
        clock[0] += seconds / 10
        bar.update()
    bar.close()


def test_short_work_prints_nothing_where_output_is_no_terminal(clock, capsys) -> None:
    work(clock, EVERY_S - 1)
    assert capsys.readouterr() == ("", "")


def test_long_work_prints_a_line_now_and_then_and_one_at_the_end(clock, capsys) -> None:
    work(clock, 3 * EVERY_S)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and "\r" not in err and 3 <= len(lines) <= 4
    assert all(line.startswith("read: ") for line in lines)
    assert "4/10" in lines[0] and "10/10" in lines[-1]


def test_a_bar_that_shall_not_stay_has_no_last_line(clock, capsys) -> None:
    work(clock, 1.5 * EVERY_S, leave=False)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_disabled_bar_prints_nothing(clock, capsys) -> None:
    work(clock, 5 * EVERY_S, disable=True)
    assert capsys.readouterr().err == ""


def test_a_line_that_is_written_between_stays_whole(clock, capsys) -> None:
    bar = progress_bar(total=2)
    bar.write("epoch 1", file=sys.stderr)
    bar.close()
    assert capsys.readouterr().err == "epoch 1\n"


def test_a_terminal_gets_the_usual_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress_bar(total=1) as bar:
        assert isinstance(bar, tqdm)


def test_a_process_that_is_killed_at_its_bar_stops_no_other(capsys) -> None:
    with progress_bar(total=1) as bar:
        child = os.fork()
        if not child:
            with bar.get_lock():
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        assert bar.get_lock().acquire(timeout=10)
        bar.get_lock().release()
