import io
from pathlib import Path

import numpy as np
from PIL import Image

from qumade.io.palette import palette_png, read_palette, voc_palette


def test_the_first_colours_are_those_of_the_challenge():
    expected = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)]
    assert [tuple(colour) for colour in voc_palette()[:7].tolist()] == expected
    assert voc_palette()[255].tolist() == [224, 224, 192]
    assert len({tuple(colour) for colour in voc_palette().tolist()}) == 256


def test_a_map_keeps_its_values_and_shows_the_colours():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.open(io.BytesIO(palette_png(values)))
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image), values)
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")).reshape(-1, 3), voc_palette())


def test_the_palette_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(palette_png(np.array([[0, 20]], np.uint8)))
    palette = read_palette(path)
    assert palette is not None
    np.testing.assert_array_equal(palette[:21], voc_palette()[:21])
    image = Image.fromarray(np.array([[0, 2]], np.uint8))
    image.save(path)
    assert read_palette(path) is None
    path.write_bytes(b"no PNG at all, but bytes")
    assert read_palette(path) is None
