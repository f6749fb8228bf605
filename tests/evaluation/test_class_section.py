import numpy as np

from qumade.evaluation.class_scores import ClassGroup
from qumade.evaluation.class_section import class_section


def test_a_section_has_a_line_for_each_class_and_the_mean():
    confusion = np.array([[90, 0, 10], [5, 15, 0], [0, 0, 0]])
    section = class_section([ClassGroup("all", ("car", "person"), confusion)])
    assert section.table is not None
    assert section.table.heads == ("IoU of a class", "all")
    assert section.table.rows == (("car", "0.750"), ("person", "-"), ("mean of the classes", "0.750"))
    assert "No sample shows person: its IoU is unknown." in section.text
    (picture,) = section.pictures
    assert picture.image.mode == "RGB" and min(picture.image.size) > 200
