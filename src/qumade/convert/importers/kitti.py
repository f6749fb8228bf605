"""KITTI depth: 16-bit PNG of metres x 256, 0 where the laser has no measurement (four out of five pixels).

J. Uhrig et al., "Sparsity invariant CNNs", 3DV 2017; layout as in the readme of its development kit.
"""

from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

from qumade.convert.importers.records import (
    Labels,
    Record,
    Source,
    metric_depth,
    pictures_by_stem,
    require_records,
)
from qumade.depth.encoding import KITTI_SCALE, METRES_16_BIT
from qumade.errors import ConfigError, DatasetError
from qumade.io.listing import counted, named
from qumade.io.pictures import printable

__all__ = ["read_kitti"]

CAMERAS = ("image_02", "image_03")  # the two colour cameras
SPLITS = {"train": "train", "training": "train", "val": "val", "test": "test"}
LAYOUT = (
    "DATE/DRIVE/image_02/data with DRIVE/proj_depth/groundtruth/image_02, val_selection_cropped/image with "
    "groundtruth_depth, or rgb/ with depth/"
)


def read_kitti(root: Path, classes: Collection[str] = ()) -> Source:
    """Return every photo with annotated depth below `root`; its folders may be nested in any order.

    The split of a drive is the folder (train, val) of its depth; `val_selection_cropped` is val. Drives without photos
    are left out, and a note names them.
    """
    if classes:
        raise ConfigError(f"Invalid --class: got {', '.join(classes)}; must not be given: KITTI depth has no masks")
    drives, missing = _drives(root)
    found = require_records([*drives, *_selection(root), *_plain(root)], root, LAYOUT)
    # the depth of all drives is one download; the photos are many
    count = counted(len(missing), "drive is", "drives are")
    note = f"{count} left out, with depth but no photos: {named(missing)}"
    return Source("kitti", root, found, ("depth",), depth=METRES_16_BIT, notes=(note,) if missing else ())


def _drives(root: Path) -> tuple[list[Record], list[str]]:
    """Return the frames of the drives, and the names of drives without photos."""
    photos = {camera: {path.parents[1].name: path for path in _folders(root, f"{camera}/data")} for camera in CAMERAS}
    records, missing = [], []
    for camera in CAMERAS:
        for depth_folder in _folders(root, f"proj_depth/groundtruth/{camera}"):
            drive_folder = depth_folder.parents[2]
            above = drive_folder.relative_to(root).parts[:-1]
            split = next((SPLITS[part] for part in reversed((root.name, *above)) if part in SPLITS), "")
            depths = pictures_by_stem(depth_folder, (".png",))
            if drive_folder.name not in photos[camera]:
                missing.append(f"{drive_folder.name}/{camera}")
                continue
            images = pictures_by_stem(photos[camera][drive_folder.name])
            for frame, depth in depths.items():
                stem = f"{drive_folder.name}_{frame}" + ("" if camera == "image_02" else f"_{camera}")
                records.append(_record(root, stem, split, images.get(frame), depth))
    return records, missing


def _selection(root: Path) -> Iterator[Record]:
    for folder in _folders(root, "val_selection_cropped"):
        images = pictures_by_stem(folder / "image")
        for stem, depth in pictures_by_stem(folder / "groundtruth_depth", (".png",)).items():
            name = stem.replace("_sync_groundtruth_depth_", "_sync_image_")
            yield _record(root, name, "val", images.get(name), depth)


def _plain(root: Path) -> Iterator[Record]:
    images = pictures_by_stem(root / "rgb")
    if images:
        for stem, depth in pictures_by_stem(root / "depth", (".png",)).items():
            yield _record(root, stem, "", images.get(stem), depth)


def _folders(root: Path, ending: str) -> list[Path]:
    """Return the folders at or below `root` whose path ends with `ending`."""
    parts = Path(ending).parts
    found = [path for path in root.rglob(ending) if path.is_dir()]
    return sorted([*found, *([root] if root.parts[-len(parts) :] == parts else [])])


def _record(root: Path, stem: str, split: str, image: Path | None, depth: Path) -> Record:
    if image is None:
        raise DatasetError(f"Invalid dataset: got {printable(depth)} without its photo; must be one for each")
    return Record(stem, split, image, image.relative_to(root).as_posix(), partial(_read, depth), inputs=(depth,))


def _read(depth: Path, shape: tuple[int, int]) -> Labels:
    return Labels(inverse_depth=metric_depth(depth, shape, KITTI_SCALE))
