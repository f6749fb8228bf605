import hashlib
import io
import random
import struct
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from qumade.errors import QumadeError
from qumade.io.decode import picture_format, read_gray, read_rgb, read_rgba
from qumade.io.pictures import UnusablePicture, content_hash, list_pictures, printable

COLOURS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[0, 0, 0], [255, 255, 255], [10, 120, 230]]], np.uint8)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_list_is_sorted_and_holds_only_pictures(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "a.png", "c.JpEg", "d.webp", "e.txt", ".f.png", "g.gif"):
        (tmp_path / name).touch()
    (tmp_path / "h.png").mkdir()
    (tmp_path / "i.png").symlink_to(tmp_path / "nowhere")
    assert [path.name for path in list_pictures(tmp_path)] == ["a.jpg", "a.png", "b.PNG", "c.JpEg", "d.webp", "i.png"]


def test_list_of_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(QumadeError, match=r"got nothing at .*missing"):
        list_pictures(tmp_path / "missing")
    with pytest.raises(QumadeError, match=r"got a file at .*file"):
        list_pictures(tmp_path / "file")


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_rgb_is_unchanged(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(COLOURS), lossless=True)
    rgb, alpha = read_rgba(path)
    assert alpha is None and rgb.dtype == np.uint8
    np.testing.assert_array_equal(rgb, COLOURS)
    np.testing.assert_array_equal(read_rgb(path), COLOURS)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_alpha_is_straight_and_unchanged(tmp_path: Path, suffix: str) -> None:
    stored = np.dstack([COLOURS, np.array([[0, 1, 127], [128, 254, 255]], np.uint8)])
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(stored), lossless=True, exact=True)
    rgb, alpha = read_rgba(path)
    np.testing.assert_array_equal(np.dstack([rgb, alpha]), stored)


def test_gray_modes(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    gray = save(tmp_path / "l.png", Image.fromarray(levels))
    as_rgb = save(tmp_path / "rgb.png", Image.fromarray(levels).convert("RGB"))
    for path in (gray, as_rgb):
        np.testing.assert_array_equal(read_gray(path), levels)
        np.testing.assert_array_equal(read_rgb(path), np.dstack([levels] * 3))
    pixels = np.dstack([levels, levels[::-1]])
    rgb, alpha = read_rgba(save(tmp_path / "la.png", Image.fromarray(pixels, "LA")))
    np.testing.assert_array_equal(np.dstack([rgb[..., 1], alpha]), pixels)
    bits = levels % 3 == 0
    path = save(tmp_path / "1.png", Image.fromarray(bits))
    np.testing.assert_array_equal(read_gray(path), 255 * bits)
    np.testing.assert_array_equal(read_rgb(path)[..., 2], 255 * bits)


def test_16_bit_gray_is_rounded_to_8(tmp_path: Path) -> None:
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    path = save(tmp_path / "a.png", Image.fromarray(levels))
    expected = np.rint(levels / 257)
    np.testing.assert_array_equal(read_gray(path), expected)
    rgb, alpha = read_rgba(path)
    assert alpha is None
    np.testing.assert_array_equal(rgb, np.dstack([expected] * 3))


def test_transparent_colours(tmp_path: Path) -> None:
    image = Image.fromarray(COLOURS)
    _, alpha = read_rgba(save(tmp_path / "rgb.png", image, transparency=(0, 255, 0)))
    np.testing.assert_array_equal(alpha, [[255, 0, 255], [255, 255, 255]])
    _, alpha = read_rgba(save(tmp_path / "l.png", image.getchannel("R"), transparency=10))
    np.testing.assert_array_equal(alpha, [[255, 255, 255], [255, 255, 0]])
    wide = Image.fromarray(np.array([[5, 261, 65535]], np.uint16))
    _, alpha = read_rgba(save(tmp_path / "i16.png", wide, transparency=261))
    np.testing.assert_array_equal(alpha, [[255, 0, 255]])


def test_palette(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2], [2, 1, 0]], np.uint8), "P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    colours = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]])[[[0, 1, 2], [2, 1, 0]]]
    rgb, alpha = read_rgba(save(tmp_path / "plain.png", image))
    assert alpha is None
    np.testing.assert_array_equal(rgb, colours)
    rgb, alpha = read_rgba(save(tmp_path / "clear.png", image, transparency=bytes([0, 100, 255])))
    np.testing.assert_array_equal(rgb, colours)
    np.testing.assert_array_equal(alpha, [[0, 100, 255], [255, 100, 0]])


