import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qumade.errors import QumadeError
from qumade.training.lr_schedule import one_cycle


@pytest.mark.parametrize("steps", [8, 40, 101, 1000])
def test_it_is_that_of_pytorch(steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    oracle = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps, pct_start=0.25)
    for step in range(steps):
        assert one_cycle(step, steps, 3e-3) == pytest.approx(oracle.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        oracle.step() if step < steps - 1 else None


@given(st.integers(1, 10_000).flatmap(lambda steps: st.tuples(st.integers(0, steps - 1), st.just(steps))))
def test_it_stays_between_nothing_and_its_peak(case):
    assert 0 < one_cycle(*case, 0.1) <= 0.1


@pytest.mark.parametrize("step", [-1, 10])
def test_no_step_beyond_the_last(step):
    with pytest.raises(QumadeError, match=f"got {step}; must be from 0 to 9"):
        one_cycle(step, 10, 0.1)


def test_the_only_step_trains_at_the_peak():
    assert one_cycle(0, 1, 0.1) == 0.1
