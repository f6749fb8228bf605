import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.assets.specks import FAINT, Box, clean_alpha

V, U = np.mgrid[:120, :160]
BODY = (abs(U - 80) < 40) & (abs(V - 60) < 20)  # columns 41 to 119, rows 41 to 79
ALPHA = np.where(BODY, 255, 0).astype(np.uint8)
BOX = Box(41, 41, 120, 80)


def test_a_clean_object_stays_as_it_is() -> None:
    clean = clean_alpha(ALPHA)
    assert clean.alpha is ALPHA and clean.box == BOX and (clean.specks, clean.haze_px) == (0, 0)


@pytest.mark.parametrize("level", [12, 127, 128, 255])
@given(u=st.integers(0, 158), v=st.integers(0, 118))
def test_a_speck_anywhere_never_moves_the_box_by_more_than_a_soft_edge(level: int, u: int, v: int) -> None:
    alpha = ALPHA.copy()
    alpha[v : v + 2, u : u + 2] = np.maximum(alpha[v : v + 2, u : u + 2], level)
    clean = clean_alpha(alpha)
    assert all(abs(one - other) <= 3 for one, other in zip(clean.box, BOX, strict=True))
    assert (clean.alpha[BODY] == 255).all()
    joined = level >= 128 and 38 < u < 121 and 38 < v < 81  # touches the object, or lies within its box
    if not joined and level >= 128:
        assert (clean.specks, clean.speck_px) == (1, 4) and not (clean.alpha[~BODY] >= 128).any()


def test_faint_haze_is_cut_away_and_counted() -> None:
    alpha = ALPHA.copy()
    alpha[80:110, 60:100] = 30  # a shadow below the object
    clean = clean_alpha(alpha)
    assert clean.box.bottom == 83 and clean.haze_px == 27 * 40


def test_a_soft_edge_is_kept() -> None:
    alpha = ALPHA.copy()
    alpha[39:41, 41:120] = 60
    assert clean_alpha(alpha).box == Box(41, 39, 120, 80)


def test_parts_of_an_object_are_kept() -> None:
    alpha = ALPHA.copy()
    alpha[60:66, 31:39] = 255  # a mirror beside the body: 48 pixels of 3081
    alpha[90:100, 60:80] = 255  # another large part
    clean = clean_alpha(alpha)
    assert clean.box == Box(31, 41, 120, 100) and clean.specks == 0


def test_what_is_fainter_than_visible_counts_for_nothing() -> None:
    alpha = ALPHA.copy()
    alpha[0, 0] = FAINT - 1
    assert clean_alpha(alpha).box == BOX and clean_alpha(alpha).haze_px == 0
