"""The classes of Cityscapes and the ids of its label maps, which the semantic maps of KITTI share.

M. Cordts et al., "The Cityscapes dataset for semantic urban scene understanding", CVPR 2016.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qumade.assets.label_names import LABEL_TABLES, named_ids
from qumade.convert.importers.records import ClassIds, choose_classes

__all__ = ["CLASSES", "IN_FRONT", "instances_of", "street_classes"]

CLASSES = {name: ids for name, ids in LABEL_TABLES["cityscapes_ids"].items() if name != "unlabelled"}
IN_FRONT = (
    "pole",
    "polegroup",
    "traffic light",
    "traffic sign",
    "person",
    "rider",
    "bicyclist",
    "motorcycle",
    "bicycle",
)
"""Classes of slender things that may stand in front of others, by the names that most label maps use."""


def street_classes(classes: Collection[str], where: Path, *, train_ids: bool = False) -> ClassIds:
    """Return the ids of these classes. With `train_ids`, id 255 covers all classes left out of training: unknown."""
    name = "cityscapes" if train_ids else "cityscapes_ids"
    whole = LABEL_TABLES[name]
    table = {each: ids for each, ids in whole.items() if each != "unlabelled"}
    in_front = frozenset(number for each in IN_FRONT for number in table.get(each, ()))
    unlabelled = frozenset({*whole["unlabelled"], 255})
    return ClassIds(
        choose_classes(table, classes, where), unlabelled, in_front, named_ids(whole), f"the table {name!r}"
    )


def instances_of(
    numbers: NDArray[np.int32], each: int, classes: ClassIds, groups: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Return the instance numbers of the chosen classes, 0 elsewhere. `numbers` int32 [H, W] are id x `each` +
    instance; pixels in `groups` belong to no single instance."""
    chosen = np.isin(numbers // each, list(classes.chosen)) & ~groups
    return np.where(chosen, numbers, np.int32(0))
