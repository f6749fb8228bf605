from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fixtures.pictures import count
from qumade.data.augmentation import Augmentation
from qumade.data.dataset import LabeledSample
from qumade.models.config import NetworkConfig
from qumade.notebook import of_each_split, project_path, run_for, show_batch, show_pictures, show_results
from qumade.prediction.predictor import Prediction
from qumade.training.config import TrainConfig, save_config


class _Grey:
    """Samples with given splits; the object is a square in the centre."""

    name, depth_encoding, has_masks, has_depth = "grey", None, True, False

    def __init__(self, splits: list[str]) -> None:
        self.splits = np.array(splits)

    def __len__(self) -> int:
        return len(self.splits)

    @property
    def stems(self) -> np.ndarray:
        return np.array([f"img{n:06d}" for n in range(len(self))])

    def read(self, position: int) -> LabeledSample:
        mask = np.zeros((32, 48), np.uint8)
        mask[8:24, 16:32] = 255
        return LabeledSample(np.full((32, 48, 3), position, np.uint8), mask, None, None)


class _Predictor:
    config = NetworkConfig()

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, images: Any) -> list[Prediction]:
        self.seen += [int(image[0, 0, 0]) for image in images]
        return [Prediction(*np.zeros((2, *image.shape[:2]), np.float32)) for image in images]


@pytest.mark.parametrize(("here", "given", "expected"), [
    (".", "out", "out"),
    ("notebooks", "out", "out"),
    ("notebooks/deeper", "out", "notebooks/deeper/out"),
    ("notebooks", "/data", "/data"),
])  # fmt: skip
def test_project_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str, given: str, expected: str) -> None:
    (tmp_path / here).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path / here)
    assert project_path(given) == tmp_path / expected


def test_of_each_split_selects_from_each_split() -> None:
    dataset = _Grey(["train"] * 6 + ["test"] + ["seen background"] * 3)
    assert of_each_split(dataset, 2).tolist() == [0, 3, 6, 7, 8]
    assert of_each_split(_Grey([""] * 4), 2).tolist() == [0, 2]


@pytest.mark.parametrize(("splits", "expected"), [
    (["train", "val", "test", "test"], {2, 3}),
    (["train", "val"], {1}),
    (["train", "train"], {0, 1}),
    (["", ""], {0, 1}),
])  # fmt: skip
def test_show_results_prefers_held_out_splits(splits: list[str], expected: set[int]) -> None:
    predictor = _Predictor()
    sheet = show_results(predictor, _Grey(splits))  # type: ignore[arg-type]
    assert set(predictor.seen) == expected
    assert sheet.mode == "RGB"


@pytest.mark.slow
def test_show_batch_opens_the_data_of_a_config(
    tmp_path: Path, save_picture: Callable[[Path, np.ndarray], None]
) -> None:
    mask = np.repeat(np.repeat(np.eye(2, dtype=np.uint8) * 255, 32, 0), 32, 1)
    for number in range(4):
        save_picture(tmp_path / "images" / f"{number}.png", np.full((64, 64, 3), (200, 40, 90), np.uint8))
        save_picture(tmp_path / "masks" / f"{number}.png", mask)
    config = TrainConfig(data=tmp_path, size=(64, 64), batch_size=4, steps=1, augmentation=Augmentation.none())
    sheets = [show_batch(config, samples) for samples in (1, 4)]
    shown = [count(sheet, (200, 40, 90)) for sheet in sheets]
    assert shown[0] >= 64 * 64 / 2 and shown[1] == 4 * shown[0]


def test_show_pictures_accepts_every_kind() -> None:
    grey = np.zeros((8, 12), np.uint8)
    pictures = {
        "a": np.zeros((8, 12, 3), np.uint8),
        "b": grey,
        "c": grey > 0,
        "d": np.full((8, 12), np.nan, np.float32),
    }
    one, all_kinds = show_pictures({"a": grey}), show_pictures(pictures, mark=(3, 4))
    assert all_kinds.width == 4 * one.width and all_kinds.height == one.height


def test_run_for_returns_the_run_of_an_equal_config_or_a_new_one(tmp_path: Path) -> None:
    setup: Any = SimpleNamespace(fingerprint="data")
    first, second = (TrainConfig(data=tmp_path / "data", epochs=epochs) for epochs in (1, 2))
    for config, name in ((first, "run_1"), (second, "run_2"), (first, "run_1"), (second, "run_2")):
        run = run_for(config, setup, tmp_path / "runs")
        assert run == tmp_path / "runs" / name
        run.mkdir(parents=True, exist_ok=True)
        save_config(config, run / "config.yaml")


def test_run_for_skips_a_run_on_other_data(tmp_path: Path) -> None:
    from qumade.training.checkpoint import write_checkpoint

    config = TrainConfig(data=tmp_path / "data")
    (tmp_path / "run_1").mkdir()
    save_config(config, tmp_path / "run_1" / "config.yaml")
    write_checkpoint(tmp_path / "run_1" / "checkpoint", 3, {}, {"data": "these"})
    for data, name in (("these", "run_1"), ("others", "run_2")):
        setup: Any = SimpleNamespace(fingerprint=data)
        assert run_for(config, setup, tmp_path).name == name
