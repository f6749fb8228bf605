"""The verb for the layout of scenes: layout."""

from pathlib import Path

from qumade.cli.common import Json, finish
from qumade.errors import ConfigError
from qumade.io.listing import counted

__all__ = ["layout"]


def layout(
    source: Path,
    /,
    *,
    out: Path = Path("layout.yaml"),
    split: str | None = None,
    category: str | None = None,
    least_share: float | None = None,
    json: Json = False,
) -> None:
    """Learns number, size and place of the objects in real pictures, for the field `layout` of a recipe.

    Example: `qumade layout DATA_PATH --split train --out layout.yaml`

    Parameters
    ----------
    source
        The folder of a dataset with masks, not of shards; or boxes: a CSV file with the columns x, y, width, height,
        image_width, image_height and image, or a COCO JSON file.
    out
        YAML file to write.
    split
        Read only this split of the dataset.
    category
        Read only the boxes of this category of a COCO file.
    least_share
        Smallest share of the picture's pixels that a connected part of a mask must cover to count as an object
        (default: 0.0001).
    json
        Print one JSON object as the last line on stdout.
    """
    from qumade.assets.scene_layout import LEAST_SHARE, save_layout
    from qumade.data.box_files import layout_of_boxes
    from qumade.data.folder import FolderDataset
    from qumade.data.learn_layout import learn_layout

    if not source.exists():
        raise ConfigError(f"Invalid path: got nothing at {source.absolute()}; must be a dataset or a file of boxes")
    if least_share is not None and not 0 <= least_share < 1:
        raise ConfigError(f"Invalid --least-share: got {least_share}; must be at least 0 and below 1")
    if source.is_dir():
        if category is not None:
            raise ConfigError(f"Invalid --category: got {category!r} for the dataset {source.absolute()}; is for COCO")
        dataset = FolderDataset(source)
        if split is not None:
            positions = dataset.positions(split)
            if not len(positions):
                raise ConfigError(f"Invalid --split: got {split!r}, of which {source.absolute()} has no sample")
            dataset = dataset.take(positions)
        found = learn_layout(dataset, least_share=LEAST_SHARE if least_share is None else least_share, progress=True)
    else:
        if split is not None:
            raise ConfigError(f"Invalid --split: got {split!r} for {source.absolute()}; is for datasets")
        found = layout_of_boxes(source, category)
    save_layout(found, out)
    objects = int(found.table.sum())
    text = f"{counted(objects, 'object', 'objects')} ({found.told_apart}) of "
    text += f"{counted(found.pictures, 'picture', 'pictures')}\n{out.absolute()}"
    finish(json, {"path": out.absolute(), "objects": objects, "pictures": found.pictures}, text)
