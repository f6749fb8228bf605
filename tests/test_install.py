"""What the small installation can do: the base package alone, without the packages of the extra `train`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qumade.extras import TRAIN_PACKAGES

ROOT = Path(__file__).parents[1]
COMMAND = "from qumade.cli import main; main()"
# Python looks at sys.modules first: None there means that the package is not installed.
WITHOUT = "import sys; sys.modules.update(dict.fromkeys({packages!r})); sys.argv[1:] = {arguments!r}; " + COMMAND
SMALL = [
    ["samples", "samples"],
    ["check", "--backgrounds=samples/backgrounds", "--foregrounds=samples/foregrounds"],
    ["generate", "--recipe=samples/recipe.yaml", "--out=data", "--limit=12", "--workers=1"],
    ["preview", "data", "--out=sheet.png", "--count=2"],
    ["stats", "data", "--workers=1"],
    ["audit", "data"],
    ["convert", "data", "--to=voc", "--out=voc", "--workers=1"],
    ["start", "samples/backgrounds", "samples/foregrounds", "--out=project"],
]


def run_without(folder: Path, arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    code = WITHOUT.format(packages=TRAIN_PACKAGES, arguments=arguments)
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_datasets_are_made_without_the_packages_for_training(tmp_path: Path) -> None:
    for arguments in SMALL:
        done = run_without(tmp_path, arguments)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
    assert "the plot of the placements needs" in run_without(tmp_path, SMALL[4]).stderr
    done = run_without(tmp_path, ["train", "data", "--out=run", "--steps=1"])
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "which qumade train needs; install it with: pip install 'qumade[train]'" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif("QUMADE_TEST_INSTALL" not in os.environ, reason="`make wheel` sets QUMADE_TEST_INSTALL")
def test_the_wheel_installs_into_an_empty_environment_and_generates(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("qumade-*.whl")
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    subprocess.run([environment / "bin" / "python", "-m", "pip", "install", wheel], check=True)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for arguments in (SMALL[0], SMALL[2]):
        subprocess.run([environment / "bin" / "qumade", *arguments], cwd=tmp_path, env=clean, check=True)
    assert len(list((tmp_path / "data" / "images").iterdir())) == 12
    installed = {path.name for path in (environment / "lib").glob("python*/site-packages/*")}
    assert not installed & set(TRAIN_PACKAGES)
