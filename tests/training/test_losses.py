import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as oracle_ms_ssim

from qumade.data.loader import Batch
from qumade.models.network import Output
from qumade.training.losses import (
    Objective,
    _ms_ssim,
    bce_dice,
    class_dice,
    scale_invariant_log,
    scale_shift_invariant,
    structural_l1,
)

LOSSES = {
    "bce_dice": bce_dice,
    "silog": lambda p, t: scale_invariant_log(p, t, (0.0, 1.0)),
    "ssi": scale_shift_invariant,
    "ms_ssim_l1": structural_l1,
}
each = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def maps(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).uniform(0.05, 0.95, shape))


@each
def test_unknown_pixels_take_no_part(loss):
    """Whatever is predicted where the target is NaN changes neither loss nor any gradient elsewhere; but MS-SSIM of
    windows that are known in part is of what is predicted in the rest."""
    target = maps(1, 2, 1, 24, 24)
    target[:, :, :, 12:] = math.nan
    one = maps(2, 2, 1, 24, 24).requires_grad_()
    two = one.detach().clone()
    two[:, :, :, 12:] = 0.5
    two.requires_grad_()
    for prediction in (one, two):
        loss(prediction, target).backward()
        assert prediction.grad[:, :, :, 12:].abs().max() == 0
        assert torch.isfinite(prediction.grad).all() and prediction.grad.abs().max() > 0
    if loss is not LOSSES["ms_ssim_l1"]:
        torch.testing.assert_close(loss(one, target), loss(two, target))
        torch.testing.assert_close(one.grad[..., :12], two.grad[..., :12])


@each
def test_pictures_without_labels_change_nothing(loss):
    prediction, target = maps(1, 4, 1, 24, 24).requires_grad_(), maps(2, 4, 1, 24, 24)
    alone = prediction.detach()[1:3].clone().requires_grad_()
    expected = loss(alone, target[1:3])
    expected.backward()
    target[0] = target[3] = math.nan
    value = loss(prediction, target)
    value.backward()
    assert expected > 0.01
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=0)
    torch.testing.assert_close(prediction.grad[1:3], alone.grad, rtol=1e-9, atol=1e-12)
    assert prediction.grad[[0, 3]].abs().max() == 0


@each
def test_without_any_target_a_loss_is_nothing(loss):
    prediction = maps(1, 2, 1, 16, 16).requires_grad_()
    value = loss(prediction, torch.full_like(prediction, math.nan))
    value.backward()
    assert value == 0 and prediction.grad.abs().max() == 0


@each
def test_gradients_are_right(loss):
    prediction = maps(3, 1, 1, 12, 12).requires_grad_()
    target = maps(4, 1, 1, 12, 12)
    target[0, 0, 0, :3] = math.nan
    if loss is LOSSES["ms_ssim_l1"]:  # whose unknown pixels follow the prediction
        target = maps(4, 1, 1, 12, 12)
    assert torch.autograd.gradcheck(lambda p: loss(p, target), prediction, atol=1e-4)


def test_bce_dice_of_known_values():
    """Half the picture is object, two of its six columns are at the boundary; logit 0 says one half everywhere."""
    target = torch.zeros(1, 1, 2, 6, dtype=torch.float64)
    target[..., :3] = 1
    dice = 1 - (2 * 3.0 + 1) / (6.0 + 6.0 + 1)
    entropy = math.log(2) * (4 + 2 * 11) / 6
    assert bce_dice(torch.zeros_like(target), target).item() == pytest.approx(entropy + dice)


def test_bce_dice_weights_a_soft_boundary_by_its_contrast_and_unknown_pixels_by_zero():
    target = torch.full((1, 1, 1, 6), 0.5, dtype=torch.float64)
    target[..., :2] = 0.3
    dice = 1 - (2 * 0.5 * 2.6 + 1) / (3.0 + 2.6 + 1)
    entropy = math.log(2) * (4 + 2 * (1 + 10 * 0.2)) / 6
    assert bce_dice(torch.zeros_like(target), target).item() == pytest.approx(entropy + dice)
    target[..., 2] = math.nan  # no two that differ are neighbours any more
    dice = 1 - (2 * 0.5 * 2.1 + 1) / (2.5 + 2.1 + 1)
    assert bce_dice(torch.zeros_like(target), target).item() == pytest.approx(math.log(2) + dice)


