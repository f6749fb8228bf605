import pytest

from qumade.assets.cut_sides import CUT_SIDES, cut_name, cut_side


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("frame-01_cut_left.png", "left"),
        ("car/FRAME_CUT_RIGHT.PNG", "right"),
        ("cut_left.png", None),
        ("frame_cut_left-01.png", None),
        ("frame_cut_top.png", None),
        ("frame_cut_left/frame.png", None),
    ],
)
def test_the_end_of_the_stem_says_on_which_side_an_object_is_cut(name: str, side: str | None) -> None:
    assert cut_side(name) == side


def test_names_are_read_as_they_are_made() -> None:
    assert [cut_side(cut_name("a.b", side) + ".png") for side in CUT_SIDES if side] == ["left", "right"]
