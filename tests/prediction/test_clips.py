import errno
import io
import os
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qumade.errors import RunError
from qumade.prediction.clips import ClipWriter, UnusableClip, is_clip

av = pytest.importorskip("av", reason="the extra `video` is not installed")


def test_clips_are_known_by_their_names() -> None:
    assert is_clip(Path("a.MP4")) and is_clip(Path("b.mkv")) and not is_clip(Path("c.jpg"))


class FullAfter(io.BytesIO):
    """A disk with room for a few writes."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self.left = writes

    def write(self, data: Any) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


@pytest.mark.parametrize(("name", "writes"), [("overlay", 0), ("overlay", 2), ("overlay", 4), ("mask", 0), ("mask", 2)])
def test_a_disk_that_fills_at_any_write_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: Any, writes: int
) -> None:
    real = Path.open
    opened = lambda path, mode="r": FullAfter(writes) if ".tmp-" in path.name else real(path, mode)  # noqa: E731
    monkeypatch.setattr(Path, "open", opened)
    source: Any = SimpleNamespace(rate=25, time_base=Fraction(1, 25))
    pixels = np.zeros((32, 48, 3) if name == "overlay" else (32, 48), np.uint8)
    with pytest.raises(RunError, match=rf"Invalid output: cannot write {tmp_path}/clip: No space left"):  # noqa: SIM117
        with ClipWriter(tmp_path / "clip", name, source) as write:
            for time in range(3):
                write(pixels, time)
    assert list(tmp_path.iterdir()) == [] and capfd.readouterr().err == ""


def test_the_first_error_is_told(tmp_path: Path) -> None:
    source: Any = SimpleNamespace(rate=25, time_base=Fraction(1, 25))
    with pytest.raises(UnusableClip, match="other"), ClipWriter(tmp_path / "clip", "mask", source) as write:
        write(np.zeros((32, 48), np.uint8), 0)
        raise UnusableClip("other")
    assert list(tmp_path.iterdir()) == []
