import io
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qumade.assets.cutouts import read_cutout
from qumade.assets.identities import NEAR_LEVELS, Identities, group_identities, signature
from qumade.io.decode import read_rgb
from qumade.io.pictures import list_pictures


def identities(*pictures: np.ndarray) -> Identities:
    return group_identities([signature(p) for p in pictures], [p.shape[1] / p.shape[0] for p in pictures])


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def resized(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def scene(seed: int) -> np.ndarray:
    """An image of its own: smooth noise over a gradient, uint8 [120, 160, 3]."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((160, 120), Image.Resampling.BICUBIC)
    return np.asarray(coarse)


def test_signature_is_the_mean_of_each_cell() -> None:
    cells = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    got = signature(cells.repeat(5, 0).repeat(9, 1))
    assert got.dtype == np.uint8 and got.shape == (16, 16, 4)
    np.testing.assert_array_equal(got[..., :3], cells)
    assert (got[..., 3] == 255).all()


def test_signature_ignores_the_colour_of_transparent_pixels(disc: np.ndarray) -> None:
    other = disc.copy()
    other[other[..., 3] == 0, :3] = [0, 255, 90]
    np.testing.assert_array_equal(signature(disc), signature(other))


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p,
        lambda p: jpeg(p, 10),
        lambda p: resized(p, 53, 40),
        lambda p: resized(p, 640, 480),
        lambda p: p[1:-1, 2:-2],
        lambda p: p[:, 4:],
        lambda p: jpeg(resized(p[1:, 1:], 100, 75), 60),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_changed_copies_are_one_identity(change: Callable[[np.ndarray], np.ndarray], seed: int) -> None:
    picture = scene(seed)
    found = identities(scene(90), picture, change(picture), scene(91))
    assert found == Identities([0, 1, 1, 3], [None] * 4, [None, None, 1, None])
    found = identities(picture, scene(90), change(picture)[:, ::-1])
    assert found == Identities([0, 1, 0], [2, None, 0], [None] * 3)


def test_different_images_are_different() -> None:
    count = 60
    found = identities(*map(scene, range(count)))
    assert found == Identities(list(range(count)), [None] * count, [None] * count)


def test_low_contrast_images_are_distinguished() -> None:
    """Fog: two scenes at a tenth of the contrast differ by less than the limit but are different."""
    foggy = [(190 + scene(seed) * 0.1).astype(np.uint8) for seed in range(20)]
    first, second = (signature(p).astype(float) for p in foggy[:2])
    assert np.sqrt(((first - second) ** 2).mean()) < NEAR_LEVELS
    assert identities(*foggy).identity == list(range(20))
    assert identities(foggy[0], jpeg(foggy[0], 60)).identity == [0, 0]


def test_aspect_ratio_is_compared() -> None:
    picture = scene(0)
    assert identities(picture, resized(picture, 160, 60)).identity == [0, 1]
    assert identities(resized(picture, 160, 60), picture).identity == [0, 1]


def test_groups_are_transitive() -> None:
    """A slow pan: neighbours are alike, the ends are not."""
    pan = np.concatenate([scene(1), scene(2)], axis=1)
    frames = [pan[:, left : left + 160] for left in range(0, 81, 2)]
    assert identities(frames[0], frames[-1]).identity == [0, 1]
    assert set(identities(*frames).identity) == {0}


def test_a_symmetric_object_counts_as_its_closer_match() -> None:
    half = scene(3)[:, :80]
    symmetric = np.concatenate([half, half[:, ::-1]], axis=1)
    marked = symmetric.copy()
    marked[50:60, 10:20] = 255  # a licence plate on one side
    assert identities(marked, marked[:, ::-1]).mirror_of == [1, 0]
    assert identities(marked, marked.copy()).duplicate_of == [None, 0]


def test_closest_partner_wins() -> None:
    picture = scene(5)
    found = identities(jpeg(picture, 10), picture, picture[:, ::-1], picture)
    assert found == Identities([0, 0, 0, 0], [2, 2, 1, 2], [None, 0, None, 1])


def test_group_identities_of_no_images() -> None:
    assert group_identities([], []) == Identities([], [], [])
    with pytest.raises(ValueError, match="must be one each"):
        group_identities([signature(scene(0))], [])


@given(st.permutations(range(12)))
def test_grouping_does_not_depend_on_the_order(order: list[int]) -> None:
    pictures = [scene(n // 3) if n % 3 else scene(n // 3)[:, ::-1] for n in range(12)]
    found = identities(*[pictures[n] for n in order]).identity
    for i, j in combinations(range(12), 2):
        assert (found[i] == found[j]) == (order[i] // 3 == order[j] // 3)
    assert all(found[n] <= n for n in range(12))


def test_blocks_against_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [scene(seed % 7) for seed in range(23)]
    whole = identities(*pictures)
    monkeypatch.setattr("qumade.assets.identities._BLOCK", 4)
    assert identities(*pictures) == whole
    assert whole.identity == [n % 7 for n in range(23)]


@pytest.mark.slow
def test_real_cutouts_pair_with_their_mirror_images(real_data: Path) -> None:
    paths = list_pictures(real_data / "qumade" / "fgImages")
    found = identities(*[read_cutout(path).rgba for path in paths])
    assert len(set(found.identity)) == 100
    assert all(found.mirror_of[j] == i and i != j for i, j in enumerate(found.mirror_of) if j is not None)
    assert None not in found.mirror_of
    known = {0: 186, 1: 151, 36: 43, 109: 156, 117: 161}
    assert {i: found.mirror_of[i] for i in known} == known
    # Exact mirror images: the files say so pixel by pixel.
    for i, j in known.items():
        first, second = (np.asarray(Image.open(paths[n]).getchannel("A")).astype(int) for n in (i, j))
        assert first.shape == second.shape and np.abs(first - second[:, ::-1]).mean() < 2


def test_real_backgrounds(real_data: Path) -> None:
    paths = list_pictures(real_data / "qumade" / "bgImages")
    found = identities(*[read_rgb(path) for path in paths])
    assert {i: j for i, j in enumerate(found.duplicate_of) if j is not None} == {31: 30}
    assert found.mirror_of == [None] * 100
