import random

import numpy as np
import pytest
import torch

from qumade.errors import QumadeError
from qumade.training.lr_finder import find_learning_rate, suggested_rate


def _everything(trainer):
    groups = [{k: v for k, v in group.items() if k != "params"} for group in trainer.optimizer.param_groups]
    modes = [module.training for part in trainer.modules.values() for module in part.modules()]
    return trainer.state_dict(), groups, modes


def _assert_equal(one, other):
    assert one[0].keys() == other[0].keys() and one[1:] == other[1:]
    assert all(torch.equal(one[0][name], other[0][name]) for name in one[0])


@pytest.mark.parametrize("trained", [0, 3])
def test_afterwards_everything_is_what_it_was(make_trainer, make_batches, trained):
    trainer = make_trainer()
    for batch in make_batches(trained):
        trainer.step(batch, 0.01)
    trainer.network.body[3].eval()  # also a mode that is not the usual one
    random.gauss(0, 1), np.random.standard_normal()  # both keep a second number for later
    before = _everything(trainer)
    found = find_learning_rate(trainer, make_batches(40), steps=40)
    _assert_equal(before, _everything(trainer))
    assert len(found.rates) >= 10 and found.suggestion > 0


def test_also_after_an_exception(make_trainer, make_batches):
    trainer = make_trainer()
    before = _everything(trainer)

    def torn():
        yield from make_batches(12)
        raise OSError("torn picture")

    with pytest.raises(OSError, match="torn picture"):
        find_learning_rate(trainer, torn(), steps=40)
    _assert_equal(before, _everything(trainer))


def test_training_afterwards_is_as_if_it_had_not_been(make_trainer, make_batches):
    one, other = make_trainer(), make_trainer()
    torch.manual_seed(4)
    find_learning_rate(one, make_batches(30), steps=30)
    for batch in make_batches(3):
        one.step(batch, 0.01)
    torch.manual_seed(4)
    for batch in make_batches(3):
        other.step(batch, 0.01)
    _assert_equal(_everything(one), _everything(other))


def test_it_stops_when_the_loss_diverges(make_trainer, make_batches):
    found = find_learning_rate(make_trainer(clip=None), make_batches(60), steps=60, highest=1e4)
    assert found.rates[-1] < 1e4 and np.isfinite(found.losses).all()
    assert np.allclose(np.diff(np.log(found.rates)), np.log(1e10) / 59)


def test_the_suggestion_is_where_the_loss_falls_most_steeply():
    logs = np.linspace(np.log(1e-6), 0, 200)
    losses = 1 - 1 / (1 + np.exp(-(logs - np.log(1e-2)) * 2)) + np.exp((logs + 1) * 4)
    assert suggested_rate(np.exp(logs), losses) == pytest.approx(1e-2, rel=0.1)


def test_a_loss_that_only_rises_gives_a_tenth_of_the_lowest_rate():
    rates = np.geomspace(1e-4, 1, 20)
    assert suggested_rate(rates, np.arange(20.0)) == pytest.approx(1e-5)


@pytest.mark.parametrize("options", [{"lowest": 0.0}, {"lowest": 1.0, "highest": 0.1}, {"steps": 9}])
def test_rates_that_do_not_ascend_are_refused(make_trainer, options):
    with pytest.raises(QumadeError, match="must ascend"):
        find_learning_rate(make_trainer(), [], **options)


def test_too_few_batches_are_refused(make_trainer, make_batches):
    with pytest.raises(QumadeError, match="got 5 finite losses"):
        find_learning_rate(make_trainer(), make_batches(5))
