"""Cut-outs of objects that are whole but for one side, where the photo ended or something hid them: marked by name."""

from pathlib import PurePath
from typing import Literal

__all__ = ["CUT_SIDES", "CutSide", "cut_name", "cut_side"]

CutSide = Literal["left", "right"]

CUT_SIDES: tuple[CutSide | None, ...] = (None, "left", "right")
"""The sides by number; plans are made with the numbers."""


def cut_name(stem: str, side: str) -> str:
    """Return the stem of a cut-out whose object is cut on a side."""
    return f"{stem}_cut_{side}"


def cut_side(name: str) -> CutSide | None:
    """Return the side on which the object of a file is cut, by the end of its stem: _cut_left or _cut_right."""
    stem = PurePath(name).stem.lower()
    return next((side for side in CUT_SIDES if side is not None and stem.endswith(cut_name("", side))), None)
