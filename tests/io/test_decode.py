import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qumade.errors import QumadeError
from qumade.io.decode import decode_bilevel, decode_grey, decode_rgb

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


def test_sixteen_bits_are_no_image_and_levels_no_ignore() -> None:
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
def test_rubbish_never_escapes_as_another_error(rubbish: bytes, start: bytes) -> None:
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
def test_a_picture_to_be_turned_is_refused(format_name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with pytest.raises(QumadeError, match="EXIF orientation 6"):
        decode_rgb(encoded(COLOUR, format_name, exif=exif), PATH)
    exif[0x0112] = 1
    assert decode_rgb(encoded(COLOUR, format_name, exif=exif), PATH).shape == COLOUR.shape
