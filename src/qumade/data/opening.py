"""Opens a dataset from the path of a folder or a recipe."""

from pathlib import Path

from qumade.data.folder import FolderDataset
from qumade.data.shards import ShardDataset, is_sharded
from qumade.data.synthetic import SyntheticDataset
from qumade.errors import DatasetError

__all__ = ["open_dataset", "open_files"]


def open_dataset(
    path: Path | str, *, resample_placements: bool = False, limit: int | None = None
) -> FolderDataset | SyntheticDataset:
    """Open the dataset in a folder, in shards in a folder or at a URL, or that of a recipe file, whose samples are
    drawn when they are read.

    `resample_placements` and `limit` apply to recipes, see SyntheticDataset. Raises QumadeError naming what is wrong.
    """
    if is_sharded(path) or Path(path).is_dir():
        return open_files(path)
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"Invalid dataset: got nothing at {path.absolute()}; must be a folder or a recipe file")
    return SyntheticDataset(path, resample_placements=resample_placements, limit=limit)


def open_files(path: Path | str) -> FolderDataset:
    """Open a dataset of files: a folder of images, masks and depth, or shards in a folder or at a URL."""
    return ShardDataset(path) if is_sharded(path) else FolderDataset(Path(path))
