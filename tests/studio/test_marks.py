from xml.etree import ElementTree

from qumade.studio.composing import Explained
from qumade.studio.marks import boxes


def test_boxes_hold_numbers_only():
    thing = Explained("<img src=x>.png", "random", False, (1, 2, 30, 40), (16, 42), (1, 2), "1 m", 0.2, 1.0, {})
    svg = boxes([thing] * 9, (200, 100))
    assert "img" not in svg
    root = ElementTree.fromstring(f"<svg>{svg}</svg>")
    assert [float(root[0].get(name)) for name in ("x", "y", "width", "height")] == [1, 2, 30, 40]
    assert [float(root[1].get(name)) for name in ("cx", "cy")] == [16, 42]
    assert len(root) == 18
