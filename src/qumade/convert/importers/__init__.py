"""Imports standard datasets into the layout of this package: one reader per dataset, and a common writer."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from qumade.errors import DatasetError

if TYPE_CHECKING:
    from qumade.convert.importers.records import Source
    from qumade.convert.importers.writer import ImportSummary

__all__ = ["DATASETS", "DatasetName", "import_dataset", "read_dataset"]

DatasetName = Literal[
    "camvid",
    "kitti",
    "kitti_semantics",
    "virtual_kitti",
    "cityscapes",
    "nyu",
    "coco",
    "coco_panoptic",
    "yolo",
    "voc",
    "labelme",
]
DATASETS: tuple[DatasetName, ...] = get_args(DatasetName)


def read_dataset(name: DatasetName, root: Path, classes: Collection[str] | None = None) -> "Source":
    """Return the records of a standard dataset below `root`; labels are read on demand.

    `classes` make up the mask: by default car, for nyu none. Raises QumadeError for an unknown class, naming the known
    ones, and if nothing is found, naming the expected layout.
    """
    from qumade.convert.importers import (
        camvid,
        cityscapes,
        coco,
        coco_panoptic,
        kitti,
        kitti_semantics,
        labelme,
        nyu,
        virtual_kitti,
        voc,
        yolo,
    )
    from qumade.io.pictures import printable

    root = root.absolute()
    if not root.exists():
        raise DatasetError(f"Invalid dataset: got nothing at {printable(root)}; must be the folder of the dataset")
    readers = {
        "camvid": camvid.read_camvid,
        "kitti": kitti.read_kitti,
        "kitti_semantics": kitti_semantics.read_kitti_semantics,
        "virtual_kitti": virtual_kitti.read_virtual_kitti,
        "cityscapes": cityscapes.read_cityscapes,
        "nyu": nyu.read_nyu,
        "coco": coco.read_coco,
        "coco_panoptic": coco_panoptic.read_coco_panoptic,
        "yolo": yolo.read_yolo,
        "voc": voc.read_voc,
        "labelme": labelme.read_labelme,
    }
    if name not in readers:
        raise DatasetError(f"Invalid dataset: got {name!r}; must be one of {', '.join(readers)}")
    return readers[name](root) if classes is None else readers[name](root, classes)


def import_dataset(
    name: DatasetName,
    root: Path | str,
    out: Path | str,
    *,
    classes: Collection[str] | None = None,
    strict: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> "ImportSummary":
    """Write a standard dataset into a new folder `out` in the layout of this package, or finish an import that was
    interrupted there. `classes` as in `read_dataset`. Raises QumadeError naming the file at fault, and with `strict`
    also for what is otherwise left out or unknown and counted in the summary's notes."""
    from qumade.convert.importers.writer import write_import

    source = read_dataset(name, Path(root), classes)
    return write_import(source, Path(out), strict=strict, workers=workers, progress=progress)
