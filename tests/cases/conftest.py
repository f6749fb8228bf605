import resource
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from PIL import Image

from qumade import cli
from qumade.generation.engine import generate
from qumade.recipe import load_recipe

Run = Callable[..., tuple[int, str]]
TOO_LONG_S = 60


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Calls a command while no file may grow beyond `at_most` bytes; returns the exit code and all that was printed.
    One that hangs fails."""
    at_sigterm, show = signal.getsignal(signal.SIGTERM), warnings.showwarning
    at_alarm = signal.signal(signal.SIGALRM, _too_long)

    def call(command: str, at_most: int | None = None) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["qumade", *command.split()])
        signal.alarm(TOO_LONG_S)
        with _no_file_above(at_most), pytest.raises(SystemExit) as raised:
            cli.main()
        signal.alarm(0)
        printed = capsys.readouterr()
        return int(raised.value.code or 0), printed.out + printed.err

    yield call
    signal.alarm(0)
    signal.signal(signal.SIGALRM, at_alarm)
    signal.signal(signal.SIGTERM, at_sigterm)
    warnings.showwarning = show


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"no end after {TOO_LONG_S} s")


@contextmanager
def _no_file_above(at_most: int | None) -> Iterator[None]:
    """A limit of the process (RLIMIT_FSIZE): writing beyond it fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft if at_most is None else at_most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """backgrounds/, foregrounds/, recipe.yaml with label maps, pairs/, a dataset of images and masks, and made/, one
    that was generated."""
    root, rng = tmp_path_factory.mktemp("inputs"), np.random.default_rng(0)
    for name in ("backgrounds", "foregrounds", "labels", "pairs/images", "pairs/masks"):
        (root / name).mkdir(parents=True)
    for number in range(3):
        photo = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8)).resize((64, 48), Image.Resampling.BICUBIC)
        photo.save(root / "backgrounds" / f"photo_{number}.png")
        Image.fromarray(np.repeat([[10], [0]], 24, axis=0).repeat(64, axis=1).astype(np.uint8)).save(
            root / "labels" / f"photo_{number}.png"
        )
        cutout = np.zeros((30, 40, 4), np.uint8)
        cutout[4:-4, 4:-4] = (*rng.integers(0, 256, 3), 255)
        Image.fromarray(cutout).save(root / "foregrounds" / f"thing_{number}.png")
    for number in range(6):
        image, mask = rng.integers(0, 256, (48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8)
        image[10:40, 5 + number : 45 + number], mask[10:40, 5 + number : 45 + number] = 200, 255
        if number == 5:
            mask[:] = 0  # becomes a background
        Image.fromarray(image).save(root / "pairs" / "images" / f"p{number}.png")
        Image.fromarray(mask).save(root / "pairs" / "masks" / f"p{number}.png")
    fields = (
        "backgrounds: backgrounds\nforegrounds: foregrounds\nlabels: labels\nlabel_names: cityscapes\nsize: [32, 32]"
    )
    (root / "recipe.yaml").write_text(fields)
    recipe = load_recipe(root / "recipe.yaml").model_copy(update={"instances": True, "placement": "random"})
    generate(recipe, root / "made", limit=20, workers=1, progress=False)
    return root


@pytest.fixture(scope="session")
def trained(inputs: Path) -> Path:
    """A run, inputs/run, with untrained weights."""
    from qumade.models.config import NetworkConfig
    from qumade.models.network import build_network
    from qumade.training.run_folder import RunFolder, write_weights

    config = NetworkConfig(size=(64, 64), depth_kind="metric", inverse_depth_limits=(0.0, 0.5))
    network = build_network(config)
    for which in ("best", "last"):
        write_weights(RunFolder(inputs / "run"), which, network, config, {"step": 1})
    return inputs / "run"