def test_bce_dice_of_the_truth_is_nothing():
    target = (maps(5, 3, 1, 16, 16) > 0.5).double()
    target[0] = 0
    assert bce_dice((target - 0.5) * 200, target).item() == pytest.approx(0, abs=1e-9)


def test_silog_is_the_closed_form():
    prediction, target = maps(1, 2, 1, 8, 8), maps(2, 2, 1, 8, 8)
    d = np.log(prediction.numpy()) - np.log(target.numpy())
    expected = math.sqrt((d**2).mean() - 0.85 * d.mean() ** 2)
    assert scale_invariant_log(prediction, target, (0.0, 1.0)).item() == pytest.approx(expected, rel=1e-6)


@given(st.floats(0.5, 0.9))
def test_silog_forgives_most_of_a_factor(factor):
    target = maps(1, 1, 1, 8, 8)
    expected = abs(math.log(factor)) * math.sqrt(0.15)
    prediction = (target * factor).clamp(min=0.01)
    assert scale_invariant_log(prediction, target, (0.0, 1.0)).item() == pytest.approx(expected, rel=1e-3)


def test_silog_counts_all_that_is_very_far_as_equally_far():
    target, prediction = torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), 0.009)
    assert scale_invariant_log(prediction, target, (0.0, 1.0)).item() == pytest.approx(1e-4, abs=1e-5)


@pytest.mark.parametrize("far", [0.0, 0.2])
def test_silog_brings_near_what_is_predicted_very_far(far):
    """Its gradient continues that of the logarithm; what is as far as predicted has none."""
    target = torch.full((1, 1, 4, 4), far + 0.5, dtype=torch.float64)
    target[..., :2] = far + 0.005
    for share in (0.002, 0.0099999, 0.0100001):
        prediction = torch.full_like(target, far + share).requires_grad_()
        scale_invariant_log(prediction, target, (far, far + 1.0)).backward()
        logs = torch.full_like(target, math.log(0.01)).requires_grad_()
        d = logs + torch.where(target > far + 0.01, share / 0.01 - 1, 0) - (target - far).clamp(min=0.01).log()
        torch.sqrt((d**2).mean() - 0.85 * d.mean() ** 2 + 1e-8).backward()
        expected = logs.grad[..., 2:] / 0.01
        torch.testing.assert_close(prediction.grad[..., 2:], expected, rtol=1e-3, atol=0)
        assert (prediction.grad[..., 2:] < 0).all() and (share > 0.01 or prediction.grad[..., :2].abs().max() == 0)


def test_the_default_depth_loss_has_silog_with_its_floor():
    """And so the weights of default trainings are those that they were."""
    prediction, target = torch.rand(2, 1, 32, 32) / 50, torch.rand(2, 1, 32, 32)
    found = Objective()(Output(torch.zeros(2, 1, 32, 32), prediction), batch(inverse_depth=target))["depth"]
    logs = torch.log(prediction.clamp(min=0.01)) - torch.log(target.clamp(min=0.01))
    d, n = logs.flatten(), logs.numel()
    silog = torch.sqrt((d.dot(d) / n - 0.85 * (d.sum() / n).square()).clamp(min=0) + 1e-8)
    assert found == silog + 0.5 * scale_shift_invariant(prediction[..., ::2, ::2], target[..., ::2, ::2])


@given(st.floats(0.1, 10.0), st.floats(-3.0, 3.0))
def test_ssi_forgives_scale_and_shift(scale, shift):
    target = maps(1, 2, 1, 16, 16)
    assert scale_shift_invariant(target * scale + shift, target).item() == pytest.approx(0, abs=1e-4)


def test_ssi_is_blind_to_no_sign():
    target = maps(1, 2, 1, 16, 16)
    assert scale_shift_invariant(-target, target) > 1.5 * scale_shift_invariant(torch.zeros_like(target), target)


