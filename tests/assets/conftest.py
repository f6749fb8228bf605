import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_claiming(width: int, height: int) -> bytes:
    """A PNG of some 70 bytes that claims any size."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", zlib.compress(b"\0" * 64)) + _chunk(b"IEND", b"")


@pytest.fixture
def png_claiming() -> Callable[[int, int], bytes]:
    return _png_claiming


@pytest.fixture
def photo() -> np.ndarray:
    """uint8 [150, 200, 3]: noise of several sizes, so that no two parts are alike and files are not tiny."""
    rng = np.random.default_rng(7)
    layers = [
        Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).resize((200, 150), Image.Resampling.BICUBIC)
        for side in (4, 9, 40)
    ]
    return np.mean([np.asarray(layer, float) for layer in layers], axis=0).astype(np.uint8)


@pytest.fixture
def disc() -> np.ndarray:
    """Straight-alpha uint8 [40, 60, 4]: a red disc of radius 15 around (30, 20), soft by one pixel."""
    v, u = np.mgrid[:40, :60] + 0.5
    coverage = np.clip(15.5 - np.hypot(u - 30, v - 20), 0, 1)
    pixels = np.zeros((40, 60, 4), np.uint8)
    pixels[..., 0] = 200
    pixels[..., 3] = np.rint(255 * coverage)
    return pixels


DAMAGED = {
    "bomb.png": "bomb",
    "broken_link.png": "missing",
    "clear.png": "clear",
    "full.png": "full",
    "header_only.jpg": "damaged",
    "line\nbreak.png": "empty",
    "loop.png": "unreadable",
    "no_alpha.jpg": "no-alpha",
    "pipe.png": "type",
    "small.png": "small",
    "text.jpg": "type",
    "tiff.png": "type",
    "torn.jpg": "truncated",
    "torn.png": "truncated",
    "zero.webp": "empty",
}
"""Every file of `damaged_folder` that cannot be a cut-out, and the reason."""


@pytest.fixture
def damaged() -> dict[str, str]:
    return DAMAGED


@pytest.fixture
def damaged_folder(tmp_path: Path, photo: np.ndarray, disc: np.ndarray) -> Path:
    """All of DAMAGED, one good cut-out, and things that are no pictures at all."""
    folder = tmp_path / "damaged"
    folder.mkdir()
    clear, full, small = disc.copy(), disc.copy(), np.zeros_like(disc)
    clear[..., 3], full[..., 3], small[10:17, 10:40] = 0, 255, 255
    for name, pixels in {"good.png": disc, "clear.png": clear, "full.png": full, "small.png": small}.items():
        Image.fromarray(pixels).save(folder / name)
    Image.fromarray(photo).save(folder / "no_alpha.jpg")
    Image.fromarray(photo).save(folder / "tiff.png", "TIFF")
    for suffix in ("jpg", "png"):
        Image.fromarray(photo).save(folder / f"torn.{suffix}")
        whole = (folder / f"torn.{suffix}").read_bytes()
        (folder / f"torn.{suffix}").write_bytes(whole[: len(whole) // 2])
    (folder / "header_only.jpg").write_bytes((folder / "no_alpha.jpg").read_bytes()[:20])
    (folder / "bomb.png").write_bytes(_png_claiming(60_000, 60_000))
    (folder / "text.jpg").write_text("not a picture")
    (folder / "zero.webp").touch()
    (folder / "line\nbreak.png").touch()
    (folder / "broken_link.png").symlink_to(folder / "nowhere.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    (folder / "readme.txt").write_text("ignored")
    (folder / ".hidden.png").touch()
    return folder
