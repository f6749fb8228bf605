from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qumade import import_dataset, open_dataset
from qumade.convert.importers import DATASETS, read_dataset
from qumade.errors import QumadeError


@pytest.mark.parametrize("name", DATASETS)
def test_an_empty_folder_is_refused_by_every_reader(tmp_path: Path, name: str) -> None:
    with pytest.raises(QumadeError, match="Invalid dataset"):
        read_dataset(name, tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(QumadeError, match=r"got nothing at .*nowhere"):
        read_dataset("camvid", tmp_path / "nowhere")


def test_a_dataset_is_imported_in_one_call(
    tmp_path: Path, save_picture: Callable[[Path, np.ndarray], None], capfd: pytest.CaptureFixture[str]
) -> None:
    ids = np.arange(12, dtype=np.uint8).reshape(2, 6)
    for stem in ("0001TP_006690", "0001TP_006720"):
        save_picture(tmp_path / "CamVid" / "train" / f"{stem}.png", np.full((2, 6, 3), 7, np.uint8))
        save_picture(tmp_path / "CamVid" / "trainannot" / f"{stem}.png", ids)
    given = {"classes": ("car", "pedestrian"), "workers": 1, "progress": False}
    summary = import_dataset("camvid", str(tmp_path / "CamVid"), str(tmp_path / "out"), **given)
    assert (summary.samples, summary.written, summary.root) == (2, 2, str(tmp_path / "out"))
    dataset = open_dataset(tmp_path / "out")
    assert dataset.splits.tolist() == ["train", "train"]
    np.testing.assert_array_equal(dataset[1].mask, np.where(np.isin(ids, [8, 9]), 255, 0))
    assert import_dataset("camvid", tmp_path / "CamVid", tmp_path / "out", **given).written == 0
    assert not capfd.readouterr().err
