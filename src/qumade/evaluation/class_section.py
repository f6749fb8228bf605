"""The part of a report on several classes: a table of IoU and a picture of the confusion matrix."""

from collections.abc import Sequence

from qumade.evaluation.class_scores import MASK_NOTE, ClassGroup, class_lines, unknown_classes
from qumade.evaluation.panels import Panel
from qumade.evaluation.report import Section, Table
from qumade.evaluation.summary import format_number
from qumade.evaluation.targets import as_text
from qumade.viz.confusion_plot import plot_confusion

__all__ = ["class_section"]


def class_section(groups: Sequence[ClassGroup]) -> Section:
    """Return the section of these groups, of which the first, all pictures, is drawn."""
    rows = [(as_text(name), *(format_number(value) for value in values)) for name, values in class_lines(groups)]
    first = groups[0]
    picture = plot_confusion(first.confusion, ("background", *first.classes))
    return Section(
        "Classes",
        " ".join([MASK_NOTE, *unknown_classes(groups)]),
        (
            Panel(
                "Pixels of each true class (row) by the class that is predicted for them (column), in percent.", picture
            ),
        ),
        Table(("IoU of a class", *(group.name for group in groups)), tuple(rows)),
    )
