import numpy as np

from qumade.convert.exporters.files import copy_image, write_missing
from qumade.convert.exporters.samples import Chunk
from qumade.data.folder import FolderDataset


def test_an_image_is_copied_once(make_dataset, tmp_path):
    dataset = FolderDataset(make_dataset(2))
    chunk = Chunk("train", np.arange(2), dataset, None)
    name = copy_image(chunk, 1, tmp_path)
    assert (tmp_path / name).read_bytes() == dataset.path("images", 1).read_bytes()
    (tmp_path / name).write_bytes(b"kept")
    assert copy_image(chunk, 1, tmp_path) == name
    assert (tmp_path / name).read_bytes() == b"kept"


def test_a_file_that_is_there_is_kept(tmp_path):
    for data in (b"first", b"second"):
        write_missing(tmp_path / "file", data)
    assert (tmp_path / "file").read_bytes() == b"first"
