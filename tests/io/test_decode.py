import io
import pickle
import random
import struct
import sys
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from qumade.errors import QumadeError
from qumade.io import decode as decode_module
from qumade.io.decode import (
    decode_bilevel,
    decode_grey,
    decode_rgb,
    read_gray,
    read_levels,
    read_rgb,
    read_rgba,
)
from qumade.io.pictures import UnusablePicture, printable

PATH = Path("/somewhere/picture")
RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (10, 14, 3), np.uint8)
GREY = RNG.integers(0, 256, (10, 14), np.uint8)


def encoded(picture: Image.Image | np.ndarray, format_name: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    (Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture).save(buffer, format_name, **settings)
    return buffer.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, bits: int, colour_type: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_png_colour_comes_back_exactly() -> None:
    decoded = decode_rgb(encoded(COLOUR, "PNG"), PATH)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, COLOUR)


@pytest.mark.parametrize("settings", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 2}])
def test_jpeg_equals_an_independent_decoder(settings: dict[str, Any]) -> None:
    data = encoded(COLOUR, "JPEG", quality=90, **settings)
    np.testing.assert_array_equal(decode_rgb(data, PATH), np.asarray(Image.open(io.BytesIO(data))))


def test_grey_and_palette_pictures_become_colour() -> None:
    np.testing.assert_array_equal(decode_rgb(encoded(GREY, "PNG"), PATH), np.repeat(GREY[:, :, None], 3, 2))
    palette = Image.fromarray(COLOUR).quantize(16)
    np.testing.assert_array_equal(decode_rgb(encoded(palette, "PNG"), PATH), np.asarray(palette.convert("RGB")))


def test_cmyk_jpeg_is_converted() -> None:
    flat = Image.new("RGB", (16, 16), (200, 80, 40))
    decoded = decode_rgb(encoded(flat.convert("CMYK"), "JPEG", quality=95), PATH)
    assert np.abs(decoded.astype(int) - (200, 80, 40)).max() <= 6


def test_opaque_alpha_is_dropped_and_transparency_refused() -> None:
    rgba = np.dstack([COLOUR, np.full(GREY.shape, 255, np.uint8)])
    np.testing.assert_array_equal(decode_rgb(encoded(rgba, "PNG"), PATH), COLOUR)
    rgba[3, 3, 3] = 254
    with pytest.raises(QumadeError, match=r"got transparent pixels in /somewhere/picture"):
        decode_rgb(encoded(rgba, "PNG"), PATH)


def test_grey_png_comes_back_exactly_also_when_saved_as_colour() -> None:
    for picture in (GREY, np.repeat(GREY[:, :, None], 3, 2)):
        np.testing.assert_array_equal(decode_grey(encoded(picture, "PNG"), PATH), GREY)


def test_grey_jpeg_saved_as_colour_equals_its_luma() -> None:
    data = encoded(np.repeat(GREY[:, :, None], 3, 2), "JPEG", quality=95)
    np.testing.assert_array_equal(decode_grey(data, PATH), np.asarray(Image.open(io.BytesIO(data)).convert("L")))
    grey = simplejpeg.encode_jpeg(GREY[:, :, None], quality=100, colorspace="gray", colorsubsampling="Gray")
    assert np.abs(decode_grey(grey, PATH).astype(int) - GREY).max() <= 2


def test_sixteen_bits_keep_every_code() -> None:
    codes = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
    decoded = decode_grey(encoded(codes, "PNG"), PATH)
    assert decoded.dtype == np.uint16
    np.testing.assert_array_equal(decoded, codes)


def test_one_bit_is_black_and_white() -> None:
    bits = GREY > 100
    np.testing.assert_array_equal(decode_grey(encoded(bits, "PNG"), PATH), np.where(bits, 255, 0))
    np.testing.assert_array_equal(decode_bilevel(encoded(bits, "PNG"), PATH), bits)
    np.testing.assert_array_equal(decode_bilevel(encoded(np.where(bits, 255, 0).astype(np.uint8), "PNG"), PATH), bits)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (encoded(COLOUR, "PNG"), "got colours"),
        (encoded(COLOUR, "JPEG", quality=95), "got colours"),
        (encoded(Image.fromarray(COLOUR).quantize(16), "PNG"), "got colours"),
        (encoded(Image.fromarray(GREY).convert("LA"), "PNG"), "alpha channel"),
        (encoded(Image.fromarray(COLOUR).convert("CMYK"), "JPEG"), "CMYK"),
        (png(2, 1, 16, 2, b"\0" + bytes(12)), "16-bit colour"),
    ],
)
def test_labels_that_are_not_grey_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(QumadeError, match=message):
        decode_grey(data, PATH)


