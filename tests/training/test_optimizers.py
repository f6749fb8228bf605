import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from qumade.models.config import NetworkConfig
from qumade.models.network import build_network
from qumade.training.losses import Objective
from qumade.training.optimizers import Muon, new_optimizer, orthogonalised


@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    seed=st.integers(0, 99),
)
def test_singular_values_become_about_one_and_their_vectors_stay(rows, columns, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    short = min(rows, columns)
    left, _ = torch.linalg.qr(torch.randn(rows, short, generator=generator, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(columns, short, generator=generator, dtype=torch.float64))
    values = torch.linspace(0.2, 1.0, short, dtype=torch.float64)
    found = orthogonalised((scale * left * values @ right.mT).float()).double()
    inside = left.mT @ found @ right
    assert inside.diagonal().min() > 0.65 and inside.diagonal().max() < 1.25
    torch.testing.assert_close(inside, torch.diag(inside.diagonal()), atol=2e-3, rtol=0)
    torch.testing.assert_close(found, left @ inside @ right.mT, atol=2e-3, rtol=0)


def test_nothing_stays_nothing():
    assert torch.equal(orthogonalised(torch.zeros(3, 5)), torch.zeros(3, 5))


def test_a_tall_matrix_is_treated_like_its_transpose():
    matrix = torch.randn(20, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(orthogonalised(matrix), orthogonalised(matrix.mT).mT)


def stepped(optimizer, parameter, gradients, lr):
    for gradient in gradients:
        parameter.grad = gradient.clone()
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
    return parameter.detach()


def test_vectors_and_kernels_go_as_with_torchs_adamw():
    generator = torch.Generator().manual_seed(0)
    start, gradients = torch.randn(6, generator=generator), [torch.randn(6, generator=generator) for _ in range(5)]
    mine, oracle = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    found = stepped(Muon([{"params": [mine], "weight_decay": 0.3}]), mine, gradients, 0.02)
    wanted = stepped(torch.optim.AdamW([oracle], lr=0.0, weight_decay=0.3), oracle, gradients, 0.02)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("shape", [(4, 30), (30, 4), (8, 3, 3, 3)])
def test_the_step_of_a_matrix_is_as_long_as_adams_whatever_the_gradient(shape):
    start, lr = torch.zeros(shape), 0.01
    for scale in (1e-5, 1.0, 1e5):
        gradient = scale * torch.randn(shape, generator=torch.Generator().manual_seed(1))
        moved = stepped(Muon([{"params": [p := nn.Parameter(start.clone())], "orthogonal": True}]), p, [gradient], lr)
        assert 0.6 * 0.2 * lr < float(moved.square().mean().sqrt()) < 1.3 * 0.2 * lr
        assert float((moved * gradient).sum()) < 0


def test_matrices_go_as_torchs_muon_would_have_them():
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(12, 20, generator=generator)
    gradients = [torch.randn(12, 20, generator=generator) for _ in range(4)]
    mine, oracle = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    found = stepped(Muon([{"params": [mine], "orthogonal": True, "weight_decay": 0.1}]), mine, gradients, 0.05)
    theirs = torch.optim.Muon([oracle], lr=0.0, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    wanted = stepped(theirs, oracle, gradients, 0.05)
    # theirs computes in bfloat16
    assert float((found - wanted).norm()) < 0.05 * float((wanted - start).norm())


def test_a_parameter_without_gradient_stays():
    one, other = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    optimizer = Muon([{"params": [one, other], "orthogonal": True, "weight_decay": 0.5}], lr=0.1)
    one.grad = torch.eye(2)
    optimizer.step()
    assert torch.equal(other, torch.ones(2, 2)) and not torch.equal(one, torch.ones(2, 2))


def test_an_optimizer_resumes_from_its_state():
    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(5, 6, generator=generator) for _ in range(6)]
    vector = [gradient[0] for gradient in gradients]

    def new(matrix, bias):
        return Muon([{"params": [matrix], "orthogonal": True}, {"params": [bias]}], lr=0.1)

    def run(optimizer, parameters, numbers):
        for number in numbers:
            for parameter, gradient in zip(parameters, (gradients[number], vector[number]), strict=True):
                parameter.grad = gradient.clone()
            optimizer.step()

    parameters = [nn.Parameter(torch.ones(5, 6)), nn.Parameter(torch.ones(6))]
    optimizer = new(*parameters)
    run(optimizer, parameters, range(3))
    copied = copy.deepcopy(parameters)
    other = new(*copied)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    run(optimizer, parameters, range(3, 6))
    run(other, copied, range(3, 6))
    assert all(torch.equal(one, two) for one, two in zip(parameters, copied, strict=True))


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_only_matrices_decay(name):
    network, objective = build_network(NetworkConfig()), Objective(task_weights="uncertainty")
    groups = new_optimizer(name, network, objective, weight_decay=0.1).param_groups
    for group in groups:
        assert {parameter.ndim > 1 for parameter in group["params"]} == {group["weight_decay"] == 0.1}
    assert any(p is objective.log_variances for group in groups for p in group["params"])
    count = sum(1 for module in (network, objective) for _ in module.parameters())
    assert sum(len(group["params"]) for group in groups) == count


def test_kernels_of_one_channel_are_no_matrices():
    network = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8, bias=False), nn.Conv2d(8, 4, 1, bias=False))
    groups = new_optimizer("muon", network, nn.Module(), weight_decay=0.1).param_groups
    assert [group.get("orthogonal") for group in groups] == [True, False]
    assert [p.shape[0] for group in groups for p in group["params"]] == [4, 8]


def test_a_closure_is_refused():
    with pytest.raises(ValueError, match="Invalid closure"):
        Muon([{"params": [nn.Parameter(torch.ones(1))]}]).step(lambda: 0.0)
