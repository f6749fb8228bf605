import pytest
from hypothesis import given
from hypothesis import strategies as st

from qumade.plan.placement import CROP_STEPS, crop_share, resized_size

SIDE = st.integers(16, 5000)


@given(st.floats(0.05, 1), st.floats(0.05, 1))
def test_crop_shares_span_the_range(one, other):
    low, high = sorted((one, other))
    shares = [crop_share(low, high, step) for step in range(CROP_STEPS)]
    assert shares[0] == low and shares[-1] == pytest.approx(high)
    assert all(low <= share <= high * (1 + 1e-12) for share in shares)
    assert shares == sorted(shares)


@pytest.mark.parametrize(
    ("photo", "sample", "share", "expected"),
    [
        ((448, 448), (224, 224), 1.0, (224, 224)),
        ((640, 480), (224, 224), 1.0, (299, 224)),  # 298.67
        ((480, 640), (224, 224), 1.0, (224, 299)),
        ((640, 480), (320, 240), 0.5, (640, 480)),
        ((100, 50), (224, 224), 1.0, (448, 224)),  # enlarged
    ],
)
def test_resized_size(photo, sample, share, expected):
    assert resized_size(*photo, *sample, share) == expected


@given(SIDE, SIDE, SIDE, SIDE, st.floats(0.05, 1))
def test_resized_photo_covers_the_sample_and_keeps_its_aspect_ratio(photo_w, photo_h, width, height, share):
    resized_w, resized_h = resized_size(photo_w, photo_h, width, height, share)
    assert resized_w >= width and resized_h >= height
    scale = max(width / photo_w, height / photo_h) / share
    assert abs(resized_w - photo_w * scale) <= 0.5 + 1e-6 and abs(resized_h - photo_h * scale) <= 0.5 + 1e-6
    if share == 1.0:
        assert resized_w == width or resized_h == height
