"""The classes of Cityscapes and the ids of its label maps, which the semantic maps of KITTI share.

M. Cordts et al., "The Cityscapes dataset for semantic urban scene understanding", CVPR 2016.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qumade.assets.label_names import LABEL_TABLES
from qumade.convert.importers.records import ClassIds, choose_classes

__all__ = ["CLASSES", "instances_of", "street_classes"]

# Ids 0 to 6, its group "void": unlabelled, own car, rectification border, out of the region, static, dynamic, ground.
VOID = range(7)
NAMES = (
    "road, sidewalk, parking, rail track, building, wall, fence, guard rail, bridge, tunnel, pole, polegroup, "
    "traffic light, traffic sign, vegetation, terrain, sky, person, rider, car, truck, bus, caravan, trailer, "
    "train, motorcycle, bicycle"
)
CLASSES: dict[str, tuple[int, ...]] = {name: (number,) for number, name in enumerate(NAMES.split(", "), len(VOID))}
IN_FRONT = ("pole", "polegroup", "traffic light", "traffic sign", "person", "rider", "motorcycle", "bicycle")


def street_classes(classes: Collection[str], where: Path, *, train_ids: bool = False) -> ClassIds:
    """Return the ids of these classes. With `train_ids`, id 255 covers all classes left out of training: unknown."""
    if train_ids:
        table = {name: ids for name, ids in LABEL_TABLES["cityscapes"].items() if name != "unlabelled"}
        unlabelled = frozenset(LABEL_TABLES["cityscapes"]["unlabelled"])
    else:
        table, unlabelled = CLASSES, frozenset({*VOID, 255})
    in_front = frozenset(number for name in IN_FRONT for number in table.get(name, ()))
    return ClassIds(choose_classes(table, classes, where), unlabelled, in_front)


def instances_of(
    numbers: NDArray[np.int32], each: int, classes: ClassIds, groups: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Return the instance numbers of the chosen classes, 0 elsewhere. `numbers` int32 [H, W] are id x `each` +
    instance; pixels in `groups` belong to no single instance."""
    chosen = np.isin(numbers // each, list(classes.chosen)) & ~groups
    return np.where(chosen, numbers, np.int32(0))
