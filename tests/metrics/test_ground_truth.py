import numpy as np
import pytest

from qumade.data.dataset import LabeledSample
from qumade.depth.encoding import METRES_16_BIT, UNDESCRIBED_DEPTH, DepthEncoding
from qumade.metrics.ground_truth import ground_truth_of

SCALED = DepthEncoding(kind="scaled", code="inverse", bits=8, range=(0.0, 1.5))
AFFINE = DepthEncoding(kind="affine", code="inverse", bits=8, range=(-1.0, 3.0))
IMAGE = np.zeros((6, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("encoding", "wanted"),
    [
        (AFFINE, [0.0, 0.5, 1.0, np.nan]),
        (SCALED, [-1.0, 1.0, 3.0, np.nan]),
        (UNDESCRIBED_DEPTH, [-1.0, 1.0, 3.0, np.nan]),
        (METRES_16_BIT, [-1.0, 1.0, 3.0, np.nan]),
    ],
)
def test_only_affine_depth_is_scaled_from_its_range(encoding, wanted):
    values = np.tile(np.array([-1.0, 1.0, 3.0, np.nan], np.float32), (6, 1))
    found = ground_truth_of(LabeledSample(IMAGE, None, values, None), encoding)
    assert found.mask is None and found.inverse_depth.dtype == np.float64
    np.testing.assert_allclose(found.inverse_depth, np.tile(wanted, (6, 1)))


def test_ignored_pixels_are_unknown_and_the_sample_is_unchanged():
    mask = np.arange(24, dtype=np.uint8).reshape(6, 4) * 10
    depth = np.linspace(0, 1, 24, dtype=np.float32).reshape(6, 4)
    ignore = np.zeros(mask.shape, bool)
    ignore[:5] = True
    truth = ground_truth_of(LabeledSample(IMAGE, mask, depth, ignore), SCALED)
    for values, source in ((truth.mask, mask / np.float32(255)), (truth.inverse_depth, depth)):
        np.testing.assert_array_equal(np.isnan(values), ignore)
        np.testing.assert_array_equal(values[5:], source[5:])
    assert not np.isnan(depth).any()


def test_missing_labels_have_no_ground_truth():
    depth = np.ones((6, 4), np.float32)
    assert vars(ground_truth_of(LabeledSample(IMAGE, None, None, None), SCALED)) == {
        "mask": None,
        "inverse_depth": None,
    }
    assert ground_truth_of(LabeledSample(IMAGE, None, depth, None), None).inverse_depth is None
