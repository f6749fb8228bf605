from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qumade.assets.reliefs import read_relief
from qumade.io.pictures import UnusablePicture


def test_levels_are_metres_behind_the_contact(tmp_path: Path) -> None:
    codes = np.array([[0, 1, 32768 - 1024], [32768, 32768 + 512, 65535]], np.uint16)
    Image.fromarray(codes).save(tmp_path / "relief.png")
    relief = read_relief(tmp_path / "relief.png", (3, 2))
    assert relief.dtype == np.float32
    np.testing.assert_allclose(relief, [[0, -32767 / 1024, -1], [0, 0.5, 32767 / 1024]], rtol=1e-6)


def test_invalid_reliefs_are_rejected_by_name(tmp_path: Path, png_claiming: Callable[[int, int], bytes]) -> None:
    codes = np.full((20, 30), 32768, np.uint16)
    Image.fromarray(codes).save(tmp_path / "other_size.png")
    Image.fromarray(codes[:10].repeat(2, 0)).save(tmp_path / "whole.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    (tmp_path / "bomb.png").write_bytes(png_claiming(60_000, 60_000))
    Image.fromarray(codes.astype(np.uint8)).save(tmp_path / "grey8.png")
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "rgb.png")
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "jpeg", "JPEG")
    (tmp_path / "jpeg").rename(tmp_path / "jpeg.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    assert read_relief(tmp_path / "other_size.png", (30, 20)).shape == (20, 30)
    for name, size in {
        "other_size.png": (20, 30), "torn.png": (30, 20), "bomb.png": (60_000, 60_000), "grey8.png": (30, 20),
        "rgb.png": (30, 20), "jpeg.png": (30, 20), "empty.png": (30, 20), "folder.png": (30, 20),
        "missing.png": (30, 20),
    }.items():  # fmt: skip
        with pytest.raises(UnusablePicture) as caught:
            read_relief(tmp_path / name, size)
        assert caught.value.reason == "relief"
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


@given(data=st.data())
def test_damaged_files_never_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    file = tmp_path_factory.mktemp("relief") / "relief.png"
    Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)).save(file)
    raw = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        assert read_relief(file, (30, 20)).shape == (20, 30)
    except UnusablePicture as error:
        assert file.name in str(error)