def test_ssi_teaches_depth_to_what_begins_as_noise():
    """Losing all that it has in common with the target must be no way out: with few numbers to fit a ramp badly."""
    torch.manual_seed(0)
    target = torch.linspace(0, 1, 32).view(1, 1, 32, 1).expand(4, 1, 32, 32)
    coarse = (0.02 * torch.randn(4, 1, 4, 4)).requires_grad_()
    noise = 0.02 * torch.randn(4, 1, 32, 32)
    optimizer = torch.optim.Adam([coarse], lr=0.01)
    for _ in range(100):
        prediction = torch.nn.functional.interpolate(coarse, size=(32, 32)) + noise
        optimizer.zero_grad()
        scale_shift_invariant(prediction, target).backward()
        optimizer.step()
    both = torch.stack([prediction.detach().flatten(), target.flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.9


def test_ssi_of_a_step_is_the_closed_form():
    """Nothing without any structure can be scaled: each pixel is off by one mean deviation."""
    target = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    target[..., 8:] = 1
    # 0.5 * sum over levels of (rows x one step of 2 deviations) / pixels
    steps = sum(0.5 * (16 / s) * 2 / (16 / s) ** 2 for s in (1, 2, 4, 8))
    assert scale_shift_invariant(torch.full_like(target, 0.3), target).item() == pytest.approx(1 + steps, rel=1e-4)


def test_ms_ssim_equals_torchmetrics():
    one, two = maps(1, 2, 1, 192, 192).float(), maps(2, 2, 1, 192, 192).float()
    two = 0.6 * one + 0.4 * two
    ms_ssim = oracle_ms_ssim(one, two, data_range=1.0, gaussian_kernel=True, sigma=1.5, kernel_size=11, normalize=None)
    expected = 0.84 * (1 - ms_ssim) / 2 + 0.16 * (one - two).abs().mean()
    assert structural_l1(one, two).item() == pytest.approx(expected.item(), rel=0.02)


def test_the_legacy_notebooks_loss_of_maps_that_are_known_is_its_formula_to_the_bit():
    one, two = maps(1, 2, 1, 64, 64), maps(2, 2, 1, 64, 64)
    expected = 0.84 * (1 - _ms_ssim(one, two)) / 2 + 0.16 * ((one - two).abs().sum() / one.numel())
    assert structural_l1(one, two) == expected


@pytest.mark.parametrize("side", [1, 5, 10, 11, 21, 22, 44, 200])
def test_the_legacy_notebooks_loss_takes_pictures_of_any_size(side):
    picture = maps(1, 1, 1, side, side)
    assert structural_l1(picture, picture).item() == pytest.approx(0, abs=1e-6)


def batch(mask=None, inverse_depth=None, shape=(2, 1, 32, 32)):
    unknown = torch.full(shape, math.nan)
    return Batch(
        torch.zeros(2, 3, 32, 32),
        unknown if mask is None else mask,
        unknown if inverse_depth is None else inverse_depth,
    )


@pytest.mark.parametrize("task_weights", ["fixed", "uncertainty"])
@pytest.mark.parametrize(
    ("mask", "depth"),
    [("bce_dice", "silog"), ("ms_ssim_l1", "ms_ssim_l1"), ("bce_dice", "ssi"), ("bce_dice", "silog_ssi")],
)
def test_objectives_of_one_task_leave_the_other_alone(mask, depth, task_weights):
    objective = Objective(mask, depth, task_weights=task_weights)
    truth = maps(1, 2, 1, 32, 32).float()
    for given_batch, silent in ((batch(mask=truth), 1), (batch(inverse_depth=truth), 0)):
        output = Output(
            torch.zeros(2, 1, 32, 32, requires_grad=True), torch.full((2, 1, 32, 32), 0.5, requires_grad=True)
        )
        objective(output, given_batch)["loss"].backward()
        assert output[silent].grad.abs().max() == 0
        assert output[1 - silent].grad.abs().max() > 0 or depth == "ssi"
        if objective.log_variances is not None:
            assert objective.log_variances.grad[silent] == 0 and objective.log_variances.grad[1 - silent] != 0
            objective.log_variances.grad = None


def test_uncertainty_at_first_adds_the_parts():
    output = Output(torch.zeros(2, 1, 32, 32), torch.full((2, 1, 32, 32), 0.5))
    parts = Objective(task_weights="uncertainty")(
        output, batch(maps(1, 2, 1, 32, 32).float(), maps(2, 2, 1, 32, 32).float())
    )
    assert parts["loss"].item() == pytest.approx((parts["mask"] + parts["depth"]).item())


def test_weights_weigh():
    output = Output(torch.zeros(2, 1, 32, 32), torch.full((2, 1, 32, 32), 0.5))
    parts = Objective(weights=(2.0, 0.5))(output, batch(maps(1, 2, 1, 32, 32).float(), maps(2, 2, 1, 32, 32).float()))
    assert parts["loss"].item() == pytest.approx((2 * parts["mask"] + 0.5 * parts["depth"]).item())


@pytest.mark.parametrize("names", [("dice", "silog"), ("bce_dice", "l1")])
def test_unknown_losses_are_refused(names):
    with pytest.raises(ValueError, match="must be one of"):
        Objective(*names)


def numbers(seed, classes, *shape, unknown=0.2):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes + 1, shape).repeat(3, -1).repeat(3, -2).astype(np.float64)
    target[rng.random(target.shape) < unknown] = math.nan
    return torch.from_numpy(target)


@given(st.integers(0, 1000))
def test_the_loss_of_one_numbered_class_is_that_of_its_mask(seed):
    target = numbers(seed, 1, 2, 1, 5, 6)
    logits = torch.from_numpy(np.random.default_rng(seed + 1).normal(size=target.shape))
    assert class_dice(logits, target).item() == pytest.approx(bce_dice(logits, target).item(), rel=1e-6)


@given(st.integers(0, 1000), st.integers(2, 4))
def test_the_loss_of_classes_is_cross_entropy_and_dice(seed, classes):
    """Against torch's cross-entropy and a Dice loss that is written out for each class and picture."""
    target = numbers(seed, classes, 2, 1, 4, 5)
    logits = torch.from_numpy(np.random.default_rng(seed + 1).normal(size=(2, classes, *target.shape[2:])))
    every = torch.cat([torch.zeros_like(logits[:, :1]), logits], 1)
    known = ~target.isnan()[:, 0]
    entropy = torch.nn.functional.cross_entropy(every, target[:, 0].nan_to_num(0).long(), reduction="none")
    edge, dice = torch.zeros_like(entropy), []
    for n, v, u in known.nonzero().tolist():
        around = target[n, 0, max(v - 1, 0) : v + 2, max(u - 1, 0) : u + 2]
        edge[n, v, u] = float(len(around[~around.isnan()].unique()) > 1)
    probability = every.softmax(1)
    for n in range(2):
        for k in range(1, classes + 1):
            p, t = probability[n, k][known[n]], (target[n, 0][known[n]] == k).double()
            dice.append(1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1))
    expected = (entropy * (1 + 10 * edge))[known].sum() / known.sum() + torch.stack(dice).mean()
    assert class_dice(logits, target).item() == pytest.approx(expected.item(), rel=1e-9)


