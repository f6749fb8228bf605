import pytest
import torch


def test_a_step_uses_the_rate_it_is_told(make_stepper, make_batches):
    stepper, (batch,) = make_stepper(), make_batches(1)
    before = [parameter.detach().clone() for parameter in stepper.learner.network.parameters()]
    stepper(batch, 0.0)
    assert all(torch.equal(a, b) for a, b in zip(before, stepper.learner.network.parameters(), strict=True))
    stepper(batch, 0.1)
    assert not any(torch.equal(a, b) for a, b in zip(before, stepper.learner.network.parameters(), strict=True))


def test_the_gradient_is_clipped_and_its_norm_told_before(make_stepper, make_batches):
    stepper, (batch,) = make_stepper(clip=1e-3), make_batches(1)
    norm = float(stepper(batch, 0.1)["gradient"])
    gradients = [parameter.grad for group in stepper.learner.optimizer.param_groups for parameter in group["params"]]
    assert norm > 0.01
    assert float(torch.nn.utils.get_total_norm(gradients)) == pytest.approx(1e-3, rel=1e-3)


def test_l1_pulls_weights_towards_nothing(make_stepper, make_batches):
    sums = []
    for l1 in (0.0, 0.1):
        stepper = make_stepper(l1=l1)
        for batch in make_batches(20):
            losses = stepper(batch, 0.01)
        sums.append(sum(float(p.detach().abs().sum()) for p in stepper.learner.network.parameters() if p.ndim > 1))
        assert "loss" in losses
    assert sums[1] < 0.7 * sums[0]


def test_bf16_learns_the_same_to_its_precision(make_stepper, make_batches):
    losses = [float(make_stepper(bf16=bf16)(make_batches(1)[0], 0.0)["loss"]) for bf16 in (False, True)]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.02)
