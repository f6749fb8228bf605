import pytest
import torch
from torch import nn

from qumade.training.ema import ema_copy, ema_decay_for, update_ema


def test_it_is_the_average_in_closed_form():
    network = nn.BatchNorm1d(3)
    average = ema_copy(network)
    expected = network.weight.detach().clone()
    for step in range(30):
        with torch.no_grad():
            network.weight.copy_(torch.full((3,), float(step)))
            network.running_mean.fill_(2.0 * step)
            network.num_batches_tracked.fill_(step)
        update_ema(average, network, 0.9, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    torch.testing.assert_close(average.weight, expected)
    assert int(average.num_batches_tracked) == 29
    assert 0 < float(average.running_mean[0]) < 58


def test_the_copy_is_in_evaluation_mode_and_not_trained():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    average = ema_copy(network)
    assert not average.training and network.training
    assert not any(parameter.requires_grad for parameter in average.parameters())
    with torch.no_grad():
        network[0].weight.add_(1)
    assert not torch.equal(average[0].weight, network[0].weight)


@pytest.mark.parametrize(("steps", "memory"), [(1, 2), (1000, 50), (10**6, 1000)])
def test_its_memory_goes_with_the_steps(steps, memory):
    assert 1 / (1 - ema_decay_for(steps)) == pytest.approx(memory)
