"""Jobs: commands of `qumade` in processes of their own, one after another, with their state on disk.

A job is a folder with job.json (what it is), log.txt (what it printed) and, while it runs, pid.json; status.json is
written when it ends. So the page may be closed, and the studio stopped and started again: a job goes on, and what it
did is still known. Jobs run in the order in which they were added, one at a time.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Literal

from qumade.errors import ConfigError, QumadeError
from qumade.io.files import only_one, read_bytes, write_bytes

__all__ = ["Job", "Jobs", "State", "read_log", "shown_command"]

State = Literal["waiting", "running", "stopping", "done", "failed", "stopped", "lost"]
FINISHED: tuple[State, ...] = ("done", "failed", "stopped", "lost")
MAX_BYTES = 1 << 20
_POLL_S = 0.5
_NAME = re.compile(r"\d{6}")
_INTERRUPTED = 130  # the exit code of `qumade` after Ctrl-C


@dataclass(frozen=True)
class Job:
    """One job. `arguments` are those of `qumade`, `out` is what it writes, `state` how far it is; `code` is the exit
    code once it has ended, `error` why it could not be started."""

    number: int
    arguments: tuple[str, ...]
    out: str
    state: State
    code: int | None = None
    error: str = ""

    @property
    def verb(self) -> str:
        return self.arguments[0]

    @property
    def can_go_on(self) -> bool:
        """Whether the same command resumes from where it was left."""
        return self.state in ("failed", "stopped", "lost")


class Jobs:
    """The jobs in a folder. Only one studio at a time starts them; call `close` to leave them to the next."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._lock = Lock()
        self._closed = Event()
        self._thread: Thread | None = None
        self._errors: dict[int, str] = {}  # not on disk: the disk may be why a job could not be started

    def start(self) -> None:
        """Begin to run what waits, in a thread. Raises QumadeError where another studio does so already."""
        self._held = only_one(self.folder, "running jobs")
        self._held.__enter__()
        self._thread = Thread(target=self._run, name="jobs", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop starting jobs. One that runs goes on."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
            self._held.__exit__(None, None, None)
            self._thread = None

    def add(self, arguments: Sequence[str], out: Path | str) -> Job:
        """Append a job. Raises QumadeError or OSError if the folder cannot be written; there is no job then."""
        with self._lock:
            number = max(self._numbers(), default=0) + 1
            folder = self.folder / f"{number:06d}"
            folder.mkdir(parents=True)
            try:
                _write(folder / "job.json", {"arguments": list(arguments), "out": str(out)})
            except BaseException:
                folder.rmdir()
                raise
            return Job(number, tuple(arguments), str(out), "waiting")

    def all(self) -> list[Job]:
        """Return all jobs, oldest first. A folder that is no job is left out."""
        jobs = [self.get(number) for number in self._numbers()]
        return [job for job in jobs if job is not None]

    def _numbers(self) -> list[int]:
        """Return the numbers of all folders in ascending order, also of those that hold no job."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if _NAME.fullmatch(path.name))

    def get(self, number: int) -> Job | None:
        """Return a job by its number; None if there is none."""
        folder = self.folder / f"{number:06d}"
        what = _read(folder / "job.json")
        if what is None or not isinstance(what.get("arguments"), list):
            return None
        status, running = _read(folder / "status.json"), _read(folder / "pid.json")
        code = None if status is None else status.get("code")
        state: State = "waiting"
        if status is not None:
            asked = (folder / "stop").exists()
            state = "done" if code == 0 else "stopped" if code == _INTERRUPTED or asked else "failed"
        elif running is not None:
            state = ("stopping" if (folder / "stop").exists() else "running") if _alive(running) else "lost"
        error = self._errors.get(number, "") if state in ("waiting", "lost") else ""
        state = "failed" if error else state
        return Job(number, tuple(map(str, what["arguments"])), str(what.get("out", "")), state, code, error)

    def stop(self, number: int) -> None:
        """Interrupt a job as Ctrl-C does, so that the same command resumes; one that waits is dropped.

        A job that is asked a second time is killed; the same command resumes then too.
        """
        with self._lock:
            job, folder = self.get(number), self.folder / f"{number:06d}"
            if job is None or job.state in FINISHED:
                return
            write_bytes(folder / "stop", b"")
            running = _read(folder / "pid.json")
            if running is None:
                _write(folder / "status.json", {"code": _INTERRUPTED})
            elif _alive(running):
                again = job.state == "stopping"  # it did not answer the interrupt
                os.killpg(int(running["pid"]), signal.SIGKILL if again else signal.SIGINT)

    def go_on(self, number: int) -> None:
        """Let a job that was stopped, lost or failed wait again: the same command resumes its work.

        Raises ConfigError for a job that is done or not finished.
        """
        with self._lock:
            job, folder = self.get(number), self.folder / f"{number:06d}"
            if job is None or not job.can_go_on:
                state = "nothing" if job is None else job.state
                raise ConfigError(f"Invalid job: got number {number}, {state}; must be stopped, lost or failed")
            for name in ("stop", "status.json", "pid.json"):
                (folder / name).unlink(missing_ok=True)
            self._errors.pop(number, None)

    def log(self, number: int) -> Path:
        """Return the path of the log of a job."""
        return self.folder / f"{number:06d}" / "log.txt"

    def _run(self) -> None:
        while not self._closed.wait(_POLL_S):
            with self._lock, suppress(OSError):  # a folder that cannot be listed now is listed again
                jobs = self.all()
                if any(job.state in ("running", "stopping") for job in jobs):
                    continue
                waiting = next((job for job in jobs if job.state == "waiting"), None)
                if waiting is None:
                    continue
                try:
                    self._begin(waiting)
                except (QumadeError, OSError) as error:
                    self._errors[waiting.number] = f"Could not be started: {error}"

    def _begin(self, job: Job) -> None:
        folder = self.folder / f"{job.number:06d}"
        command = [sys.executable, "-m", "qumade.studio.job_process", str(folder)]
        # A session of its own: Ctrl-C in the studio's terminal, and its end, do not reach the job.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            _write(folder / "pid.json", {"pid": process.pid, "began": _began(process.pid)})
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # without a record it would be started a second time
            raise
        finally:
            Thread(target=process.wait, daemon=True).start()  # no zombie stays, also of jobs that outlive this object


def shown_command(arguments: Sequence[str]) -> str:
    """Return the command line of a job as a person types it."""
    return shlex.join(["qumade", *arguments])


def read_log(path: Path, most: int = 20_000) -> str:
    """Return the end of a log as a terminal shows it: of a line that was rewritten, only its last state."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - most))
            text = file.read(most).decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n")]
    return "".join(char if char.isprintable() or char == "\n" else " " for char in "\n".join(lines))


def _write(path: Path, values: dict[str, Any]) -> None:
    write_bytes(path, (json.dumps(values) + "\n").encode(), durable=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(read_bytes(path, MAX_BYTES))
    except (QumadeError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _began(pid: int) -> str | None:
    """Return when a process began, in the system's own unit: a number of a process may be used again. None if there is
    no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _by_ps(pid)
    return None if fields[0] in ("Z", "X") else fields[19]


def _by_ps(pid: int) -> str | None:
    """Return the same on systems without /proc."""
    if Path("/proc/self/stat").exists():
        return None
    said = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return said.stdout.strip() or None


def _alive(running: dict[str, Any]) -> bool:
    pid = running.get("pid")
    return isinstance(pid, int) and pid > 1 and _began(pid) is not None and _began(pid) == running.get("began")
