import io

import numpy as np
from PIL import Image

from qumade.studio.pictures import OBJECT_COLOURS, PREFIX, PictureStore, fitted, overlaid, thumbnail


def test_the_store_gives_back_what_was_added_and_forgets_the_oldest():
    store = PictureStore(room_bytes=30)
    first, second = store.add(b"a" * 20), store.add(b"b" * 9)
    assert store.add(b"a" * 20) == first, "an address depends on the content alone"
    store.add(b"c" * 5)
    assert store.get(second.removeprefix(PREFIX)) is None
    assert store.get(first.removeprefix(PREFIX)) == b"a" * 20
    assert store.get("nothing") is None


def test_colours_are_sent_within_a_few_levels_and_alpha_exactly():
    store = PictureStore()
    v, u = np.mgrid[:64, :64]
    smooth = np.stack([u * 4, v * 4, (u + v) * 2], axis=2).astype(np.uint8)
    sent = np.asarray(Image.open(io.BytesIO(store.get(store.add(smooth).removeprefix(PREFIX)))))
    assert np.abs(sent.astype(int) - smooth).max() <= 6
    alpha = np.dstack([smooth, smooth[..., 0]])
    sent = np.asarray(Image.open(io.BytesIO(store.get(store.add(alpha).removeprefix(PREFIX)))))
    np.testing.assert_array_equal(sent, alpha)


def test_overlays():
    image = np.full((2, 3, 3), 100, np.uint8)
    mask = np.array([[0, 255, 128], [0, 0, 0]], np.uint8)
    owner = np.array([[0, 1, 2], [0, 0, 8]], np.uint8)
    assert overlaid("image", image, mask=mask) is image
    assert overlaid("mask", image) is image, "a label that does not exist changes nothing"
    drawn = overlaid("mask", image, mask=mask, ignore=np.array([[0, 0, 0], [1, 0, 0]], bool))
    np.testing.assert_array_equal(drawn[0, 0], 100)
    np.testing.assert_array_equal(drawn[0, 1], np.round(0.4 * 100 + 0.6 * np.array(OBJECT_COLOURS[0])))
    np.testing.assert_array_equal(drawn[1, 0], np.round(0.4 * 100 + 0.6 * np.array([90, 90, 96])))
    drawn = overlaid("instances", image, owner=owner)
    for at, colour in (((0, 1), 0), ((0, 2), 1), ((1, 2), 0)):  # the eighth object has the colour of the first
        np.testing.assert_array_equal(drawn[at], np.round(35 + 0.65 * np.array(OBJECT_COLOURS[colour])))
    depth = overlaid("depth", image, inverse_depth=np.array([[0, 0.5, 1], [np.nan, 1, 1]], np.float32), limits=(0, 1))
    assert depth[0, 0].sum() < depth[0, 1].sum() < depth[0, 2].sum()


def test_sizes():
    assert thumbnail(np.zeros((100, 50, 4), np.uint8), 20).shape == (20, 10, 4)
    assert thumbnail(np.zeros((10, 5, 3), np.uint8), 20).shape == (10, 5, 3)
    assert set(np.unique(fitted(np.array([[0, 255]], np.uint8), (7, 3)))) == {0, 255}
