"""Virtual KITTI 2: SceneNN/VARIATION/frames/{rgb,depth,classSegmentation,instanceSegmentation}/Camera_N.

Depth is 16-bit PNG of centimetres; 65535 is the sky and anything farther. Class maps are coloured;
SceneNN/VARIATION/colors.txt lists the colours.

Y. Cabon, N. Murray, M. Humenberger, "Virtual KITTI 2", arXiv:2001.10773.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qumade.convert.importers.records import (
    ClassIds,
    Labels,
    Record,
    Source,
    choose_classes,
    labels_of_ids,
    metric_depth,
    pictures_by_stem,
    read_ids,
    require_records,
    require_size,
)
from qumade.depth.encoding import METRES_16_BIT
from qumade.errors import DatasetError
from qumade.io.decode import decode_rgb
from qumade.io.files import read_bytes
from qumade.io.listing import counted, named
from qumade.io.pictures import printable, read_picture

__all__ = ["read_virtual_kitti"]

# The content of colors.txt in every scene, used if the textgt archive is missing.
COLOURS = {
    "Terrain": (210, 0, 200),
    "Sky": (90, 200, 255),
    "Tree": (0, 199, 0),
    "Vegetation": (90, 240, 0),
    "Building": (140, 140, 140),
    "Road": (100, 60, 100),
    "GuardRail": (250, 100, 255),
    "TrafficSign": (255, 255, 0),
    "TrafficLight": (200, 200, 0),
    "Pole": (255, 130, 0),
    "Misc": (80, 80, 80),
    "Truck": (160, 60, 60),
    "Car": (255, 127, 80),
    "Van": (0, 139, 139),
    "Undefined": (0, 0, 0),
}
IN_FRONT = ("TrafficSign", "TrafficLight", "Pole", "GuardRail")
MAX_COLOURS_BYTES = 1 << 16
SCALE = 100.0
NO_CLASS = -1
MOST_UNNAMED = 0.5  # share of a map with colours of no class, which are unknown: more, and the colours are others


def read_virtual_kitti(root: Path, classes: Collection[str] = ("car",)) -> Source:
    """Return the frames of both cameras with their depth maps and class maps, or only one of the two if one is missing.

    Frames that lack a part which other frames have are left out, and a note says of which scenes. The dataset has no
    official split. Class names are case-insensitive.
    """
    frames = sorted(root.glob("Scene*/*/frames"))
    has_masks = any((folder / "classSegmentation").is_dir() for folder in frames)
    has_depth = any((folder / "depth").is_dir() for folder in frames)
    records: list[Record] = []
    lacking: Counter[str] = Counter()
    for folder in frames:
        scene, variation = folder.parts[-3:-1]
        colours = _colours(folder.parent / "colors.txt")
        ids = _class_ids(colours, classes, root) if has_masks else None
        for camera in sorted(path.name for path in (folder / "rgb").glob("Camera_*")):
            parts = {part: folder / part / camera for part in ("depth", "classSegmentation", "instanceSegmentation")}
            for name, image in pictures_by_stem(folder / "rgb" / camera).items():
                frame = name.removeprefix("rgb_")
                depth = parts["depth"] / f"depth_{frame}.png" if has_depth else None
                segmentation = parts["classSegmentation"] / f"classgt_{frame}.png" if has_masks else None
                inputs = tuple(path for path in (depth, segmentation) if path is not None)
                missing = [path.parts[-3] for path in inputs if not path.is_file()]
                if missing:
                    lacking[f"{scene}/{variation}/{camera} lacks {' and '.join(missing)}"] += 1
                    continue
                instance = parts["instanceSegmentation"] / f"instancegt_{frame}.png"
                instances = instance if instance.is_file() else None
                read = partial(_read, depth, segmentation, instances, colours, ids)
                stem = f"{scene}_{variation}_{camera}_{frame}"
                inputs += () if instances is None else (instances,)
                records.append(Record(stem, "", image, image.relative_to(root).as_posix(), read, inputs=inputs))
    found = require_records(records if has_masks or has_depth else [], root, "SceneNN/VARIATION/frames/rgb/Camera_N")
    folders = (("masks", "ignore") if has_masks else ()) + (("depth",) if has_depth else ())
    chosen = tuple(classes) if has_masks else ()
    count = counted(sum(lacking.values()), "frame is", "frames are")
    notes = [f"{count} left out: {named(list(lacking))}"] if lacking else []
    inputs = tuple(path for folder in frames if (path := folder.parent / "colors.txt").is_file())
    code = METRES_16_BIT if has_depth else None
    return Source("virtual_kitti", root, found, folders, chosen, code, notes=tuple(notes), inputs=inputs)


def _class_ids(colours: dict[str, tuple[int, int, int]], classes: Collection[str], root: Path) -> ClassIds:
    table = {name.lower(): (number,) for number, name in enumerate(colours) if name != "Undefined"}
    chosen = choose_classes(table, [name.lower() for name in classes], root)
    in_front = frozenset(number for name in IN_FRONT for number in table.get(name.lower(), ()))
    names = list(colours)
    unlabelled = {NO_CLASS, names.index("Undefined")} if "Undefined" in names else {NO_CLASS}
    return ClassIds(chosen, frozenset(unlabelled), in_front)


def _colours(path: Path) -> dict[str, tuple[int, int, int]]:
    """Return the colour of each class from a file: a header "Category r g b", then one class per line. Without the
    file, return the published colours."""
    if not path.is_file():
        return COLOURS
    lines = read_bytes(path, MAX_COLOURS_BYTES).decode("utf-8", "replace").split("\n")
    colours: dict[str, tuple[int, int, int]] = {}
    for line in filter(str.strip, lines[1:]):
        name, *numbers = line.split()
        if len(numbers) != 3 or not all(map(_is_byte, numbers)):
            wanted = "a name and three numbers up to 255"
            raise DatasetError(f"Invalid colours: got {line.strip()[:80]!r} in {printable(path)}; must be {wanted}")
        colours[name.partition(":")[0]] = (int(numbers[0]), int(numbers[1]), int(numbers[2]))
    return colours


def _is_byte(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3 and int(text) < 256


def _read(
    depth: Path | None,
    segmentation: Path | None,
    instance: Path | None,
    colours: dict[str, tuple[int, int, int]],
    classes: ClassIds | None,
    shape: tuple[int, int],
) -> Labels:
    labels = Labels()
    if segmentation is not None and classes is not None:
        ids = _ids_of_colours(segmentation, shape, colours)
        labels = labels_of_ids(ids, classes, segmentation)
        if instance is not None:  # palette indices: 0 for none, otherwise track number + 1
            labels = replace(labels, instances=read_ids(instance, shape))
    if depth is not None:
        labels = replace(labels, inverse_depth=metric_depth(depth, shape, SCALE))
    return labels


def _ids_of_colours(path: Path, shape: tuple[int, int], colours: dict[str, tuple[int, int, int]]) -> NDArray[np.int32]:
    """Return the class number of each pixel, NO_CLASS for colours of no class."""
    rgb = decode_rgb(read_picture(path), path).astype(np.int32)
    require_size(rgb.shape, shape, path)
    packed = (rgb[:, :, 0] << 16) | (rgb[:, :, 1] << 8) | rgb[:, :, 2]
    ids = np.full(shape, NO_CLASS, np.int32)
    for number, (red, green, blue) in enumerate(colours.values()):
        ids[packed == (red << 16 | green << 8 | blue)] = number
    strange = packed[ids == NO_CLASS]
    if strange.size > MOST_UNNAMED * ids.size:
        colour = int(strange[0])
        got = (
            f"colour {colour >> 16}, {colour >> 8 & 255}, {colour & 255} on {strange.size / ids.size:.1%} of the pixels"
        )
        wanted = "be a colour of colors.txt: are the maps PNG as downloaded?"
        raise DatasetError(f"Invalid class map: got {got} of {printable(path)}, the first of its kind; must {wanted}")
    return ids
