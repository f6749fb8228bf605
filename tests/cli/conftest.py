import json
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qumade import cli


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def last_line(self) -> Any:
        """The one JSON object on stdout."""
        (line,) = self.out.splitlines()
        return json.loads(line)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Result]]:
    """Calls the command in this process, like its entry point."""
    monkeypatch.setenv("COLUMNS", "200")
    at_sigterm, show = signal.getsignal(signal.SIGTERM), warnings.showwarning

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["qumade", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            cli.main()
        captured = capsys.readouterr()
        assert isinstance(exit_info.value.code, int)
        return Result(exit_info.value.code, captured.out, captured.err)

    yield call
    signal.signal(signal.SIGTERM, at_sigterm)
    warnings.showwarning = show


@pytest.fixture
def assets(asset_folders: Path) -> Path:
    """Returns the asset folders with labels/ of the backgrounds: road below, sky above, no ground in photo_2."""
    (asset_folders / "labels").mkdir()
    for number, (width, height) in enumerate([(60, 45), (80, 50), (45, 60)]):
        ids = np.where(np.mgrid[:height, :width][0] < height // 2, 10, 2 if number == 2 else 0).astype(np.uint8)
        Image.fromarray(ids).save(asset_folders / "labels" / f"photo_{number}.png")
    return asset_folders


@pytest.fixture
def folders(assets: Path) -> Callable[..., list[str]]:
    """Returns the flags for the folders of backgrounds and cut-outs, and for further folders."""
    return lambda *more: [f"--{name}={assets / name}" for name in ("backgrounds", "foregrounds", *more)]
