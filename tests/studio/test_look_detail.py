from dataclasses import replace

import numpy as np
import pytest

from qumade.data.dataset import LabeledSample
from qumade.data.opening import open_dataset
from qumade.studio.look_detail import ask, describe, limits_of, picture_of_sample, wins
from qumade.studio.looking import Table
from qumade.studio.predicting import Networks


def test_a_sample_is_described_object_by_object():
    table = Table(
        np.array(["a", "b"]), np.array([1, 1]), {"split": np.array([0, 1]), "foreground": np.array([0, 1])},
        {"split": ("", "train"), "foreground": ("x\ny.png", "van")}, {"scale": np.array([0.25, 0.5], np.float32)}, None,
        {"mask_iou": np.array([np.nan, 0.5])},
    )  # fmt: skip
    assert describe(table, 1) == ["split: train, mask IoU: 0.500", "x\\ny.png, size 0.25", "van, size 0.5"]
    far = replace(table, numbers={"distance": np.array([7, 9], np.float32)})
    assert describe(far, 1)[2] == "van, distance 9 in a unit of its own"
    assert describe(replace(far, metric=True), 1)[2] == "van, distance 9 m"


def test_the_map_of_two_networks_shows_where_only_one_is_right():
    truth = np.zeros((4, 6), np.uint8)
    truth[:, :3] = 255
    a, b = truth.copy(), truth.copy()
    a[0, 0] = 0  # only B is right
    b[1, 5] = 255  # only A is right
    a[2, 2], b[2, 2] = 0, 0  # both are wrong
    a[3, 3] = 255  # ignored
    ignore = np.zeros(truth.shape, bool)
    ignore[3, 3] = True
    sample = LabeledSample(np.full((4, 6, 3), 100, np.uint8), truth, None, ignore)
    picture = wins(sample, a, b).astype(int)
    coloured = np.ptp(picture, axis=2) > 30
    assert np.argwhere(coloured).tolist() == [[0, 0], [1, 5]]
    assert picture[0, 0, 0] > picture[0, 0, 2] and picture[1, 5, 2] > picture[1, 5, 0]  # orange, blue
    assert wins(LabeledSample(sample.image, None, None, None), a, b) is None


@pytest.fixture(params=["world_dataset", "world_shards"])
def dataset(request):
    return open_dataset(request.getfixturevalue(request.param))


def test_a_network_is_asked_as_the_library_asks_it(dataset, world_run):
    networks = Networks()
    sample = dataset.read(3)
    said = ask(networks, world_run, dataset, sample)
    expected = networks.get(world_run)([sample.image])[0]
    assert np.array_equal(said.labels.mask, np.round(255 * expected.mask).astype(np.uint8))
    assert np.array_equal(said.labels.inverse_depth, expected.inverse_depth) and said.metric


def test_a_label_that_is_missing_has_no_picture(dataset):
    sample = dataset.read(0)
    bare = LabeledSample(sample.image, None, None, None)
    assert picture_of_sample(bare, "mask", None) is None and picture_of_sample(bare, "depth", None) is None
    assert np.array_equal(picture_of_sample(bare, "image", None), sample.image)
    for overlay in ("mask", "depth"):
        assert not np.array_equal(picture_of_sample(sample, overlay, limits_of(dataset)), sample.image)
