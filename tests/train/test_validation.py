import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from qumade.data.loader import Batch
from qumade.models.network import Output
from qumade.train.losses import Objective
from qumade.train.validation import Scores, delta_of_pictures, iou_of_pictures, validation_sums

NAN = float("nan")


def _maps(*rows):
    return torch.tensor(rows, dtype=torch.float32).view(len(rows), 1, 1, -1)


@pytest.mark.parametrize(
    ("logits", "target", "iou"),
    [
        ([1, 1, -1, -1], [1, 1, 0, 0], 1.0),
        ([1, 1, -1, -1], [0, 1, 1, 0], 1 / 3),
        ([1, 1, -1, -1], [NAN, 1, 1, 0], 1 / 2),
        ([1, -1, -1, -1], [0, 0.4, 0.5, 0], 0.0),
        ([-1, -1, -1, -1], [0, 0, NAN, NAN], NAN),
        ([1, 1, 1, 1], [NAN, NAN, NAN, NAN], NAN),
    ],
)
def test_iou(logits, target, iou):
    got = iou_of_pictures(_maps(logits), _maps(target))
    assert float(got) == pytest.approx(iou, nan_ok=True)


@pytest.mark.parametrize(
    ("kind", "prediction", "target", "delta"),
    [
        ("metric", [0.1, 0.2, 0.4], [0.1, 0.2, 0.4], 1.0),
        ("metric", [0.1, 0.2, 0.4], [0.2, 0.2, 0.4], 2 / 3),
        ("metric", [0.2, 0.4, 0.8], [0.1, 0.2, 0.4], 0.0),
        ("scaled", [0.2, 0.4, 0.8], [0.1, 0.2, 0.4], 1.0),
        ("scaled", [0.4, 0.5, 0.9], [0.1, 0.2, 0.4], 2 / 3),
        ("affine", [0.2, 0.3, 0.5], [0.1, 0.2, 0.4], 1.0),
        (None, [0.1, 0.3, 0.7], [0.1, 0.2, 0.4], 1.0),
        ("metric", [0.9, 0.2, 0.4], [NAN, 0.2, 0.4], 1.0),
        ("metric", [0.9, 0.2, 0.4], [0.001, 0.2, 0.4], 1.0),
        ("metric", [0.9, 0.2, 0.4], [NAN, 0.0, NAN], NAN),
    ],
)
def test_delta(kind, prediction, target, delta):
    got = delta_of_pictures(_maps(prediction), _maps(target), kind=kind, span=(0.0, 1.0))
    assert float(got) == pytest.approx(delta, nan_ok=True)


@given(st.floats(0.2, 5.0), st.floats(0.0, 0.3), st.integers(0, 100))
def test_alignment_takes_factor_and_shift_away(factor, shift, seed):
    target = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) * 0.8 + 0.1
    aligned = delta_of_pictures(target * factor + shift, target, kind="affine", span=(0.0, 1.0))
    assert aligned.tolist() == [1.0, 1.0]
    assert delta_of_pictures(target * factor, target, kind="scaled", span=(0.0, 1.0)).tolist() == [1.0, 1.0]


class Fixed(nn.Module):
    """Predicts what the picture's channels say."""

    def forward(self, image):
        return Output(image[:, :1] * 2 - 1, image[:, 1:2])


def test_pictures_count_alike_whatever_the_batches():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(5, 3, 8, 8, generator=generator)
    mask = (torch.rand(5, 1, 8, 8, generator=generator) > 0.5).float()
    depth = torch.rand(5, 1, 8, 8, generator=generator)
    depth[4] = NAN
    whole = Batch(image, mask, depth)
    parts = [Batch(*(part[rows] for part in whole)) for rows in (slice(0, 2), slice(2, 5))]
    sums = [
        validation_sums(Fixed(), Objective(), batches, kind="metric", span=(0.0, 1.0)) for batches in ([whole], parts)
    ]
    assert torch.allclose(sums[0][2:], sums[1][2:])
    assert sums[0][[1, 3, 5]].tolist() == [5, 5, 4]
    assert Scores.of(sums[0]).score == pytest.approx((Scores.of(sums[0]).iou + Scores.of(sums[0]).delta1) / 2)


def test_nothing_known_is_no_score():
    assert Scores.of(torch.zeros(6)) == Scores(None, None, None) and Scores.of(torch.zeros(6)).score is None
    assert Scores.of(torch.tensor([NAN, 2, 1, 2, 0, 0])) == Scores(None, 0.5, None)
