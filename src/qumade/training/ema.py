"""Exponential moving average of the weights: the averaged weights are evaluated and shipped.

B. T. Polyak, A. B. Juditsky, "Acceleration of stochastic approximation by averaging", 1992; exponential as in
A. Tarvainen, H. Valpola, "Mean teachers are better role models", 2017, with a faster pace during the first steps.
"""

import copy

import torch
from torch import nn

__all__ = ["ema_copy", "ema_decay_for", "share_statistics", "update_ema"]

LONGEST = 1000  # steps


def ema_decay_for(steps: int) -> float:
    """Return the decay that averages over about a twentieth of the steps, at least 2 and at most 1000 steps."""
    return 1 - 1 / min(max(steps / 20, 2), LONGEST)


def ema_copy(network: nn.Module) -> nn.Module:
    """Return a copy of a network for its averaged weights: in evaluation mode, without gradients."""
    average = copy.deepcopy(network).eval()
    return average.requires_grad_(False)


@torch.no_grad()
def update_ema(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move the average towards the network after `step` (0, 1, ...): weights and running statistics by
    1 - min(decay, (1 + step) / (10 + step)); integers (counters) are copied."""
    pace = 1 - min(decay, (1 + step) / (10 + step))
    towards, current = average.state_dict(), network.state_dict()
    floating = [name for name, value in towards.items() if value.is_floating_point()]
    torch._foreach_lerp_([towards[name] for name in floating], [current[name] for name in floating], pace)
    for name in towards.keys() - set(floating):
        towards[name].copy_(current[name])


@torch.no_grad()
def share_statistics(average: nn.Module) -> None:
    """Give every process the running statistics of the first one's average, which a checkpoint holds.

    Each process averages those of its own share of the batches. Weights are equal anyway. All processes call it alike;
    a single one keeps its own.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        for buffer in average.buffers():
            if buffer.is_floating_point():
                torch.distributed.broadcast(buffer, src=0)
