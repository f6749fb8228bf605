"""Opens a dataset from the path of a folder or a recipe."""

from pathlib import Path

from qumade.data.folder import FolderDataset
from qumade.data.synthetic import SyntheticDataset
from qumade.errors import DatasetError

__all__ = ["open_dataset"]


def open_dataset(
    path: Path | str, *, resample_placements: bool = False, limit: int | None = None
) -> FolderDataset | SyntheticDataset:
    """Open the dataset in a folder, or that of a recipe file, whose samples are drawn when they are read.

    `resample_placements` and `limit` apply to recipes, see SyntheticDataset. Raises QumadeError naming what is wrong.
    """
    path = Path(path)
    if path.is_dir():
        return FolderDataset(path)
    if not path.is_file():
        raise DatasetError(f"Invalid dataset: got nothing at {path.absolute()}; must be a folder or a recipe file")
    return SyntheticDataset(path, resample_placements=resample_placements, limit=limit)
