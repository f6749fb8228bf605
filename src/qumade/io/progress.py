"""Progress bars: in a notebook a widget, in a terminal one line that changes, and elsewhere a new line now and then."""

import sys
import threading
import time
from typing import Any

from tqdm import autonotebook, std
from tqdm.auto import tqdm as auto

__all__ = ["EVERY_S", "progress_bar"]

EVERY_S = 30.0  # between two lines where stderr is no terminal, such as a file or the log of a job


def progress_bar(*args: Any, **options: Any) -> Any:
    """Return a bar with the arguments of tqdm. Where stderr is no terminal it prints a line every EVERY_S seconds, and
    nothing if the work takes less."""
    if autonotebook.tqdm is not std.tqdm or sys.stderr.isatty():
        return auto(*args, **options)
    return _Lines(*args, **options)


class _Lines(std.tqdm):  # type: ignore[misc]
    def __init__(self, *args: Any, **options: Any) -> None:
        self._said_at = time.monotonic()
        self._said = False
        super().__init__(*args, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        if time.monotonic() - self._said_at >= EVERY_S:
            self._say()
        return True

    def clear(self, nolock: bool = False) -> None:
        """There is nothing to clear: lines stay."""

    def close(self) -> None:
        if self.disable:  # type: ignore[has-type]
            return
        if self._said and self.leave:
            self._say()
        self.disable = True
        self._decr_instances(self)

    def _say(self) -> None:
        self._said_at, self._said = time.monotonic(), True
        self.fp.write(f"{self}\n")
        self.fp.flush()


# That of tqdm is shared by forked processes: one that is killed while it holds it stops all others for ever.
_Lines.set_lock(threading.RLock())
