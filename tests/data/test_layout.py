import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qumade.data.opening import open_dataset
from qumade.errors import QumadeError

MakeDataset = Callable[..., Path]
SavePicture = Callable[[Path, np.ndarray], None]
SCALED = {"depth": {"kind": "scaled", "code": "inverse", "bits": 8, "range": [0.0, 2.0]}}
METRES = {"depth": {"kind": "metric", "code": "metres", "bits": 16, "depth_scale": 256}}
ALL = ("images", "masks", "depth", "ignore")


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_samples_are_read_by_position_and_by_stem(make_dataset: MakeDataset) -> None:
    root = make_dataset(3, folders=ALL, meta=SCALED)
    dataset = open_dataset(root)
    assert len(dataset) == 3
    assert list(dataset.stems) == ["img000001", "img000002", "img000003"]
    assert dataset.has_masks and dataset.has_depth and dataset.has_ignore
    for index, stem in enumerate(dataset.stems):
        by_stem, by_index = dataset.read(str(stem)), dataset.read(index)
        np.testing.assert_array_equal(by_stem.image, pixels(root / "images" / f"{stem}.png"))
        np.testing.assert_array_equal(by_stem.mask, pixels(root / "masks" / f"{stem}.png"))
        np.testing.assert_array_equal(by_stem.ignore, pixels(root / "ignore" / f"{stem}.png"))
        codes = pixels(root / "depth" / f"{stem}.png")
        assert by_stem.inverse_depth is not None and by_stem.inverse_depth.dtype == np.float32
        np.testing.assert_allclose(by_stem.inverse_depth, codes * (2 / 255), rtol=1e-6)
        np.testing.assert_array_equal(by_index.image, by_stem.image)
    np.testing.assert_array_equal(dataset.read_image(-1), dataset.read_image(2))
    np.testing.assert_array_equal(dataset.read_image(np.int64(1)), dataset.read_image(1))


def test_unknown_keys_are_key_and_index_errors(make_dataset: MakeDataset) -> None:
    dataset = open_dataset(make_dataset(2, meta=SCALED))
    for stem in ("img000009", "../images/img000001", "", "zzz"):
        with pytest.raises(KeyError):
            dataset.read_image(stem)
    for index in (2, -3):
        with pytest.raises(IndexError):
            dataset.read_image(index)
    with pytest.raises(QumadeError, match=r"no folder .*ignore"):
        dataset.read_ignore(0)


def test_metric_depth_is_read_as_inverse_depth(make_dataset: MakeDataset, save_picture: SavePicture) -> None:
    root = make_dataset(1, size=(4, 1), depth_bits=16, meta=METRES)
    save_picture(root / "depth" / "img000001.png", np.array([[0, 65535, 256, 5120]], np.uint16))
    np.testing.assert_array_equal(
        open_dataset(root).read_inverse_depth(0), np.array([[np.nan, 0, 1, 0.05]], np.float32)
    )


def test_a_folder_without_dataset_yaml_is_a_dataset_and_logs_once_about_depth(
    make_dataset: MakeDataset, caplog: pytest.LogCaptureFixture
) -> None:
    root = make_dataset(2, suffix=".jpg")
    for _ in range(2):
        dataset = open_dataset(root)
        depth = dataset.read_inverse_depth(0)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"{root}: depth is read as 8-bit inverse depth, each image over its own range" in record.getMessage()
    assert dataset.metadata is None and dataset.depth_encoding.kind is None
    np.testing.assert_allclose(depth, pixels(root / "depth" / "img000001.jpg") / 255, rtol=1e-6)


def test_a_folder_without_depth_logs_nothing(make_dataset: MakeDataset, caplog: pytest.LogCaptureFixture) -> None:
    dataset = open_dataset(make_dataset(2, folders=("images", "masks")))
    assert not caplog.records
    assert not dataset.has_depth
    assert dataset.read(0).inverse_depth is None


