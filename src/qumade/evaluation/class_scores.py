"""Scores of each class of a network that tells several apart: IoU, and which class pixels are taken for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qumade.evaluation.evaluation import Evaluation
from qumade.evaluation.summary import Group, aligned, format_number
from qumade.metrics.classes import class_ious, mean_iou

__all__ = [
    "MASK_NOTE",
    "MEAN",
    "ClassGroup",
    "class_confusions",
    "class_groups",
    "class_lines",
    "classes_as_json",
    "format_classes",
    "unknown_classes",
]

MEAN = "mean of the classes"
MASK_NOTE = "Scores of the mask count an object of any class. IoU of a class: over the pixels of all pictures together."


@dataclass(frozen=True, eq=False)
class ClassGroup:
    """The classes in the pictures of one split, or of all. `confusion` int64 [K + 1, K + 1]: the pixels of each true
    class (row) by predicted class (column), 0 for the background."""

    name: str
    classes: tuple[str, ...]
    confusion: NDArray[np.int64]

    @property
    def ious(self) -> dict[str, float | None]:
        """The IoU of each class, and the mean of those that are known; None for one that no picture shows."""
        values = [*class_ious(self.confusion).tolist(), mean_iou(self.confusion)]
        names = [*self.classes, MEAN]
        return {name: None if np.isnan(value) else value for name, value in zip(names, values, strict=True)}


def class_groups(
    evaluation: Evaluation, groups: Sequence[Group], keep: NDArray[np.bool_], classes: Sequence[str] = ()
) -> list[ClassGroup]:
    """Return the classes of each group of pictures, none for one class. `keep`: the pictures that count. With `classes`
    they come in that order."""
    classes = tuple(classes) or evaluation.classes
    confusions = class_confusions(evaluation, classes)
    if confusions is None:
        return []
    splits = np.asarray(evaluation.scores["split"].to_pylist(), np.str_)
    found = []
    for group in groups:
        rows = keep if group.name == "all" else keep & (splits == group.name)
        found.append(ClassGroup(group.name, tuple(classes), confusions[rows].sum(0)))
    return found


def class_confusions(evaluation: Evaluation, classes: Sequence[str]) -> NDArray[np.int64] | None:
    """Return the confusion matrices of the pictures with the `classes` in this order, None for one class."""
    if evaluation.confusions is None:
        return None
    order = [0, *(1 + evaluation.classes.index(name) for name in classes)]
    return evaluation.confusions[:, order][:, :, order]


def class_lines(groups: Sequence[ClassGroup]) -> list[tuple[str, list[float | None]]]:
    """Return each class, and the mean, with its IoU in each group."""
    ious = [group.ious for group in groups]
    return [(name, [one[name] for one in ious]) for name in (ious[0] if ious else ())]


def unknown_classes(groups: Sequence[ClassGroup]) -> list[str]:
    """Return a sentence for each class that no picture of a group shows."""
    return [
        f"No {'' if group.name == 'all' else group.name + ' '}sample shows {name}: its IoU is unknown."
        for group in groups
        for name in group.classes
        if group.ious[name] is None
    ]


def format_classes(groups: Sequence[ClassGroup]) -> str:
    """Return the IoU of each class as a table of text; "" for one class."""
    if not groups:
        return ""
    heads = ["IoU of a class", *(group.name for group in groups)]
    rows = [[f"  {name}", *(format_number(value) for value in values)] for name, values in class_lines(groups)]
    return "\n".join([*aligned([heads, *rows]), MASK_NOTE, *unknown_classes(groups)])


def classes_as_json(groups: Sequence[ClassGroup]) -> dict[str, Any]:
    """Return IoU and confusion for programs, an empty dictionary for one class."""
    if not groups:
        return {}
    of_group = {
        group.name: {
            "iou": {name: group.ious[name] for name in group.classes},
            "mean_iou": group.ious[MEAN],
            "confusion": group.confusion.tolist(),
        }
        for group in groups
    }
    return {"classes": {"names": ["background", *groups[0].classes], "groups": of_group}}