def test_16_bit_images_and_grey_ignore_masks_are_refused() -> None:
    with pytest.raises(QumadeError, match="16-bit"):
        decode_rgb(encoded(GREY.astype(np.uint16), "PNG"), PATH)
    with pytest.raises(QumadeError, match="black and white only"):
        decode_bilevel(encoded(GREY, "PNG"), PATH)


@pytest.mark.parametrize("format_name", ["PNG", "JPEG"])
def test_every_truncation_is_refused_by_name(format_name: str) -> None:
    data = encoded(GREY, format_name)
    for length in range(len(data)):
        for decode in (decode_rgb, decode_grey):
            with pytest.raises(QumadeError, match="in /somewhere/picture; must be"):
                decode(data[:length], PATH)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", encoded(GREY, "PNG")[:50]]))
def test_random_bytes_raise_no_other_error(rubbish: bytes, start: bytes) -> None:
    for decode in (decode_rgb, decode_grey, decode_bilevel):
        with pytest.raises(QumadeError):
            decode(start + rubbish, PATH)


@given(st.integers(0, 10_000), st.integers(0, 255), st.sampled_from(["PNG", "JPEG"]))
def test_a_flipped_byte_gives_pixels_or_a_refusal(position: int, byte: int, format_name: str) -> None:
    data = bytearray(encoded(GREY, format_name))
    data[position % len(data)] = byte
    try:
        assert decode_grey(bytes(data), PATH).ndim == 2
    except QumadeError as error:
        assert "\n" not in str(error)