def test_formats_and_suffixes_may_mix(make_dataset: MakeDataset, save_picture: SavePicture) -> None:
    root = make_dataset(2, folders=("images", "masks"))
    mask = pixels(root / "masks" / "img000002.png")
    (root / "images" / "img000001.png").rename(root / "images" / "img000001.PNG")
    (root / "masks" / "img000002.png").unlink()
    save_picture(root / "masks" / "img000002.jpg", np.repeat(mask[:, :, None], 3, 2))
    (root / "images" / ".DS_Store").write_bytes(b"x")
    (root / "masks" / "Thumbs.db").write_bytes(b"x")
    dataset = open_dataset(root)
    assert dataset.path("images", 0).name == "img000001.PNG"
    assert dataset.path("masks", "img000002").name == "img000002.jpg"
    assert np.abs(dataset.read_mask(1).astype(int) - mask).max() < 20


def test_undescribed_sixteen_bit_depth_is_refused(make_dataset: MakeDataset) -> None:
    dataset = open_dataset(make_dataset(1, depth_bits=16))
    with pytest.raises(QumadeError, match=r"got 16 bits in .*depth/img000001.png.*dataset.yaml must state the code"):
        dataset.read_inverse_depth(0)


def test_depth_of_other_bits_than_described_is_refused(make_dataset: MakeDataset) -> None:
    with pytest.raises(QumadeError, match=r"got 8 bits in .*img000001.png; must be 16-bit"):
        open_dataset(make_dataset(1, depth_bits=8, meta=METRES)).read_inverse_depth(0)


def test_class_ids_are_refused_as_a_mask(make_dataset: MakeDataset, save_picture: SavePicture) -> None:
    root = make_dataset(1, folders=("images", "masks"))
    save_picture(root / "masks" / "img000001.png", np.eye(9, 12, dtype=np.uint8))
    with pytest.raises(QumadeError, match=r"got areas of level 1 .* in .*masks/img000001.png"):
        open_dataset(root).read_mask(0)
    save_picture(root / "masks" / "img000001.png", np.zeros((9, 12), np.uint8))
    assert not open_dataset(root).read_mask(0).any()


@pytest.mark.parametrize("folder", ["images", "masks", "depth"])
def test_missing_and_extra_files_are_named(make_dataset: MakeDataset, folder: str) -> None:
    root = make_dataset(3, meta=SCALED)
    victim = root / folder / "img000002.png"
    content = victim.read_bytes()
    victim.unlink()
    with pytest.raises(QumadeError, match="img000002"):
        open_dataset(root)
    victim.write_bytes(content)
    open_dataset(root)
    shutil.copy(victim, root / folder / "img000009.png")
    with pytest.raises(QumadeError, match="img000009"):
        open_dataset(root)


def test_files_that_are_no_images_are_named(make_dataset: MakeDataset) -> None:
    root = make_dataset(2, meta=SCALED)
    for make in ((root / "masks" / "notes.txt").touch, (root / "masks" / "folder.png").mkdir):
        make()
        with pytest.raises(QumadeError, match=r"masks/(notes.txt|folder.png); must be a file ending in"):
            open_dataset(root)
        (root / "masks" / "notes.txt").unlink(missing_ok=True)
    os.mkfifo(root / "images" / "pipe.png")
    with pytest.raises(QumadeError, match=r"pipe.png|folder.png"):
        open_dataset(root)


def test_two_images_with_the_same_stem_are_refused(make_dataset: MakeDataset) -> None:
    root = make_dataset(2, folders=("images", "masks"))
    (root / "masks" / "img000001.jpg").touch()
    with pytest.raises(QumadeError, match=r"got .*masks/img000001 as .jpg and .png"):
        open_dataset(root)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"x" + data])
