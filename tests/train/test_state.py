import random

import numpy as np
import pytest
import torch
from torch import nn

from qumade.errors import QumadeError
from qumade.train.state import Learner, random_state, restore, restore_random_state, snapshot


def _advance(stepper, batches):
    for batch in batches:
        stepper(batch, 0.01)


def test_going_on_from_a_snapshot_is_the_same_to_the_bit(make_stepper, make_batches):
    one, other = make_stepper(), make_stepper(seed=9)
    batches = make_batches(6)
    _advance(one, batches[:3])
    taken = snapshot(one.learner)
    _advance(one, batches[3:])
    restore(other.learner, taken)
    _advance(other, batches[3:])
    expected, got = snapshot(one.learner), snapshot(other.learner)
    assert expected.keys() == got.keys()
    assert any(name.startswith("optimizer.") and name.endswith("exp_avg_sq") for name in got)
    assert "objective.log_variances" in got and "average.body.1.running_mean" in got
    for name in expected:
        assert torch.equal(expected[name], got[name]), name


def test_moments_come_back_as_their_parameters_lie_in_memory(make_stepper, make_batches):
    one, other = make_stepper(), make_stepper(seed=9)
    for stepper in (one, other):
        stepper.learner.network.to(memory_format=torch.channels_last)
    batches = make_batches(4)
    _advance(one, batches[:2])
    restore(other.learner, snapshot(one.learner))
    weight = other.learner.network.body[0].weight
    assert other.learner.optimizer.state[weight]["exp_avg"].stride() == weight.stride() != weight.contiguous().stride()
    for stepper in (one, other):
        torch.manual_seed(0)
        _advance(stepper, batches[2:])
    assert torch.equal(one.learner.network.body[0].weight, weight)


def test_a_snapshot_is_a_copy(make_stepper, make_batches):
    stepper = make_stepper()
    taken = snapshot(stepper.learner)
    before = {name: value.clone() for name, value in taken.items()}
    _advance(stepper, make_batches(1))
    assert all(torch.equal(taken[name], before[name]) for name in before)


def test_a_snapshot_of_before_the_first_step_forgets_the_optimiser_s_memory(make_stepper, make_batches):
    stepper = make_stepper()
    taken = snapshot(stepper.learner)
    _advance(stepper, make_batches(2))
    restore(stepper.learner, taken)
    assert not stepper.learner.optimizer.state
    assert snapshot(stepper.learner).keys() == taken.keys()


def test_all_random_numbers_go_on_where_they_were():
    random.gauss(0, 1), np.random.standard_normal()  # both keep a second number for later
    state = random_state()
    drawn = [random.gauss(0, 1), random.random(), np.random.standard_normal(), np.random.rand(), torch.rand(3).tolist()]
    restore_random_state(state)
    again = [random.gauss(0, 1), random.random(), np.random.standard_normal(), np.random.rand(), torch.rand(3).tolist()]
    assert drawn == again


@pytest.mark.parametrize("part", ["network", "average"])
def test_another_network_s_state_is_refused(make_stepper, part):
    taken = snapshot(make_stepper().learner)
    other = make_stepper().learner
    strange = nn.Conv2d(3, 2, 1)
    learner = Learner(**{**vars(other), part: strange})
    with pytest.raises(QumadeError, match=f"got another {part} in FILE"):
        restore(learner, taken, "FILE")


def test_another_optimiser_s_state_is_refused(make_stepper, make_batches):
    stepper = make_stepper()
    _advance(stepper, make_batches(1))
    taken = snapshot(stepper.learner)
    taken["optimizer.0.exp_avg"] = torch.zeros(1, 2, 3)
    with pytest.raises(QumadeError, match="got another optimizer in FILE"):
        restore(stepper.learner, taken, "FILE")
