from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qumade.assets.bundled import bundled_folder
from qumade.assets.cutouts import read_cutout
from qumade.assets.premultiplied import looks_premultiplied, straight
from qumade.io.decode import read_rgba


def multiplied(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.rint(rgb * (alpha[..., None] / 255)).astype(np.uint8)


def disc(light: int) -> tuple[np.ndarray, np.ndarray]:
    """A disc of one colour with a rim of eight pixels in which alpha falls from 255 to 0."""
    v, u = np.mgrid[:64, :64] - 31.5
    alpha = np.clip(255 * (28 - np.hypot(u, v)) / 8, 0, 255).astype(np.uint8)
    return np.full((64, 64, 3), (light, light // 2, 10), np.uint8), alpha


@pytest.mark.parametrize("light", [90, 160, 255])
def test_a_rim_that_is_as_dark_as_its_alpha_is_low_is_told(light: int) -> None:
    rgb, alpha = disc(light)
    assert not looks_premultiplied(rgb, alpha)
    assert looks_premultiplied(multiplied(rgb, alpha), alpha)


def test_dark_objects_and_hard_edges_do_not_tell() -> None:
    rgb, alpha = disc(40)
    assert not looks_premultiplied(multiplied(rgb, alpha), alpha)
    rgb, alpha = disc(200)
    hard = np.where(alpha > 127, 255, 0).astype(np.uint8)
    assert not looks_premultiplied(multiplied(rgb, hard), hard)
    assert not looks_premultiplied(rgb, np.full_like(alpha, 200))


def test_the_bundled_cut_outs_are_straight_and_would_be_told_if_they_were_not() -> None:
    told = []
    for path in sorted((bundled_folder() / "foregrounds").iterdir()):
        rgb, alpha = read_rgba(path)
        assert alpha is not None and not looks_premultiplied(rgb, alpha), path
        told.append(looks_premultiplied(multiplied(rgb, alpha), alpha))
    assert all(told)


def test_dividing_gives_the_colours_back() -> None:
    rgb, alpha = disc(200)
    back = straight(multiplied(rgb, alpha), alpha)
    visible = alpha >= 32
    assert np.abs(back[visible].astype(int) - rgb[visible]).max() <= 8  # rounding, divided by an alpha of 1/8
    assert not back[alpha == 0].any()


def test_a_cut_out_is_named_and_mended_on_request(tmp_path: Path) -> None:
    rgb, alpha = disc(200)
    path = tmp_path / "disc.png"
    Image.fromarray(np.dstack([multiplied(rgb, alpha), alpha])).save(path)
    assert "premultiplied" in {note.reason for note in read_cutout(path).notes}
    mended = read_cutout(path, premultiplied=True)
    assert "premultiplied" not in {note.reason for note in mended.notes}
    soft = mended.rgba[..., 3] >= 32
    assert np.abs(mended.rgba[..., 0][soft].astype(int) - 200).max() <= 8
