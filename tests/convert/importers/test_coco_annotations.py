import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from qumade.convert.importers.coco_annotations import check_annotation, decode_segmentation, unknown_pixels, whole

coco_mask = pytest.importorskip("pycocotools.mask")

HEIGHT, WIDTH = 12, 16
KNOWN = frozenset({3})


@given(arrays.arrays(bool, (5, 7)))
def test_run_lengths_of_both_kinds_give_the_same_mask(mask: np.ndarray) -> None:
    packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    counts = {"size": [5, 7], "counts": packed["counts"].decode()}
    np.testing.assert_array_equal(decode_segmentation(counts, (5, 7)), mask)
    flat = mask.T.ravel()
    lengths, value = [0], False
    for pixel in flat:
        if pixel != value:
            lengths.append(0)
            value = not value
        lengths[-1] += 1
    np.testing.assert_array_equal(decode_segmentation({"size": [5, 7], "counts": lengths}, (5, 7)), mask)


def test_far_corners_take_no_memory() -> None:
    mask = decode_segmentation([[-1e300, -1e300, 1e300, -1e300, 1e300, 1e300, -1e300, 1e300]], (HEIGHT, WIDTH))
    assert mask.all()


@given(st.lists(st.floats(-50, 50), min_size=6, max_size=12).filter(lambda numbers: len(numbers) % 2 == 0))
def test_any_polygon_is_drawn_or_refused(corners: list[float]) -> None:
    assert decode_segmentation([corners], (HEIGHT, WIDTH)).shape == (HEIGHT, WIDTH)


@given(arrays.arrays(bool, (HEIGHT, WIDTH)).filter(np.any))
def test_a_mask_agrees_with_its_own_box_and_area_and_not_with_others(mask: np.ndarray) -> None:
    packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    segmentation = {"size": [HEIGHT, WIDTH], "counts": packed["counts"].decode()}
    annotation = {
        "category_id": 3,
        "segmentation": segmentation,
        "bbox": coco_mask.toBbox(packed).tolist(),
        "area": int(mask.sum()),
    }
    assert check_annotation(annotation, KNOWN, (HEIGHT, WIDTH)).problem is None
    wrong = check_annotation(annotation | {"area": 1000 + 10 * int(mask.sum())}, KNOWN, (HEIGHT, WIDTH))
    assert wrong.problem is not None and wrong.problem.startswith("has the area")
    assert unknown_pixels(wrong, (HEIGHT, WIDTH))[mask].all()


@pytest.mark.parametrize("counts", ["o", "0", "\x7f", "oooooooooooooooooooooooo", "\u1234", "00000000"])
def test_packed_runs_that_do_not_fill_the_picture_are_refused(counts: str) -> None:
    with pytest.raises(ValueError, match="run lengths"):
        decode_segmentation({"size": [HEIGHT, WIDTH], "counts": counts}, (HEIGHT, WIDTH))


def test_an_area_may_be_that_of_the_box_or_unknown() -> None:
    triangle = [0.0, 0.0, 10.0, 0.0, 0.0, 10.0]
    for area in (50, 100, 0, None):
        annotation = {"category_id": 3, "segmentation": [triangle], "area": area}
        assert check_annotation(annotation, KNOWN, (HEIGHT, WIDTH)).problem is None


@pytest.mark.parametrize("value", [True, None, 1.5, "x", "", "-1", float("nan"), 2.0**70, [1]])
def test_only_whole_numbers_are_ids(value: object) -> None:
    with pytest.raises((ValueError, OverflowError)):
        whole(value)


def test_whole_numbers_may_be_written_in_other_types() -> None:
    assert [whole(3), whole(3.0), whole("3")] == [3, 3, 3]
