import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.data.dataset import LabeledSample
from qumade.evaluation.gap import LARGE, Gap, format_gaps, gap_sentence, measure, transfer_gaps


class Samples:
    """Samples by position, and nothing else that a dataset has."""

    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, position):
        return self.samples[position]


def scene(boxes, *, light=0.5, ignore=None, texture=0.1, seed=0):
    """A picture of 100x200 noise around a brightness, whose objects are the given boxes (left, top, right, bottom)."""
    rng = np.random.default_rng(seed)
    image = np.clip(255 * (light + texture * rng.standard_normal((100, 200, 3))), 0, 255).astype(np.uint8)
    mask = np.zeros((100, 200), np.uint8)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = 255
    return LabeledSample(image, mask, None, ignore)


def test_numbers_sizes_and_rows_of_objects_are_those_of_the_boxes():
    found = measure(Samples([scene([(10, 20, 30, 70), (100, 40, 150, 60)]), scene([])]))
    assert found["number"].tolist() == [2.0]  # where there are any
    np.testing.assert_allclose(sorted(found["size"]), np.sqrt([20 * 50 / 20000, 50 * 20 / 20000]))
    np.testing.assert_allclose(sorted(found["row"]), [0.6, 0.7])
    assert len(found["light"]) == 2 and len(found["object_light"]) == 1


def test_light_contrast_and_colour_are_in_the_unit_of_white():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = 255
    found = measure(Samples([LabeledSample(image, None, None, None)]))
    assert found["light"] == pytest.approx([0.5]) and found["contrast"] == pytest.approx([0.5])
    assert found["colour"].tolist() == [0.0] and not len(found["size"])
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    assert measure(Samples([LabeledSample(red, None, None, None)]))["colour"] == pytest.approx([1.0])


def test_ignored_pixels_are_no_object():
    ignore = np.zeros((100, 200), np.bool_)
    ignore[:, 100:] = True
    found = measure(Samples([scene([(10, 20, 30, 70), (120, 40, 150, 60)], ignore=ignore)]))
    assert found["number"].tolist() == [1.0] and len(found["size"]) == 1


@pytest.mark.parametrize(
    ("training", "name", "words"),
    [
        ([scene([(10, 10, 90, 80)], seed=n) for n in range(4)], "size", "larger objects"),
        ([scene([(10, 72, 20, 92), (50, 72, 60, 92)], seed=n) for n in range(4)], "row", "objects lower down"),
        ([scene([(10, 60, 20, 80)], light=0.9, seed=n) for n in range(4)], "light", "brighter pictures"),
    ],
)
def test_the_largest_gap_is_named_in_words(training, name, words):
    photos = [scene([(10, 60, 20, 80)], seed=n + 9) for n in range(4)]
    gaps = transfer_gaps(measure(Samples(training)), measure(Samples(photos)))
    assert name in {gap.name for gap in gaps if gap.distance == gaps[0].distance}
    first = Gap(name, *((2.0, 1.0)), gaps[0].distance)
    assert words in gap_sentence((first, *gaps))
    assert [gap.distance for gap in gaps] == sorted((gap.distance for gap in gaps), reverse=True)


def test_equal_pictures_have_no_gap():
    measured = measure(Samples([scene([(10, 20, 30, 70)], seed=n) for n in range(5)]))
    gaps = transfer_gaps(measured, measured)
    assert all(gap.distance == 0 for gap in gaps) and gap_sentence(gaps).startswith("No gap stands out")
    assert len(format_gaps(gaps)) == len(gaps) + 1


@given(shift=st.floats(0.0, 20.0), spread=st.floats(0.1, 10.0))
def test_two_equal_distributions_that_are_shifted_are_apart_by_the_shift(shift, spread):
    """The 1-Wasserstein distance of a distribution from its shifted copy is the shift."""
    values = spread * np.random.default_rng(0).standard_normal(200)
    names = measure(Samples([]))
    one = {name: values if name == "light" else none for name, none in names.items()}
    other = {name: values + shift if name == "light" else none for name, none in names.items()}
    (gap,) = transfer_gaps(one, other)
    assert gap.name == "light" and gap.distance == pytest.approx(shift / values.std(), rel=1e-6, abs=1e-9)
    assert (gap.distance < LARGE) == gap_sentence((gap,)).startswith("No gap")


def test_an_attribute_without_values_is_left_out():
    gaps = transfer_gaps(measure(Samples([scene([])])), measure(Samples([scene([(10, 20, 30, 70)])])))
    assert {gap.name for gap in gaps} == {"light", "contrast", "colour", "sharpness"}
    assert gap_sentence(()).startswith("No gap")


def test_only_the_pictures_at_the_positions_are_measured():
    samples = Samples([scene([(10, 20, 30, 70)], light=0.2 + 0.1 * n, seed=n) for n in range(5)])
    measured, wanted = measure(samples, positions=np.array([1, 3])), measure(Samples([samples[1], samples[3]]))
    assert measured.keys() == wanted.keys()
    assert all(np.array_equal(measured[name], wanted[name]) for name in wanted)
    assert len(measure(samples, 1, np.array([1, 3]))["light"]) == 1
