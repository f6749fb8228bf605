import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from qumade.data.opening import open_dataset
from qumade.data.statistics import format_statistics, statistics, write_statistics
from qumade.errors import QumadeError
from qumade.plan.indices import stratified_indices

MakeDataset = Callable[..., Path]
SavePicture = Callable[[Path, np.ndarray], None]
SCALED = {"depth": {"kind": "scaled", "source": "prior", "code": "inverse", "bits": 8, "range": [0.0, 1.5]}}
METRES = {"depth": {"kind": "metric", "source": "depths", "code": "metres", "bits": 16, "depth_scale": 256}}


def decoded(root: Path, folder: str) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted((root / folder).iterdir())])


def exact(values: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation of integers in rational arithmetic."""
    numbers = [int(value) for value in values.ravel()]
    mean = Fraction(sum(numbers), len(numbers))
    variance = sum((number - mean) ** 2 for number in numbers) / len(numbers)
    return float(mean / 255), float(variance) ** 0.5 / 255


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_statistics_equal_two_passes_over_the_decoded_images(make_dataset: MakeDataset, suffix: str) -> None:
    root = make_dataset(7, suffix=suffix, meta=SCALED)
    found = statistics(open_dataset(root), progress=False)
    images, masks, depth = (decoded(root, folder).astype(np.float64) for folder in ("images", "masks", "depth"))
    assert (found.samples, found.samples_in_dataset, found.images.pixels) == (7, 7, masks.size)
    np.testing.assert_allclose(found.images.mean, images.mean((0, 1, 2)) / 255, rtol=1e-12)
    np.testing.assert_allclose(found.images.std, images.std((0, 1, 2)) / 255, rtol=1e-12)
    assert found.masks is not None and found.depth is not None
    assert found.masks.mean == pytest.approx(masks.mean() / 255, rel=1e-12)
    assert found.masks.std == pytest.approx(masks.std() / 255, rel=1e-12)
    assert found.masks.object_share == np.mean(masks >= 128)
    assert found.depth.mean == pytest.approx(depth.mean() * 1.5 / 255, rel=1e-12)
    assert found.depth.std == pytest.approx(depth.std() * 1.5 / 255, rel=1e-12)
    assert found.depth.code_mean == pytest.approx(depth.mean() / 255, rel=1e-12)
    assert found.depth.code_std == pytest.approx(depth.std() / 255, rel=1e-12)
    assert (found.depth.kind, found.depth.source, found.depth.unknown_share) == ("scaled", "prior", 0)


def test_means_are_correctly_rounded(make_dataset: MakeDataset) -> None:
    root = make_dataset(3, meta=SCALED)
    found = statistics(open_dataset(root), progress=False)
    images = decoded(root, "images")
    for channel in range(3):
        mean, std = exact(images[..., channel])
        assert found.images.mean[channel] == mean
        assert found.images.std[channel] == pytest.approx(std, rel=4e-16)


def test_metric_depth_is_averaged_as_inverse_depth_over_known_pixels(
    make_dataset: MakeDataset, save_picture: SavePicture
) -> None:
    root = make_dataset(2, size=(2, 2), depth_bits=16, meta=METRES)
    save_picture(root / "depth" / "img000001.png", np.array([[0, 65535], [256, 512]], np.uint16))
    save_picture(root / "depth" / "img000002.png", np.array([[0, 0], [0, 1024]], np.uint16))
    depth = statistics(open_dataset(root), progress=False).depth
    known = np.array([0, 1, 0.5, 0.25])
    codes = np.array([65535, 256, 512, 1024]) / 65535
    assert depth is not None
    assert depth.mean == pytest.approx(known.mean(), rel=1e-15)
    assert depth.std == pytest.approx(known.std(), rel=1e-15)
    assert depth.code_mean == pytest.approx(codes.mean(), rel=1e-15)
    assert depth.code_std == pytest.approx(codes.std(), rel=1e-14)
    assert (depth.unknown_share, depth.pixels, depth.kind) == (0.5, 8, "metric")


def test_entirely_unknown_depth_has_no_mean(make_dataset: MakeDataset, save_picture: SavePicture) -> None:
    root = make_dataset(1, size=(2, 2), depth_bits=16, meta=METRES)
    save_picture(root / "depth" / "img000001.png", np.zeros((2, 2), np.uint16))
    dataset = open_dataset(root)
    found = statistics(dataset, progress=False)
    assert found.depth is not None
    assert (found.depth.mean, found.depth.code_std, found.depth.unknown_share) == (None, None, 1)
    assert json.loads(write_statistics(dataset, found).read_text())["depth"]["mean"] is None


def test_uniform_images_have_zero_deviation(make_dataset: MakeDataset, save_picture: SavePicture) -> None:
    root = make_dataset(2, folders=("images", "masks"))
    for stem in ("img000001", "img000002"):
        save_picture(root / "images" / f"{stem}.png", np.full((9, 12, 3), (51, 0, 255), np.uint8))
        save_picture(root / "masks" / f"{stem}.png", np.full((9, 12), 255, np.uint8))
    found = statistics(open_dataset(root), progress=False)
    assert found.images.mean == (0.2, 0.0, 1.0)
    assert found.images.std == (0.0, 0.0, 0.0)
    assert found.masks is not None and (found.masks.mean, found.masks.object_share) == (1.0, 1.0)
    assert found.depth is None


def test_samples_may_differ_in_size(make_dataset: MakeDataset, save_picture: SavePicture) -> None:
    root = make_dataset(1, folders=("images", "masks"))
    save_picture(root / "images" / "large.png", np.full((30, 40, 3), 255, np.uint8))
    save_picture(root / "masks" / "large.png", np.full((30, 40), 255, np.uint8))
    values = np.concatenate([np.asarray(Image.open(path)).ravel() for path in (root / "masks").iterdir()])
    found = statistics(open_dataset(root), progress=False).masks
    assert found is not None
    assert (found.mean, found.pixels) == (exact(values)[0], 30 * 40 + 9 * 12)


@pytest.mark.slow
def test_the_result_does_not_depend_on_the_workers(make_dataset: MakeDataset) -> None:
    dataset = open_dataset(make_dataset(300, size=(4, 3), meta=SCALED))
    alone = statistics(dataset, workers=1, progress=False)
    assert alone == statistics(dataset, workers=3, progress=False)


@given(chunk=st.integers(1, 9), fraction=st.floats(0.01, 1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
def test_the_result_does_not_depend_on_the_chunks(make_dataset: MakeDataset, chunk: int, fraction: float) -> None:
    dataset = open_dataset(make_dataset(9, size=(4, 3), meta=SCALED))
    whole = statistics(dataset, fraction=fraction, workers=1, progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qumade.data.statistics.CHUNK", chunk)
        assert statistics(dataset, fraction=fraction, workers=1, progress=False) == whole
    assert whole.samples == max(1, round(9 * fraction))


def test_a_fraction_is_stratified_over_the_dataset(make_dataset: MakeDataset, save_picture: SavePicture) -> None:
    root = make_dataset(10, folders=("images", "masks"))
    for index in range(10):
        mask = np.zeros((9, 12), np.uint8)
        mask[:, :index] = 255
        save_picture(root / "masks" / f"img{index + 1:06d}.png", mask)
    found = statistics(open_dataset(root), fraction=0.5, progress=False)
    assert (found.samples, found.samples_in_dataset) == (5, 10)
    assert found.masks is not None and found.masks.mean == pytest.approx(stratified_indices(10, 5).mean() / 12)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_torn_image_is_named(make_dataset: MakeDataset, workers: int) -> None:
    root = make_dataset(200, size=(4, 3), meta=SCALED)
    victim = root / "masks" / "img000150.png"
    victim.write_bytes(victim.read_bytes()[:40])
    with pytest.raises(QumadeError, match=str(victim)):
        statistics(open_dataset(root), workers=workers, progress=False)


def test_labels_of_another_size_are_named(make_dataset: MakeDataset, save_picture: SavePicture) -> None:
    root = make_dataset(2, folders=("images", "masks"))
    save_picture(root / "masks" / "img000002.png", np.zeros((9, 13), np.uint8))
    with pytest.raises(QumadeError, match=r"got 13x9 in .*masks/img000002.png; must be 12x9"):
        statistics(open_dataset(root), progress=False)


@pytest.mark.parametrize("fraction", [0, -1, 1.01, float("nan")])
def test_wrong_arguments_are_refused(make_dataset: MakeDataset, fraction: float) -> None:
    dataset = open_dataset(make_dataset(1, meta=SCALED))
    with pytest.raises(QumadeError, match="Invalid fraction"):
        statistics(dataset, fraction=fraction)
    with pytest.raises(QumadeError, match="Invalid workers"):
        statistics(dataset, workers=0)


def test_the_written_file_holds_only_the_result(make_dataset: MakeDataset) -> None:
    dataset = open_dataset(make_dataset(2, meta=SCALED))
    found = statistics(dataset, progress=False)
    path = write_statistics(dataset, found)
    assert path == dataset.root / "statistics.json"
    content = json.loads(path.read_text())
    assert content["format"] == "qumade-statistics/1"
    assert tuple(content["images"]["mean"]) == found.images.mean
    first = path.read_bytes()
    assert write_statistics(dataset, statistics(dataset, workers=1, progress=False)).read_bytes() == first
    assert {entry.name for entry in dataset.root.iterdir()} == {
        "images",
        "masks",
        "depth",
        "dataset.yaml",
        "statistics.json",
    }
    assert len(open_dataset(dataset.root)) == 2


def test_statistics_of_real_photos(real_data: Path, tmp_path: Path) -> None:
    """Statistics of real photos against numpy; their label maps serve as masks of the car class."""
    frames = sorted((real_data / "camvid" / "val" / "images").iterdir())[:4]
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for frame in frames:
        (tmp_path / "images" / frame.name).write_bytes(frame.read_bytes())
        labels = np.asarray(Image.open(real_data / "camvid" / "val" / "labels" / f"{frame.stem}.png"))
        Image.fromarray(np.where(labels == 8, 255, 0).astype(np.uint8)).save(tmp_path / "masks" / f"{frame.stem}.png")
    found = statistics(open_dataset(tmp_path), progress=False)
    images, masks = decoded(tmp_path, "images").astype(np.float64), decoded(tmp_path, "masks")
    np.testing.assert_allclose(found.images.mean, images.mean((0, 1, 2)) / 255, rtol=1e-12)
    assert found.masks is not None and found.masks.object_share == np.mean(masks == 255)


def test_the_text_table_explains_the_numbers(make_dataset: MakeDataset) -> None:
    found = statistics(open_dataset(make_dataset(2, meta=SCALED)), progress=False)
    assert found.masks is not None
    lines = format_statistics(found).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["image", "image", "image", "mask", "depth"]
    assert f"{found.images.mean[0]:.6f}" in lines[2] and f"{found.masks.std:.6f}" in lines[5]
    assert "up to one factor" in lines[6] and "1/m" not in lines[6]
    plain = statistics(open_dataset(make_dataset(1, folders=("images", "masks"))), progress=False)
    assert len(format_statistics(plain).splitlines()) == 6
