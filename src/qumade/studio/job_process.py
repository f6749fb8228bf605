"""The process of one job: runs its command of `qumade`, writes its log and, at the end, its exit code."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from qumade.io.files import read_bytes, write_bytes

__all__ = ["run_job"]

MAX_BYTES = 1 << 20


def run_job(folder: Path) -> int:
    """Run the job of a folder (see `qumade.studio.jobs`) and return its exit code."""
    arguments = json.loads(read_bytes(folder / "job.json", MAX_BYTES))["arguments"]
    # An interrupt goes to the whole group: the command answers it, and this process waits for the command.
    signal.signal(signal.SIGINT, lambda *_: None)
    with (folder / "log.txt").open("ab") as log:
        command = [sys.executable, "-m", "qumade", *arguments]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        code = process.wait()
    write_bytes(folder / "status.json", (json.dumps({"code": code}) + "\n").encode(), durable=True)
    return code


if __name__ == "__main__":
    sys.exit(run_job(Path(sys.argv[1])))