def test_torn_images_are_named(make_dataset: MakeDataset, damage: Callable[[bytes], bytes]) -> None:
    root = make_dataset(2, meta=SCALED)
    dataset = open_dataset(root)
    for folder in ("images", "masks", "depth"):
        victim = root / folder / "img000002.png"
        content = victim.read_bytes()
        victim.write_bytes(damage(content))
        with pytest.raises(QumadeError, match=f"in {victim}; must be"):
            dataset.read(1)
        victim.write_bytes(content)
    dataset.read(1)
    (root / "masks" / "img000002.png").unlink()
    with pytest.raises(QumadeError, match=r"got no file in .*masks/img000002.png"):
        dataset.read(1)


def test_sizes_must_agree(make_dataset: MakeDataset, save_picture: SavePicture) -> None:
    plain = make_dataset(1, folders=("images", "masks"))
    save_picture(plain / "masks" / "img000001.png", np.zeros((12, 9), np.uint8))
    with pytest.raises(QumadeError, match=r"got 9x12 in .*masks/img000001.png; must be 12x9 as .*images"):
        open_dataset(plain).read(0)
    described = make_dataset(1, meta=SCALED | {"size": [9, 12]})
    with pytest.raises(QumadeError, match=r"got 12x9 in .*images/img000001.png; must be 9x12 as .*dataset.yaml"):
        open_dataset(described).read_image(0)


def test_a_folder_that_is_no_dataset_is_refused(make_dataset: MakeDataset, tmp_path: Path) -> None:
    with pytest.raises(QumadeError, match=f"no folder {tmp_path / 'images'}"):
        open_dataset(tmp_path)
    (tmp_path / "photo.JPG").touch()
    with pytest.raises(QumadeError, match=f"holds unlabelled photos: `qumade predict RUN {tmp_path} --out DIR`"):
        open_dataset(tmp_path)
    (tmp_path / "photo.JPG").unlink()
    with pytest.raises(QumadeError, match="neither masks/ nor depth/"):
        open_dataset(make_dataset(1, folders=("images",)))
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(QumadeError, match="got no image"):
        open_dataset(tmp_path)


def test_dataset_yaml_must_fit_the_folders(make_dataset: MakeDataset) -> None:
    with pytest.raises(QumadeError, match=r"got 2 images in .*images; must be 5 as .*dataset.yaml"):
        open_dataset(make_dataset(2, meta=SCALED | {"samples": 5}))
    with pytest.raises(QumadeError, match="key depth is missing"):
        open_dataset(make_dataset(1, meta={}))
    png = {"suffix": ".png", "format": "png"}
    with pytest.raises(QumadeError, match=r"got no folder .*ignore; must exist"):
        open_dataset(make_dataset(1, meta=SCALED | {"folders": dict.fromkeys(ALL, png)}))
    with pytest.raises(QumadeError, match=r"got a folder .*depth; must not exist"):
        open_dataset(make_dataset(1, meta=SCALED | {"folders": {"images": png, "masks": png}}))


def test_an_unfinished_dataset_is_refused(make_dataset: MakeDataset) -> None:
    root = make_dataset(3, meta=SCALED | {"complete": False, "samples": 9})
    with pytest.raises(QumadeError, match=rf"complete: false in .*--out {root}"):
        open_dataset(root)


def test_a_subset_reads_the_same_samples_in_another_process(make_dataset: MakeDataset) -> None:
    dataset = open_dataset(make_dataset(5, meta=SCALED))
    part = pickle.loads(pickle.dumps(dataset.take(np.array([1, 4]))))
    assert list(part.stems) == ["img000002", "img000005"]
    np.testing.assert_array_equal(part.read_image(1), dataset.read_image(4))
    np.testing.assert_array_equal(part.read_inverse_depth("img000002"), dataset.read_inverse_depth(1))


def test_a_name_that_is_not_utf_8_is_refused_on_one_line(make_dataset: MakeDataset) -> None:
    root = make_dataset(2)
    (root / "images" / "img000001.png").rename(root / "images" / os.fsdecode(b"img\xff.png"))
    with pytest.raises(QumadeError, match="UTF-8") as caught:
        open_dataset(root)
    assert str(caught.value).isprintable()
