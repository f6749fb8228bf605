"""An import or a conversion that is killed again and again ends with the bytes of one that nothing disturbed."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

KILLS, SAMPLES = 10, 240
COMMANDS = {
    "import": ["import", "pairs", "$IN", "--images", "images", "--masks", "masks"],
    "convert": ["convert", "$IN", "--to", "coco"],
}

# Runs the command once, then forks a process for each kill, which needs no imports any more. It is killed when
# its folder holds so many files, or after a time. Its workers must end by themselves, while the next one is at work.
KILLER = """
import json, os, signal, sys, time
from pathlib import Path
from qumade import cli
from qumade.convert.exporters import conversion

conversion.CHUNK = 40  # else one process would convert all
root, command, moments = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])

def run(name, workers):
    sys.argv = ["qumade", *command, "--out", str(root / name), "--workers", str(workers)]
    try:
        cli.main()
    except SystemExit as ended:
        return ended.code

def files(folder):
    return sum(len(names) for _, _, names in os.walk(folder))

def of_group(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True

assert run("whole", 1) == 0
total = files(root / "whole")
for workers in (1, 2):
    out, killed, groups = root / f"out_{workers}", 0, []
    for share, at_most_s in moments:
        until = time.monotonic() + at_most_s
        child = os.fork()
        if not child:
            os.setpgid(0, 0)
            os._exit(run(out.name, workers))
        while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and files(out) < share * total:
            if time.monotonic() > until:
                break
            time.sleep(0.003)
        if done == (0, 0):
            os.kill(child, signal.SIGKILL)
            done = os.waitpid(child, 0)
        status = os.waitstatus_to_exitcode(done[1])
        assert status in (0, -signal.SIGKILL), status
        killed += status != 0
        groups.append(child)
    print("killed", killed)
    until = time.monotonic() + 20
    while any(of_group(group) for group in groups):
        assert time.monotonic() < until, "a worker process outlived its parent"
        time.sleep(0.01)
    assert run(out.name, workers) == 0
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("source"), np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for number in range(SAMPLES):
        mask = np.zeros((48, 64), np.uint8)
        mask[10:40, number % 30 : 20 + number % 30] = 255
        Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)).save(root / "images" / f"p{number:03d}.png")
        Image.fromarray(mask).save(root / "masks" / f"p{number:03d}.png")
    return root


@pytest.mark.slow
@pytest.mark.parametrize("verb", COMMANDS)
def test_a_command_that_is_killed_again_and_again_ends_with_the_same_bytes(
    dataset: Path, tmp_path: Path, verb: str
) -> None:
    """SIGKILL at ten random moments that are spread over the work, with one worker process and with two."""
    draw = random.Random(5)
    moments = sorted((draw.random(), draw.uniform(0.05, 0.7)) for _ in range(KILLS))
    command = [str(dataset) if word == "$IN" else word for word in COMMANDS[verb]]
    killer = [sys.executable, "-c", KILLER, str(tmp_path), json.dumps(command), json.dumps(moments)]
    done = subprocess.run(killer, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    killed = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("killed")]
    assert len(killed) == 2 and min(killed) >= KILLS // 2, killed
    whole = _tree(tmp_path / "whole")
    for workers in (1, 2):
        found = _tree(tmp_path / f"out_{workers}")
        assert found.keys() == whole.keys()
        assert [name for name, data in found.items() if data != whole[name]] == []


def _tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
