import pickle

import numpy as np
import pytest
from PIL import Image

from qumade.data.photos import PhotoFolder
from qumade.errors import QumadeError


@pytest.fixture
def photos(tmp_path):
    """Three photos of 40x30, one of 400x300, and a damaged file."""
    for number in range(3):
        Image.fromarray(np.full((30, 40, 3), 50 * number, np.uint8)).save(tmp_path / f"{number}.png")
    Image.fromarray(np.arange(300, dtype=np.uint8)[:, None, None].repeat(400, 1).repeat(3, 2)).save(tmp_path / "9.png")
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    return tmp_path


def test_photos_are_samples_without_labels(photos):
    dataset = PhotoFolder(photos, (32, 32), workers=1)
    assert len(dataset) == 4 and dataset.stems.tolist() == ["0", "1", "2", "9"]
    assert dataset.positions("").tolist() == [0, 1, 2, 3] and not len(dataset.positions("val"))
    sample = dataset.read(1)
    assert (sample.mask, sample.inverse_depth, sample.ignore) == (None, None, None)
    assert (sample.image == 50).all() and sample.image.shape == (30, 40, 3)
    assert [finding.path.rpartition("/")[2] for finding in dataset.findings] == ["torn.jpg"]
    assert len(set(dataset.sha256)) == 4


def test_large_photos_are_shrunk_to_no_less_than_twice_the_size(photos):
    image = PhotoFolder(photos, (32, 32), workers=1)[3].image
    assert image.shape == (75, 100, 3)  # a factor of 4; 5 would leave 60 rows
    with Image.open(photos / "9.png") as picture:
        blocks = np.asarray(picture).reshape(75, 4, 100, 4, 3).mean((1, 3))
    np.testing.assert_allclose(image, blocks, atol=0.51)


def test_memory_is_bounded_and_a_copy_begins_empty(photos, monkeypatch):
    monkeypatch.setattr("qumade.data.photos.CACHE_BYTES", 2 * 30 * 40 * 3)
    dataset = PhotoFolder(photos, (32, 32), workers=1)
    first = dataset.read(0).image
    assert dataset.read(0).image is first
    dataset.read_many([1, 2])
    assert dataset.read(0).image is not first and len(dataset._cache) == 2
    copied = pickle.loads(pickle.dumps(dataset))
    assert not copied._cache and (copied.read(2).image == 100).all()


def test_a_folder_without_a_usable_photo_is_refused(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(QumadeError, match=rf"Invalid unlabelled: got no usable photo in {tmp_path}; .* a\.jpg|a\.jpg"):
        PhotoFolder(tmp_path, (32, 32), workers=1)
