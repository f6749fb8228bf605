from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch

from qumade.data.folder import FolderDataset
from qumade.evaluation.explained import explained
from qumade.evaluation.panels import jpeg
from qumade.models.config import NetworkConfig
from qumade.models.network import MaskDepthNetwork, build_network


@pytest.fixture(scope="module")
def network() -> MaskDepthNetwork:
    torch.manual_seed(0)
    return build_network(NetworkConfig(size=(64, 64), depth_kind="scaled")).eval()


@pytest.fixture
def dataset(tmp_path: Path) -> FolderDataset:
    from PIL import Image

    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(5):
        mask = np.zeros((40, 60), np.uint8)
        mask[10:20, 10 * number : 10 * number + 10] = 255 * (number > 0)
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{number}.png")
        Image.fromarray(rng.integers(0, 255, (40, 60, 3), np.uint8)).save(
            tmp_path / "data" / "images" / f"{number}.png"
        )
    return FolderDataset(tmp_path / "data")


def evaluation(shares: list[float | None]) -> SimpleNamespace:
    return SimpleNamespace(scores=pa.table({"sample": list(range(len(shares))), "object_share": shares}))


def test_pictures_with_an_object_are_explained(network: MaskDepthNetwork, dataset: FolderDataset) -> None:
    section = explained(network, evaluation([0.0, 0.1, 0.1, 0.1, 0.1]), dataset, count=2)
    assert [panel.title for panel in section.pictures] == [
        "sample 1: mask", "sample 1: depth at the ring", "sample 4: mask", "sample 4: depth at the ring",
    ]  # fmt: skip
    assert all(panel.image.size == (60, 40) for panel in section.pictures)


def test_without_masks_the_ground_is_explained(network: MaskDepthNetwork, dataset: FolderDataset) -> None:
    section = explained(network, evaluation([None] * 5), dataset, count=9)
    assert len(section.pictures) == 10


def test_the_ring_is_on_the_object(network: MaskDepthNetwork, dataset: FolderDataset) -> None:
    depth = np.asarray(explained(network, evaluation([0, 0, 0, 1, 0]), dataset, count=1).pictures[1].image)
    rows, columns = np.nonzero((depth == 255).all(axis=2))
    assert (rows.mean(), columns.mean()) == (pytest.approx(14.5, abs=1), pytest.approx(34.5, abs=1))


def test_large_photos_are_shrunk_and_the_ring_with_them(network: MaskDepthNetwork) -> None:
    mask = np.zeros((1500, 2000), np.uint8)
    mask[300:500, 1500:1700] = 255
    image = np.random.default_rng(0).integers(0, 200, (1500, 2000, 3), np.uint8)
    photo = SimpleNamespace(read=lambda position: SimpleNamespace(image=image, mask=mask))
    section = explained(network, evaluation([0.1]), photo)
    assert [panel.image.size for panel in section.pictures] == [(480, 360)] * 2
    assert sum(len(jpeg(panel.image)) for panel in section.pictures) < 400_000
    rows, columns = np.nonzero((np.asarray(section.pictures[1].image) == 255).all(axis=2))
    assert (rows.mean(), columns.mean()) == (pytest.approx(400 * 0.24, abs=1), pytest.approx(1600 * 0.24, abs=1))
    assert len(rows) > 30


def test_untrained_tasks_are_not_explained(dataset: FolderDataset) -> None:
    masks_only = build_network(NetworkConfig(size=(64, 64), trained_tasks=("mask",))).eval()
    section = explained(masks_only, evaluation([0.0, 0.1, 0.1, 0.1, 0.1]), dataset, count=2)
    assert [panel.title for panel in section.pictures] == ["sample 1: mask", "sample 4: mask"]
