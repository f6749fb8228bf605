import errno
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qumade.assets.build import build_catalog
from qumade.assets.catalog import Catalog
from qumade.generate.engine import Summary, generate
from qumade.recipe import Recipe, save_recipe

Tree = dict[str, bytes]

# The same call as in-process, but in a process of its own that may be killed.
_DRIVER = """
import json, resource, sys
from pathlib import Path
from qumade.assets.build import build_catalog
from qumade.errors import QumadeError
from qumade.generate.engine import generate
from qumade.recipe import load_recipe
recipe = load_recipe(Path(sys.argv[1]))
try:
    summary = generate(recipe, build_catalog(recipe)[0], Path(sys.argv[2]), progress=False, **json.loads(sys.argv[3]))
except QumadeError as error:
    sys.exit(f"QumadeError: {error}")
except OSError as error:
    sys.exit(f"OSError {error.errno}: {error}")
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps({
    "drawn": summary and summary.drawn,
    "peak_kib": int(status["VmHWM"].split()[0]),
    "worker_peak_kib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
}))
"""


def _read_tree(root: Path) -> Tree:
    """Every file of a folder by its relative path, and every folder as a path that ends in a slash."""
    found = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        found[f"{name}/" if path.is_dir() else name] = b"" if path.is_dir() else path.read_bytes()
    return found


@pytest.fixture(scope="session")
def read_tree() -> Callable[[Path], Tree]:
    return _read_tree


@dataclass
class Works:
    """A folder of tiny assets, their recipe, and datasets made of them side by side."""

    root: Path
    recipe: Recipe
    catalog: Catalog
    _references: dict[int | None, Tree] = field(default_factory=dict)
    _made: int = 0

    def out(self) -> Path:
        """A new name beside all the others, so that paths in dataset.yaml are the same in all."""
        self._made += 1
        return self.root / f"out{self._made}"

    def generate(self, out: Path, **options: Any) -> Summary | None:
        options = {"workers": 1, "sync_interval_s": 0.02, **options}
        return generate(self.recipe, self.catalog, out, progress=False, **options)

    def reference(self, limit: int | None = None) -> Tree:
        """The tree that one undisturbed run makes."""
        if limit not in self._references:
            out = self.out()
            self.generate(out, limit=limit)
            self._references[limit] = _read_tree(out)
        return self._references[limit]

    def start(self, out: Path, **options: Any) -> subprocess.Popen[str]:
        """Begins `generate` in a process group of its own."""
        options = {"workers": 2, "sync_interval_s": 0.02, **options}
        command = [sys.executable, "-c", _DRIVER, str(self.root / "recipe.yaml"), str(out), json.dumps(options)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)

    def run(self, out: Path, **options: Any) -> dict[str, Any]:
        """Runs `generate` in another process to its end and returns what it measured."""
        process = self.start(out, **options)
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
        result: dict[str, Any] = json.loads(stdout)
        return result


def _picture(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    blots = rng.integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(blots).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(scope="session")
def works() -> Iterator[Works]:
    """In memory where there is a file system in memory: what a run waits for is then never a busy disk."""
    memory = Path("/dev/shm")
    folder = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="qumade-test-", dir=folder) as root:
        yield _works(Path(root))


def _works(root: Path) -> Works:
    rng = np.random.default_rng(11)
    for folder in ("backgrounds", "foregrounds"):
        (root / folder).mkdir()
    for number in range(3):
        Image.fromarray(_picture(rng, 60, 46 + 2 * number)).save(root / "backgrounds" / f"photo_{number}.png")
    v, u = np.mgrid[:40, :50] + 0.5
    for number in range(4):
        radius = 17 - 2 * number
        alpha = 255 * np.clip(radius + 0.5 - np.hypot((u - 25) / 1.3, v - 20), 0, 1)
        rgba = np.dstack([_picture(rng, 50, 40), np.rint(alpha).astype(np.uint8)])
        Image.fromarray(rgba).save(root / "foregrounds" / f"thing_{number}.png")
    recipe = Recipe(
        backgrounds=root / "backgrounds", foregrounds=root / "foregrounds", size=(32, 24), per_pair=100, objects=(1, 2)
    )
    save_recipe(recipe, root / "recipe.yaml")
    return Works(root, recipe, build_catalog(recipe)[0])


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """Waits for something that another process does."""

    def wait(happened: Callable[[], bool], timeout_s: float = 60.0) -> None:
        end = time.monotonic() + timeout_s
        while not happened():
            assert time.monotonic() < end, "timed out"
            time.sleep(0.002)

    return wait


@pytest.fixture(scope="session")
def is_alive() -> Callable[[int], bool]:
    """Whether a process is there and no zombie."""

    def alive(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    return alive


@pytest.fixture(scope="session")
def workers_of() -> Callable[[int], list[int]]:
    """The worker processes of a process, without the helper that tracks its semaphores."""

    def workers(pid: int) -> list[int]:
        found = []
        try:
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
        except (FileNotFoundError, ProcessLookupError):
            return []
        return found

    return workers


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """After that many writes the disk of this process is full."""

    def fill(writes: int) -> None:
        really_write, left = os.write, [writes]

        def write(file: int, data: Any) -> int:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return really_write(file, data)

        monkeypatch.setattr(os, "write", write)

    return fill