def test_bombs_are_refused_before_their_pixels_are_decoded() -> None:
    with pytest.raises(QumadeError, match="got 60000x60000 pixels"):
        decode_grey(png(60000, 60000, 8, 0, b""), PATH)
    jpeg = bytearray(encoded(GREY, "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65000, 65000)
    with pytest.raises(QumadeError, match="got 65000x65000 pixels"):
        decode_rgb(bytes(jpeg), PATH)


@pytest.mark.parametrize("format_name", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", range(11))
def test_only_pictures_that_are_stored_upright_are_accepted(format_name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(GREY, format_name, exif=exif)
    for decode in (decode_rgb, decode_grey):
        if 2 <= orientation <= 8:  # EXIF knows 1 to 8; viewers show anything else as it is stored
            with pytest.raises(UnusablePicture, match=f"EXIF orientation {orientation} in .*; must be stored upright"):
                decode(data, PATH)
        else:
            assert decode(data, PATH).shape[:2] == GREY.shape


@pytest.mark.parametrize("format_name", ["PNG", "JPEG"])
def test_orientation_in_xmp_counts(format_name: str) -> None:
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    if format_name == "JPEG":
        data = encoded(COLOUR, "JPEG", xmp=packet)
    else:
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        data = encoded(COLOUR, "PNG", pnginfo=info)
    with pytest.raises(UnusablePicture, match="EXIF orientation 6"):
        decode_rgb(data, PATH)


@pytest.mark.parametrize("colour", ["RGB", "L", "CMYK"])
def test_damage_in_the_middle_of_a_jpeg_is_refused_for_datasets_and_assets(tmp_path: Path, colour: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (200, 300, 3), np.uint8)
    data = bytearray(encoded(Image.fromarray(noise).convert(colour), "JPEG", quality=90))
    decode_rgb(bytes(data), PATH)
    third = len(data) // 3
    data[third : 2 * third] = bytes(third)
    Image.open(io.BytesIO(data)).load()  # viewers show it
    with pytest.raises(UnusablePicture, match="damaged data"):
        decode_rgb(bytes(data), PATH)
    (tmp_path / "photo.jpg").write_bytes(data)
    for read in (read_rgb, read_rgba, read_gray):
        with pytest.raises(UnusablePicture, match=r"damaged data .* in .*photo\.jpg; must be a whole JPEG"):
            read(tmp_path / "photo.jpg")


def test_a_wrong_checksum_of_a_png_is_refused_for_datasets_and_assets(tmp_path: Path) -> None:
    data = bytearray(encoded(COLOUR, "PNG"))
    data[data.index(b"IDAT") - 4 + int.from_bytes(data[data.index(b"IDAT") - 4 : data.index(b"IDAT")], "big") + 8] ^= 1
    (tmp_path / "photo.png").write_bytes(data)
    with pytest.raises(UnusablePicture, match="damaged data"):
        decode_rgb(bytes(data), PATH)
    for read in (read_rgb, read_gray):
        with pytest.raises(UnusablePicture, match="damaged data"):
            read(tmp_path / "photo.png")


@pytest.mark.parametrize("kind", ["VP8 ", "VP8L", "VP8X"])
def test_sizes_of_webp_are_read_from_the_header(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rgba = np.zeros((700, 900, 4), np.uint8)
    options: dict[str, Any] = {
        "VP8 ": {},
        "VP8L": {"lossless": True},
        "VP8X": {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"},
    }[kind]
    data = encoded(Image.fromarray(rgba[..., :3]), "WEBP", **options)
    assert data[12:16] == kind.encode()
    (tmp_path / "a.webp").write_bytes(data)
    assert read_rgb(tmp_path / "a.webp").shape == (700, 900, 3)
    monkeypatch.setattr(decode_module, "MAX_PIXELS", 900 * 700 - 1)
    opened = []
    monkeypatch.setitem(decode_module._READERS, "WEBP", opened.append)
    with pytest.raises(UnusablePicture, match="got 900x700 pixels"):
        read_rgb(tmp_path / "a.webp")
    assert not opened


def test_the_error_can_be_pickled() -> None:
    with pytest.raises(UnusablePicture) as caught:
        decode_rgb(b"rubbish", PATH)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is UnusablePicture and str(again) == str(caught.value)
    assert (again.path, again.reason, again.detail) == (PATH, "type", caught.value.detail)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("kind", ["grey", "grey16", "palette"])
def test_levels_are_read_as_stored_and_turned_upright(tmp_path: Path, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    levels = GREY.astype(np.uint16) * 257 if kind == "grey16" else GREY
    picture = Image.fromarray(levels)
    if kind == "palette":
        picture = Image.frombytes("P", (14, 10), GREY.tobytes())
        picture.putpalette(list(reversed(range(256))) * 3)
    picture.save(tmp_path / "levels.png", exif=exif)
    found = read_levels(tmp_path / "levels.png")
    assert found.dtype == levels.dtype
    np.testing.assert_array_equal(found, levels if orientation == 1 else np.rot90(levels, -1))


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (encoded(COLOUR, "PNG"), "8-bit RGB"),
        (encoded(Image.fromarray(GREY).convert("LA"), "PNG"), "8-bit grey with alpha"),
        (encoded(GREY > 100, "PNG"), "1-bit grey"),
        (encoded(GREY, "JPEG"), "a JPEG file"),
    ],
)
def test_levels_that_a_decoder_would_change_are_refused(tmp_path: Path, data: bytes, got: str) -> None:
    (tmp_path / "levels.png").write_bytes(data)
    with pytest.raises(UnusablePicture, match=f"got {got} in"):
        read_levels(tmp_path / "levels.png")


# Files of assets, turned upright


COLOURS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[0, 0, 0], [255, 255, 255], [10, 120, 230]]], np.uint8)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


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
        np.testing.assert_array_equal(read_gray(path)[0], levels)
        np.testing.assert_array_equal(read_rgb(path), np.dstack([levels] * 3))
    pixels = np.dstack([levels, levels[::-1]])
    rgb, alpha = read_rgba(save(tmp_path / "la.png", Image.fromarray(pixels, "LA")))
    np.testing.assert_array_equal(np.dstack([rgb[..., 1], alpha]), pixels)
    bits = levels % 3 == 0
    path = save(tmp_path / "1.png", Image.fromarray(bits))
    np.testing.assert_array_equal(read_gray(path)[0], 255 * bits)
    np.testing.assert_array_equal(read_rgb(path)[..., 2], 255 * bits)


def test_16_bit_gray_is_rounded_to_8(tmp_path: Path) -> None:
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    path = save(tmp_path / "a.png", Image.fromarray(levels))
    expected = np.rint(levels / 257)
    np.testing.assert_array_equal(read_gray(path)[0], expected)
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
    np.testing.assert_array_equal(read_gray(gray16)[0], UPRIGHT[orientation](alpha))
    np.testing.assert_array_equal(read_rgb(gray16)[..., 0], UPRIGHT[orientation](alpha))


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)]
    for name in ("a.png", "a.webp"):
        path = save(tmp_path / name, frames[0], save_all=True, append_images=frames[1:], lossless=True)
        np.testing.assert_array_equal(read_rgb(path), COLOURS)


def test_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", Image.fromarray(COLOURS), format="PNG")
    np.testing.assert_array_equal(read_rgb(path), COLOURS)
    for kind in ("PNG", "JPEG"):
        assert read_gray(save(tmp_path / "b.webp", Image.fromarray(GREY), format=kind))[1] == kind
    for other in ("GIF", "BMP"):
        with pytest.raises(UnusablePicture) as caught:
            read_rgb(save(tmp_path / "c.png", Image.fromarray(COLOURS), format=other))
        assert caught.value.reason == "type"


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


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_tiff_is_read_as_it_is_stored(tmp_path: Path, compression: str | None) -> None:
    path = save(tmp_path / "a.tif", Image.fromarray(COLOUR), compression=compression)
    np.testing.assert_array_equal(read_rgb(path), COLOUR)
    rgba = np.dstack([COLOUR, GREY])
    found = read_rgba(save(tmp_path / "b.tif", Image.fromarray(rgba), compression=compression))
    np.testing.assert_array_equal(np.dstack(found), rgba)
    wide = save(tmp_path / "c.tif", Image.fromarray(GREY.astype(np.uint16) * 257))
    np.testing.assert_array_equal(read_rgb(wide)[..., 1], GREY)
    floats = save(tmp_path / "d.tif", Image.fromarray(GREY.astype(np.float32)))
    with pytest.raises(UnusablePicture, match="32-bit numbers"):
        read_rgb(floats)


