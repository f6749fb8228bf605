from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.convert.cutouts import (
    Candidate,
    Rules,
    cut_out,
    end_height,
    find_objects,
    part_of,
    rejection,
    solidity,
    things_in_front,
    waist,
)
from qumade.convert.importers.records import Labels

HEIGHT, WIDTH = 120, 200
RULES = Rules()


def car(mask: np.ndarray, left: int, bottom: int, width: int = 60) -> None:
    """Draw a car from the side: a body of two thirds of the height and a cabin above it, 60 x 36 px by default."""
    height = round(width * 0.6)
    mask[bottom - round(height * 0.65) : bottom, left : left + width] = 255
    mask[bottom - height : bottom - round(height * 0.65), left + width // 6 : left + width - width // 6] = 255


def labels_with(*cars: tuple[int, int], **fields: np.ndarray) -> Labels:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for left, bottom in cars:
        car(mask, left, bottom)
    return Labels(mask=mask, **fields)


def verdicts(labels: Labels, rules: Rules = RULES) -> list[str | None]:
    things = things_in_front(labels, (HEIGHT, WIDTH))
    return [rejection(candidate, labels, things, rules) for candidate in find_objects(labels)]


def test_a_complete_car_is_kept() -> None:
    assert verdicts(labels_with((20, 80), (110, 100))) == [None, None]


@pytest.mark.parametrize(("left", "bottom"), [(0, 80), (140, 80), (20, 120), (20, 36)])
def test_an_object_at_the_edge_is_truncated(left: int, bottom: int) -> None:
    assert verdicts(labels_with((left, bottom))) == ["truncated"]


@pytest.mark.parametrize(("left", "bottom"), [(1, 80), (139, 80), (20, 119), (20, 37)])
def test_an_object_one_pixel_from_the_edge_is_kept(left: int, bottom: int) -> None:
    assert verdicts(labels_with((left, bottom))) == [None]


def test_small_objects_are_tiny_first_of_all() -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[0:10, 0:90] = 255  # long, flat, at the edge
    car(mask, 100, 100, 30)  # 30 x 18
    assert verdicts(Labels(mask=mask)) == ["tiny", "tiny"]
    assert verdicts(Labels(mask=mask), replace(RULES, min_side_px=10, min_area_px=50))[1] is None


def test_cars_labelled_as_one_are_merged() -> None:
    assert verdicts(labels_with((20, 80), (78, 80))) == ["merged"]  # side by side
    assert verdicts(labels_with((20, 80), (75, 66))) == ["merged"]  # one behind the other
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for column in range(20, 150):  # a row of cars receding to the right
        half = 30 - (column - 20) * 0.2
        mask[int(60 - half) : int(60 + half), column] = 255
    assert verdicts(Labels(mask=mask)) == ["merged"]
    mask[:] = 0
    mask[20:110, 40:80] = 255  # a post box
    assert verdicts(Labels(mask=mask)) == ["merged"]
    assert verdicts(Labels(mask=mask), replace(RULES, aspect=None)) == [None]


def test_instances_separate_cars_that_touch() -> None:
    labels = labels_with((20, 80), (78, 80))
    assert labels.mask is not None
    numbers = np.where(labels.mask > 0, 7, 0).astype(np.int32)
    numbers[:, 78:] *= 2
    # side by side: each may occlude a part of the other's boundary
    assert verdicts(replace(labels, instances=numbers)) == ["occluded", "occluded"]
    apart = replace(labels_with((20, 80), (90, 80)), instances=None)
    assert apart.mask is not None
    numbers = np.where(apart.mask > 0, 7, 0).astype(np.int32)
    assert verdicts(replace(apart, instances=numbers)) == ["occluded"]  # one instance in two parts


def test_the_nearer_of_two_instances_is_kept() -> None:
    mask, numbers = np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((HEIGHT, WIDTH), np.int32)
    for number, (left, bottom) in enumerate([(60, 70), (30, 90)], 1):
        one = np.zeros_like(mask)
        car(one, left, bottom)
        mask |= one
        numbers[one > 0] = number
    assert verdicts(Labels(mask=mask, instances=numbers)) == ["occluded", None]


@pytest.mark.parametrize(("foot", "wanted"), [(100, "occluded"), (80, "occluded"), (60, None)])
def test_a_pole_occludes_only_if_its_foot_is_nearer(foot: int, wanted: str | None) -> None:
    labels = labels_with((20, 80))
    assert labels.mask is not None
    in_front = np.zeros((HEIGHT, WIDTH), np.int32)
    in_front[10:foot, 80:86] = 3
    assert verdicts(replace(labels, in_front=in_front)) == [wanted]
    in_front = np.roll(in_front, 10, 1)  # too far to touch
    assert verdicts(replace(labels, in_front=in_front)) == [None]


def test_unlabelled_surroundings_count_as_occlusion() -> None:
    ignore = np.zeros((HEIGHT, WIDTH), bool)
    ignore[:, :22] = True
    assert verdicts(labels_with((20, 80), ignore=ignore)) == [None]
    ignore[:, :70] = True
    assert verdicts(labels_with((20, 80), ignore=ignore)) == ["occluded"]


def test_without_a_mask_there_are_no_objects() -> None:
    assert list(find_objects(Labels())) == []
    assert verdicts(labels_with()) == []


def test_every_pixel_of_the_mask_belongs_to_one_candidate() -> None:
    rng = np.random.default_rng(2)
    mask = np.where(rng.random((40, 50)) < 0.4, np.uint8(255), np.uint8(0))
    instances = rng.integers(0, 4, mask.shape).astype(np.int32)
    count = np.zeros(mask.shape, int)
    for rows, columns, silhouette, number in find_objects(Labels(mask=mask, instances=instances)):
        count[rows, columns] += silhouette
        assert (instances[rows, columns][silhouette] == number).all()
    np.testing.assert_array_equal(count, mask > 0)


def test_shape_measures_of_known_silhouettes() -> None:
    box = np.ones((20, 30), bool)
    assert (solidity(box), waist(box), end_height(box)) == (pytest.approx(1), 0, 1)
    ell = box.copy()
    ell[:10, 15:] = False
    assert solidity(ell) == pytest.approx(450 / (600 - 10 * 15 / 2))
    assert (waist(ell), end_height(ell)) == (0, 0.5)
    notch = box.copy()
    notch[:8, 10:20] = False
    assert waist(notch) == pytest.approx(0.4)


@given(st.integers(0, 2**32 - 1))
def test_shape_measures_are_between_0_and_1(seed: int) -> None:
    silhouette = np.random.default_rng(seed).random((9, 11)) < 0.5
    silhouette[4, :] = True
    for measure in (solidity, waist, end_height):
        assert 0 <= measure(silhouette) <= 1 + 1e-9


def test_alpha_is_soft_inside_the_silhouette() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    silhouette = np.ones((30, 40), bool)
    silhouette[10:12, 10:12] = False  # a hole in the labels
    rgba = cut_out(image, Candidate(slice(10, 40), slice(20, 60), silhouette, 0))
    assert rgba.shape == (34, 44, 4) and rgba.dtype == np.uint8
    np.testing.assert_array_equal(rgba[:, :, :3], image[8:42, 18:62])
    profile = rgba[17, :, 3].astype(int)
    assert profile[0] == 0 and (profile[6:-6] == 255).all() and (np.diff(profile[:8]) >= 0).all()
    assert np.count_nonzero((profile[:8] > 8) & (profile[:8] < 247)) in (2, 3)
    np.testing.assert_array_equal(profile, profile[::-1])
    # half coverage is inside the labelled edge, which is at 2 in the cut-out
    assert 2 < np.interp(127.5, profile[:8], np.arange(8) + 0.5) < 4


def test_a_cutout_at_the_edge_is_clipped_to_the_image() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    assert cut_out(image, Candidate(slice(0, 20), slice(1, 20), np.ones((20, 19), bool), 0)).shape == (20, 20, 4)


def test_an_object_with_a_gap_is_occluded_and_one_with_a_crumb_is_not() -> None:
    labels = labels_with((20, 80))
    assert labels.mask is not None
    labels.mask[:, 45:52] = 0  # a tree without a label
    numbers = (labels.mask > 0).astype(np.int32)
    assert verdicts(replace(labels, instances=numbers)) == ["occluded"]
    whole = labels_with((20, 80))
    assert whole.mask is not None
    whole.mask[70, 82] = 255
    assert verdicts(replace(whole, instances=(whole.mask > 0).astype(np.int32))) == [None]


def test_another_thing_in_a_hole_occludes() -> None:
    labels = labels_with((20, 80))
    assert labels.mask is not None
    person = np.zeros((HEIGHT, WIDTH), np.int32)
    person[60:70, 40:46] = 1
    labels.mask[person > 0] = 0
    assert verdicts(replace(labels, in_front=person)) == ["occluded"]


def test_a_ring_stays_a_ring_and_noise_is_filled() -> None:
    v, u = np.mgrid[:80, :80]
    radius = np.hypot(u - 40, v - 40)
    ring = (radius < 35) & (radius > 18)
    image = np.zeros((100, 100, 3), np.uint8)
    alpha = cut_out(image, Candidate(slice(10, 90), slice(10, 90), ring, 1))[..., 3]
    assert alpha[42, 42] == 0 and alpha[42, 42 + 26] == 255
    noisy = radius < 35
    noisy[40:43, 40:43] = False
    alpha = cut_out(image, Candidate(slice(10, 90), slice(10, 90), noisy, 1))[..., 3]
    assert alpha[43, 43] == 255


def parts(labels: Labels, rules: Rules = RULES) -> list[tuple[slice, str] | None]:
    """The columns of each object's part, and the side on which it is cut."""
    things = things_in_front(labels, (HEIGHT, WIDTH))
    found = [part_of(candidate, labels, things, rules) for candidate in find_objects(labels)]
    return [None if part is None else (part[0].columns, part[1]) for part in found]


@pytest.mark.parametrize(
    ("left", "bottom", "part"),
    [
        (0, 80, (slice(0, 60), "left")),
        (140, 80, (slice(140, 200), "right")),
        (20, 120, None),  # its foot is not in the photo
        (20, 36, None),
        (0, 120, None),
        (20, 80, None),  # it is complete
    ],
)
def test_an_object_at_the_left_or_right_edge_is_a_part(left: int, bottom: int, part: object) -> None:
    assert parts(labels_with((left, bottom))) == [part]


def test_an_object_over_the_whole_width_is_no_part() -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[20:100] = 255
    assert parts(Labels(mask=mask)) == [None]


def with_thing(columns: slice, rows: slice = slice(30, 100)) -> Labels:
    """A car in columns 60 to 120 and rows 44 to 80, with a thing before it."""
    labels = labels_with((60, 80))
    assert labels.mask is not None
    thing = np.zeros((HEIGHT, WIDTH), np.int32)
    thing[rows, columns] = 7
    return replace(labels, mask=np.where(thing > 0, np.uint8(0), labels.mask), in_front=thing)


def test_what_something_hides_on_one_side_is_left_away() -> None:
    assert parts(with_thing(slice(50, 75))) == [(slice(75, 120), "left")]
    assert parts(with_thing(slice(105, 130))) == [(slice(60, 105), "right")]
    # The thing hides the lower part of a quarter of the car: all columns of that quarter are left away.
    assert parts(with_thing(slice(50, 75), slice(60, 100))) == [(slice(75, 120), "left")]


def test_no_part_is_kept_when_too_little_is_left_or_both_sides_are_hidden() -> None:
    assert verdicts(with_thing(slice(50, 75))) == ["occluded"]
    assert parts(with_thing(slice(50, 112))) == [None]  # too narrow
    assert parts(with_thing(slice(50, 75)), replace(RULES, min_side_px=46)) == [None]
    one, other = with_thing(slice(50, 70)), with_thing(slice(110, 130))
    assert one.mask is not None and other.mask is not None and one.in_front is not None and other.in_front is not None
    both = Labels(mask=np.minimum(one.mask, other.mask), in_front=np.maximum(one.in_front, other.in_front))
    assert parts(both) == [None]
    middle = with_thing(slice(84, 96))
    assert middle.mask is not None
    assert parts(replace(middle, instances=(middle.mask > 0).astype(np.int32))) == [None]


def test_a_part_at_the_edge_must_be_hidden_on_that_side_alone() -> None:
    labels = labels_with((0, 80))
    assert labels.mask is not None
    for columns, expected in ((slice(48, 70), None), (slice(0, 12), (slice(12, 60), "left"))):
        thing = np.zeros((HEIGHT, WIDTH), np.int32)
        thing[30:100, columns] = 7
        hidden = replace(labels, mask=np.where(thing > 0, np.uint8(0), labels.mask), in_front=thing)
        assert parts(hidden) == [expected]


def test_parts_of_rows_of_cars_are_left_out() -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for column in range(150):  # a row of cars receding to the left edge
        mask[70 - column // 4 : 90 - column // 12, column] = 255
    assert verdicts(Labels(mask=mask)) == ["truncated"]
    assert parts(Labels(mask=mask)) == [None]
