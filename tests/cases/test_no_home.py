"""A user without a home folder, as in containers: no verb needs a place to write but the one it is told."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qumade import jit

COMMANDS = (
    "check --recipe $IN/recipe.yaml",
    "generate --recipe $IN/recipe.yaml --limit 2 --workers 1 --out $OUT/made",
    "import pairs $IN/pairs --masks masks --workers 1 --out $OUT/imported",
    "stats $OUT/imported --workers 1",
    "convert $OUT/imported --to coco --workers 1 --out $OUT/coco",
)
# Without a folder for compiled code compiling takes a minute, as tests/test_jit.py tries: there is one here.
CALLS = """
import json, os, sys
from qumade import cli, jit

if sys.argv[2] == "unknown":
    os.getuid = lambda: 987_654  # whom the system does not know
print("cache", jit._FOLDER)
codes = []
for command in json.loads(sys.argv[1]):
    sys.argv = ["qumade", *command.split()]
    try:
        cli.main()
    except SystemExit as ended:
        codes.append(ended.code)
print("codes", codes)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("user", "homes"),
    [
        ("unknown", {}),
        ("known", {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null"}),
        ("known", {"HOME": "/proc", "XDG_CACHE_HOME": "/proc/cache"}),  # where not even root can make a folder
    ],
)
def test_no_verb_needs_a_home(inputs: Path, tmp_path: Path, user: str, homes: dict[str, str]) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    assert jit._FOLDER is not None
    kept["NUMBA_CACHE_DIR"] = str(Path(jit._FOLDER).parent)
    commands = [command.replace("$IN", str(inputs)).replace("$OUT", str(tmp_path)) for command in COMMANDS]
    call = [sys.executable, "-c", CALLS, json.dumps(commands), user]
    done = subprocess.run(call, env=kept | homes, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert f"codes {[0] * len(COMMANDS)}" in done.stdout, done.stdout + done.stderr
    assert f"cache {jit._FOLDER}" in done.stdout
    assert len(list((tmp_path / "made" / "images").iterdir())) == 2
