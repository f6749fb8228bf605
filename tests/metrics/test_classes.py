import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_confusion_matrix, multiclass_jaccard_index

from qumade.errors import RunError
from qumade.metrics.classes import class_ious, confusion_matrix, mean_iou


@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_counts_and_ious_are_those_of_torchmetrics(seed, classes):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, classes + 1, (2, 24, 18)).astype(np.uint8)
    found = confusion_matrix(predicted, truth, None, classes)
    tensors = [torch.from_numpy(each.astype(np.int64)) for each in (predicted, truth)]
    expected = multiclass_confusion_matrix(*tensors, num_classes=classes + 1)
    np.testing.assert_array_equal(found, expected.numpy())
    ious = multiclass_jaccard_index(*tensors, num_classes=classes + 1, average="none").numpy()[1:]
    np.testing.assert_allclose(class_ious(found), ious, rtol=1e-6)
    assert mean_iou(found) == pytest.approx(float(ious.mean()), rel=1e-6)


def test_ignored_pixels_take_no_part():
    truth, predicted = np.array([[0, 1, 2, 2]], np.uint8), np.array([[1, 1, 2, 0]], np.uint8)
    found = confusion_matrix(predicted, truth, np.array([[True, False, False, True]]), 2)
    np.testing.assert_array_equal(found, [[0, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert not confusion_matrix(predicted, truth, np.ones((1, 4), bool), 2).any()


def test_a_class_that_no_pixel_shows_is_unknown_and_not_zero():
    confusion = np.array([[50, 0, 7], [5, 15, 0], [0, 0, 0]])
    ious = class_ious(confusion)
    assert ious[0] == 15 / 20 and math.isnan(ious[1]) and mean_iou(confusion) == 15 / 20
    assert math.isnan(mean_iou(np.diag([9, 0, 0])))


def test_maps_that_do_not_fit_are_refused():
    two = np.zeros((2, 2), np.uint8)
    with pytest.raises(RunError, match=r"got classes of shape \(1, 2\); must be \(2, 2\)"):
        confusion_matrix(np.zeros((1, 2), np.uint8), two, None, 3)
    with pytest.raises(RunError, match="Invalid prediction: got class number 4; must be at most 3"):
        confusion_matrix(two + np.uint8(4), two, None, 3)
    with pytest.raises(RunError, match="Invalid sample: got class number 255; must be at most 3"):
        confusion_matrix(two, two + np.uint8(255), None, 3)
