from pathlib import Path

import pytest

from qumade.data.folder import FolderDataset
from qumade.data.opening import open_dataset
from qumade.data.synthetic import SyntheticDataset
from qumade.errors import QumadeError
from qumade.generation.engine import generate
from qumade.recipe import Recipe, save_recipe


def test_a_recipe_file_and_a_folder_open(asset_folders: Path) -> None:
    folders = {name: asset_folders / name for name in ("backgrounds", "foregrounds")}
    save_recipe(Recipe(**folders, size=(32, 24), per_pair=3), asset_folders / "streets.yaml")
    dataset = open_dataset(asset_folders / "streets.yaml", limit=6, resample_placements=True)
    assert isinstance(dataset, SyntheticDataset)
    assert (len(dataset), dataset.name, dataset.resample_placements) == (6, "streets", True)
    generate(dataset.synthesizer, asset_folders / "out", limit=6, workers=1, progress=False)
    written = open_dataset(asset_folders / "out")
    assert isinstance(written, FolderDataset) and list(written.stems) == list(dataset.stems)


def test_a_missing_path_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(QumadeError, match=rf"got nothing at {tmp_path}/nowhere; must be a folder or a recipe file"):
        open_dataset(tmp_path / "nowhere")
