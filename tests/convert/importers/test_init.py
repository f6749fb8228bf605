from pathlib import Path

import pytest

from qumade.convert.importers import DATASETS, read_dataset
from qumade.errors import QumadeError


@pytest.mark.parametrize("name", DATASETS)
def test_an_empty_folder_is_refused_by_every_reader(tmp_path: Path, name: str) -> None:
    with pytest.raises(QumadeError, match="Invalid dataset"):
        read_dataset(name, tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(QumadeError, match=r"got nothing at .*nowhere"):
        read_dataset("camvid", tmp_path / "nowhere")