@pytest.mark.parametrize("kind", ["TIFF", "AVIF"])
def test_turned_tiff_and_avif_are_turned_upright_once_and_refused_in_datasets(tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    tall = np.zeros((40, 20, 3), np.uint8)
    tall[:10] = 200
    path = save(tmp_path / "a.bin", Image.fromarray(tall), format=kind, exif=exif)
    upright = read_rgb(path)
    assert upright.shape == (20, 40, 3)
    np.testing.assert_allclose(upright, np.rot90(tall, -1), atol=24)
    with pytest.raises(UnusablePicture, match="EXIF orientation 6"):
        decode_rgb(path.read_bytes(), path, (kind,))


def test_damaged_tiff_and_avif_are_named(tmp_path: Path) -> None:
    for kind in ("TIFF", "AVIF"):
        data = encoded(COLOUR, kind)
        (tmp_path / "torn.jpg").write_bytes(data[: len(data) // 2])
        with pytest.raises(UnusablePicture, match=rf"torn.jpg; must be a whole {kind}"):
            read_rgb(tmp_path / "torn.jpg")


@pytest.mark.parametrize(("name", "turned"), [("upright", False), ("turned", True)])
def test_heif_is_read_upright_and_damage_is_named(tmp_path: Path, name: str, turned: bool) -> None:
    """The two files were written by libheif with x265 (pillow-heif): a red box on grey ground below a blue sky; one
    has an `irot` box and EXIF orientation 6, as the pictures of phones do."""
    pytest.importorskip("pi_heif", reason="the extra `heif` is not installed")
    expected = np.zeros((48, 64, 3), np.uint8)
    expected[:24], expected[24:], expected[20:36, 10:30] = (60, 120, 220), (90, 90, 90), (220, 40, 40)
    file = Path(__file__).parents[1] / "fixtures" / f"{name}.heic"
    found = read_rgb(file).astype(int)
    assert np.abs(found - (np.rot90(expected, -1) if turned else expected)).mean() < 2
    data, damaged = file.read_bytes(), tmp_path / "a.heic"
    for length in range(12, len(data), 41):
        damaged.write_bytes(data[:length])
        with pytest.raises(UnusablePicture, match=rf"{damaged}; must"):
            read_rgb(damaged)


def test_heif_names_the_package_that_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    with pytest.raises(UnusablePicture, match=r"got a HEIF file in .*pip install 'qumade\[heif\]'"):
        read_rgb(tmp_path / "a.heic")


def test_a_grey_picture_has_neither_colour_nor_transparency(tmp_path: Path) -> None:
    with pytest.raises(UnusablePicture, match="colours"):
        read_gray(save(tmp_path / "a.png", Image.fromarray(COLOURS)))
    with pytest.raises(UnusablePicture, match="transparent pixels"):
        read_gray(save(tmp_path / "b.png", Image.fromarray(np.dstack([GREY, GREY]), "LA")))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_palette_picture_without_its_palette_is_refused(tmp_path: Path) -> None:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 3, 0, 0, 0))
    rows = _chunk(b"IDAT", zlib.compress(b"\0\1\2\3\4" * 4))
    path = tmp_path / "p.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + rows + _chunk(b"IEND", b""))
    for read in (read_rgb, read_gray, read_levels):
        with pytest.raises(UnusablePicture, match=f"without its palette.*{path}"):
            read(path)
    for decode in (decode_rgb, decode_grey):
        with pytest.raises(UnusablePicture, match=f"without its palette.*{path}"):
            decode(path.read_bytes(), path)


@pytest.mark.parametrize("exif", [b"", b"\0\0\0", b"no TIFF at all", b"II*\0\xff\xff\xff\xff", b"MM\0*" + bytes(90)])
def test_exif_that_is_no_tiff_changes_nothing(tmp_path: Path, exif: bytes) -> None:
    whole = encoded(Image.fromarray(COLOUR), "PNG")
    path = tmp_path / "p.png"
    path.write_bytes(whole[:33] + _chunk(b"eXIf", exif) + whole[33:])
    np.testing.assert_array_equal(read_rgb(path), COLOUR)
    np.testing.assert_array_equal(decode_rgb(path.read_bytes(), path), COLOUR)
