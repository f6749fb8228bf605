import numpy as np
import pytest
from scipy import ndimage

from qumade.convert.plain_background import NotPlain, plain_background_alpha

HEIGHT, WIDTH = 120, 160


def disc(radius: float = 35.0, at: tuple[float, float] = (60.0, 80.0)) -> np.ndarray:
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    return np.hypot(v - at[0], u - at[1]) < radius


def picture(thing: np.ndarray, paper: tuple[int, int, int] = (225, 228, 222), noise: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    pixels = np.where(thing[..., None], rng.integers(0, 150, (HEIGHT, WIDTH, 3)), np.array(paper))
    return np.clip(pixels + rng.normal(0, noise, pixels.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("paper", [(225, 228, 222), (250, 250, 250), (40, 180, 60), (200, 160, 120)])
def test_the_object_is_found_on_plain_paper(paper: tuple[int, int, int]) -> None:
    thing = disc()
    found = plain_background_alpha(picture(thing, paper)) > 127
    assert (found & thing).sum() / (found | thing).sum() > 0.9  # a rim of one pixel is 6 % of it


def test_alpha_is_soft_at_the_edge_only() -> None:
    alpha = plain_background_alpha(picture(disc()))
    assert alpha.dtype == np.uint8 and alpha.shape == (HEIGHT, WIDTH)
    deep = ndimage.binary_erosion(alpha > 127, iterations=4)
    assert (alpha[deep] == 255).all() and (alpha[~ndimage.binary_dilation(alpha > 127, iterations=4)] == 0).all()


def test_colours_of_the_paper_inside_the_object_stay() -> None:
    thing = disc()
    pixels = picture(thing)
    pixels[disc(10)] = 225, 228, 222
    assert (plain_background_alpha(pixels)[disc(6)] == 255).all()


def test_a_slit_of_the_colour_of_the_paper_is_closed() -> None:
    pixels = picture(disc())
    pixels[59:62, 60:] = 225, 228, 222  # such as a bumper of chrome
    assert (plain_background_alpha(pixels)[disc(28)] == 255).all()


def test_an_object_may_reach_over_one_edge() -> None:
    thing = disc(40, at=(HEIGHT, 80))
    found = plain_background_alpha(picture(thing)) > 127
    assert (found & thing).sum() / thing.sum() > 0.9


def test_the_largest_of_several_things_is_taken() -> None:
    alpha = plain_background_alpha(picture(disc() | disc(8, at=(15, 15))))
    assert (alpha[disc(6, at=(15, 15))] == 0).all() and (alpha[disc(30)] == 255).all()


def test_other_pictures_are_refused() -> None:
    rng = np.random.default_rng(1)
    street = ndimage.zoom(rng.integers(0, 256, (6, 8, 3)), (20, 20, 1), order=1).astype(np.uint8)
    with pytest.raises(NotPlain, match="several colours"):
        plain_background_alpha(street)
    with pytest.raises(NotPlain, match=r"would cover 0\.0% of it"):
        plain_background_alpha(picture(np.zeros((HEIGHT, WIDTH), bool)))