def test_cmyk(tmp_path: Path) -> None:
    """Cyan ink takes red away; black ink takes all. JPEG may be off by some levels."""
    inks = np.zeros((8, 32, 4), np.uint8)
    inks[:, 8:16, 0], inks[:, 16:24, 3], inks[:, 24:, 1] = 255, 255, 255
    path = save(tmp_path / "a.jpg", Image.fromarray(inks, "CMYK"), quality=100)
    seen = read_rgb(path)[4, [4, 12, 20, 28]].astype(int)
    assert np.abs(seen - [[255, 255, 255], [0, 255, 255], [0, 0, 0], [255, 0, 255]]).max() <= 3


def test_16_bit_colour(tmp_path: Path) -> None:
    """Written by hand: Pillow reads but does not write it. A transparent colour in it is refused, not guessed."""
    chunk = PngImagePlugin.putchunk

    def write(name: str, transparent: bytes) -> Path:
        file = io.BytesIO()
        file.write(b"\x89PNG\r\n\x1a\n")
        chunk(file, b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
        if transparent:
            chunk(file, b"tRNS", transparent)
        chunk(file, b"IDAT", zlib.compress(b"\0" + struct.pack(">6H", 0x1280, 0xFFFF, 0, 0x3400, 0x5678, 0x9ABC)))
        chunk(file, b"IEND", b"")
        (tmp_path / name).write_bytes(file.getvalue())
        return tmp_path / name

    assert read_rgb(write("a.png", b"")).tolist() == [[[0x12, 0xFF, 0], [0x34, 0x56, 0x9A]]]
    with pytest.raises(UnusablePicture, match="16-bit colour"):
        read_rgba(write("b.png", struct.pack(">3H", 0x3400, 0x5678, 0x9ABC)))


UPRIGHT = {  # EXIF 2.32, tag 0x0112: what a viewer does to the stored rows and columns
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored, 1),
    9: lambda stored: stored,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    alpha = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    path = save(tmp_path / "a.png", Image.fromarray(np.dstack([COLOURS, alpha])), exif=exif)
    expected = UPRIGHT[orientation](np.dstack([COLOURS, alpha]))
    np.testing.assert_array_equal(np.dstack(read_rgba(path)), expected)
    gray16 = save(tmp_path / "b.png", Image.fromarray(alpha.astype(np.uint16) * 257), exif=exif)
    np.testing.assert_array_equal(read_gray(gray16), UPRIGHT[orientation](alpha))
    np.testing.assert_array_equal(read_rgb(gray16)[..., 0], UPRIGHT[orientation](alpha))


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)]
    for name in ("a.png", "a.webp"):
        path = save(tmp_path / name, frames[0], save_all=True, append_images=frames[1:], lossless=True)
        np.testing.assert_array_equal(read_rgb(path), COLOURS)


def test_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", Image.fromarray(COLOURS), format="PNG")
    assert picture_format(path) == "PNG"
    np.testing.assert_array_equal(read_rgb(path), COLOURS)
    assert picture_format(save(tmp_path / "b.png", Image.fromarray(COLOURS), format="JPEG")) == "JPEG"
    for other in ("GIF", "BMP", "TIFF"):
        with pytest.raises(UnusablePicture) as caught:
            read_rgb(save(tmp_path / "c.png", Image.fromarray(COLOURS), format=other))
        assert caught.value.reason == "type"