def test_unknown_pixels_of_classes_take_no_part():
    target = numbers(3, 3, 2, 1, 5, 6, unknown=0.4)
    target[1] = math.nan
    logits = torch.randn(2, 3, 15, 18, dtype=torch.float64, requires_grad=True)
    class_dice(logits, target).backward()
    assert logits.grad[target.isnan().expand(2, 3, -1, -1)].abs().max() == 0 and logits.grad.abs().max() > 0
    nothing = class_dice(logits, torch.full_like(target, math.nan))
    assert nothing.item() == 0
    nothing.backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("mask", ["bce_dice", "ms_ssim_l1"])
def test_an_objective_of_classes_is_least_where_the_right_class_is_certain(mask):
    target = numbers(5, 3, 2, 1, 11, 11, unknown=0.1).float()[..., :32, :32]
    right = torch.stack([torch.where(target[:, 0] == number, 30.0, -30.0) for number in (1, 2, 3)], 1)
    depth = torch.full((2, 1, 32, 32), 0.5)
    loss = Objective(mask)
    truth = batch(mask=target)
    values = [loss(Output(logits, depth), truth)["mask"].item() for logits in (right, right.roll(1, 1), 0 * right)]
    assert values[0] == pytest.approx(0, abs=1e-3) and values[0] < min(values[1:])


@pytest.mark.parametrize("name", ["ssi", "silog_ssi", "silog"])
def test_the_unit_of_depth_changes_no_loss(name):
    """Inverse depth in another unit, with its span, is the same depth: also where all values are small."""
    target = maps(3, 2, 1, 32, 32)
    prediction = maps(4, 2, 1, 32, 32)
    nothing = torch.full_like(target, math.nan)
    losses = [
        Objective(depth=name, span=(0.0, unit))(
            Output(torch.zeros_like(target), unit * prediction), Batch(nothing, nothing, unit * target)
        )["depth"].item()
        for unit in (1.0, 1e-4)
    ]
    assert losses[0] > 0.1 and losses[1] == pytest.approx(losses[0], rel=1e-6)
