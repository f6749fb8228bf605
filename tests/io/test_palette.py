import io

import numpy as np
from PIL import Image

from qumade.io.palette import palette_png, voc_palette


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