def test_content_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"abc" * 100_000)
    assert content_hash(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()
    with pytest.raises(UnusablePicture) as caught:
        content_hash(tmp_path / "missing.jpg")
    assert caught.value.reason == "missing"


def test_damaged_files_are_named(damaged_folder: Path, damaged: dict[str, str]) -> None:
    """Reasons that concern the file itself; those that only cut-outs have are read without complaint."""
    for name, reason in damaged.items():
        path = damaged_folder / name
        if reason in {"clear", "full", "small", "no-alpha"}:
            assert read_rgb(path).shape[2] == 3
            continue
        for read in (read_rgb, read_rgba, read_gray):
            with pytest.raises(UnusablePicture) as caught:
                read(path)
            error = caught.value
            assert (error.path, error.reason) == (path, reason)
            assert str(error) == error.message == f"Invalid picture: {error.message.removeprefix('Invalid picture: ')}"
            assert printable(path) in error.message and "\n" not in error.message


def test_printable_names() -> None:
    assert printable(Path("/a/b ü.png")) == "/a/b ü.png"
    printable(Path("/a/\udcff\n.png")).encode("ascii")


@pytest.mark.parametrize("size", [(10_001, 10_000), (60_000, 60_000), (1, 100_000_001)])
def test_too_large_is_refused_before_decoding(
    tmp_path: Path, size: tuple[int, int], png_claiming: Callable[[int, int], bytes]
) -> None:
    (tmp_path / "a.png").write_bytes(png_claiming(*size))
    with pytest.raises(UnusablePicture) as caught:
        read_rgb(tmp_path / "a.png")
    assert caught.value.reason == "bomb"


def test_no_warning_escapes(tmp_path: Path, png_claiming: Callable[[int, int], bytes]) -> None:
    """Pillow warns of pictures from 89 megapixels and of damaged EXIF, from whichever thread."""
    (tmp_path / "large.png").write_bytes(png_claiming(9_900, 9_900))
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\x0f\x01\x02\0\xff\xff\0\0\xff\xff\xff\0"
    path = save(tmp_path / "exif.jpg", Image.fromarray(COLOURS), exif=exif)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        with pytest.raises(UnusablePicture, match="large"):
            read_rgb(tmp_path / "large.png")
        with ThreadPoolExecutor(8) as pool:
            shapes = list(pool.map(lambda _: read_rgb(path).shape, range(200)))
        assert set(shapes) == {(3, 2, 3)}
        assert warnings.filters == before


def _valid_files() -> list[bytes]:
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 4), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    files = []
    for mode, options in [
        ("RGB", {"format": "JPEG", "exif": exif}),
        ("CMYK", {"format": "JPEG", "progressive": True}),
        ("RGBA", {"format": "PNG", "exif": exif}),
        ("P", {"format": "PNG", "transparency": 3}),
        ("I;16", {"format": "PNG", "transparency": 3}),
        ("RGBA", {"format": "WEBP"}),
        ("RGB", {"format": "WEBP", "lossless": True, "exif": exif}),
    ]:
        rgba = Image.fromarray(noise)
        image = Image.fromarray(noise[..., 0].astype(np.uint16) * 200) if mode == "I;16" else rgba.convert(mode)
        file = io.BytesIO()
        image.save(file, **options)
        files.append(file.getvalue())
    return files


VALID = _valid_files()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(VALID), st.integers(0, 30), st.integers(0, 2**32 - 1), st.booleans())
def test_mutated_files_never_crash(tmp_path: Path, valid: bytes, changes: int, seed: int, cut: bool) -> None:
    source = random.Random(seed)
    data = bytearray(valid)
    for _ in range(changes):
        # Half of the changes hit the headers, where most of the meaning is.
        place = source.randrange(min(len(data), source.choice([64, len(data)])))
        data[place] = source.choice([0, 1, 127, 255, source.randrange(256)])
    if cut:
        del data[source.randrange(len(data)) :]
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for read in (read_rgba, read_gray):
            try:
                read(path)
            except UnusablePicture as error:
                assert error.path == path
            else:
                assert data
    if not cut and changes == 0:
        assert read_rgb(path).shape in {(20, 30, 3), (30, 20, 3)}


@pytest.mark.parametrize("valid", VALID)
def test_every_truncation_of_a_file_is_refused_or_read_whole(tmp_path: Path, valid: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(valid)
    whole = read_rgb(path)
    refused = 0
    for length in range(0, len(valid), 7):
        path.write_bytes(valid[:length])
        try:
            np.testing.assert_array_equal(read_rgb(path), whole)
        except UnusablePicture:
            refused += 1
    assert refused > 0.9 * len(valid) / 7
