import itertools

import pytest
import torch

from qumade.training import budget
from qumade.training.budget import steps_in


class Clock:
    """A clock that only the test moves."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(budget, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("seconds", "step_s", "validation_s", "validations"), [(600, 0.5, 2.0, 20), (600, 0.5, 9.0, 10), (60, 0.5, 20.0, 1)]
)
def test_steps_and_validations_fit_into_the_time(
    clock, make_trainer, make_batches, seconds, step_s, validation_s, validations
):
    def batches():
        for batch in itertools.cycle(make_batches(2)):
            clock.now += step_s
            yield batch

    def validate():
        clock.now += validation_s

    trainer = make_trainer()
    before = trainer.state_dict()
    pace = steps_in(seconds, trainer, batches(), validate)
    spent = clock.now + pace.steps * step_s + pace.validations * validation_s
    assert 0.9 * seconds < spent <= seconds and pace.validations == validations
    after = trainer.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_steps_are_taken_until_all_agree(clock, make_trainer, make_batches):
    own, taken = [], []

    def batches():
        for batch in itertools.cycle(make_batches(2)):
            clock.now += 1.0
            taken.append(1)
            yield batch

    def agreed(enough):
        own.append(enough)
        return len(own) == 6  # the clock of another process

    steps_in(100, make_trainer(), batches(), agreed=agreed)
    assert own == [True] * 6 and len(taken) == budget.LEAST + 5


def test_what_is_done_once_is_not_counted_again(clock, make_trainer, make_batches):
    first = iter([5.0] * 4)  # seconds more: assets are decoded

    def batches():
        for batch in itertools.cycle(make_batches(2)):
            clock.now += 1.0 + next(first, 0.0)
            yield batch

    slow = iter([10.0])

    def validate():
        clock.now += 2.0 + next(slow, 0.0)

    pace = steps_in(1000, make_trainer(), batches(), validate)
    assert 0.95 * 1000 < clock.now + pace.steps * 1.0 + pace.validations * 2.0 <= 1000


def test_at_least_one_step(make_trainer, make_batches):
    assert steps_in(1e-6, make_trainer(), make_batches(10)) == (1, 1)
