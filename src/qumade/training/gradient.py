"""The gradient of a batch, from micro-batches that are computed in parallel.

Single operations of a network with few channels do not keep several cores busy: a second thread makes them 1.5 times
as fast, one micro-batch per thread 1.9 times. Each micro-batch is normalised by its own statistics (E. Hoffer et al.,
"Train longer, generalize better", NIPS 2017). Gradients are added up in the order of the micro-batches, so that the
weights are the same to the bit whatever the number of threads.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from qumade.data.loader import Batch

__all__ = ["MicroBatches", "WholeBatch", "one_thread"]

Losses = dict[str, Tensor]


class WholeBatch:
    """Computes one process's share of a batch at once. `forward` is the network, wrapped so that its gradients are
    means over the processes. `mean` averages any other tensor over the processes; all of them call it alike."""

    def __init__(
        self, objective: nn.Module, forward: nn.Module, mean: Callable[[Tensor], Tensor], *, bf16: bool = False
    ) -> None:
        self._objective, self._forward, self._mean, self._bf16 = objective, forward, mean, bf16

    def __call__(self, batch: Batch) -> Losses:
        """Leave the gradient in the parameters, which must have none, and return the losses, detached. Both are those
        of the whole batch, so that all processes take the same steps and decisions."""
        losses = _losses(self._forward, self._objective, batch, self._bf16)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        for parameter in self._objective.parameters():  # not wrapped
            if parameter.grad is not None:
                parameter.grad = self._mean(parameter.grad)
        means = self._mean(torch.stack([value.detach() for value in losses.values()]))
        return dict(zip(losses, means, strict=True))


class MicroBatches:
    """Computes micro-batches of about `samples` each, up to `threads` at a time: on a CPU several, on a GPU one.

    Running statistics are those of the first micro-batch. The network must draw no random numbers, since all threads
    share one generator.
    """

    def __init__(
        self, network: nn.Module, objective: nn.Module, *, samples: int, threads: int, bf16: bool = False
    ) -> None:
        self._pairs = [(network, objective)]
        self._samples, self._threads, self._bf16 = samples, threads, bf16
        self._pool: ThreadPoolExecutor | None = None

    def __call__(self, batch: Batch) -> Losses:
        """Leave the gradient in the parameters, which must have none, and return the losses, detached. Both weight each
        micro-batch by its number of samples."""
        total = len(batch.image)
        count = math.ceil(total / self._samples)
        # Every micro-batch gets samples of every dataset in the batch.
        parts = [Batch(*(layer[number::count] for layer in batch)) for number in range(count)]
        weights = [len(part.image) / total for part in parts]
        losses = list(self._map(self._part, self._replicas(count), parts, weights))
        self._gather(count)
        return {
            name: torch.stack([loss[name] * weight for loss, weight in zip(losses, weights, strict=True)]).sum()
            for name in losses[0]
        }

    def _part(self, pair: tuple[nn.Module, nn.Module], part: Batch, weight: float) -> Losses:
        network, objective = pair
        losses = _losses(network, objective, part, self._bf16)
        (losses["loss"] * weight).backward()  # type: ignore[no-untyped-call]
        return {name: value.detach() for name, value in losses.items()}

    def _map(self, function: Callable[..., Losses], *arguments: Sequence[Any]) -> Iterator[Losses]:
        count = len(arguments[0])
        if count == 1 or self._threads == 1:
            with one_thread(self._threads if count == 1 else 1):
                return iter([function(*each) for each in zip(*arguments, strict=True)])
        if self._pool is None:
            # More threads than micro-batches: they share the operations.
            within = max(1, self._threads // count)
            self._pool = ThreadPoolExecutor(min(self._threads, count), "train", torch.set_num_threads, (within,))
        return self._pool.map(function, *arguments)

    def _replicas(self, count: int) -> list[tuple[nn.Module, nn.Module]]:
        """Return the network and objective, and copies that share their parameters but not gradients and buffers."""
        while len(self._pairs) < count:
            pair = copy.deepcopy(self._pairs[0])
            for module, original in zip(pair, self._pairs[0], strict=True):
                for parameter, shared in zip(module.parameters(), original.parameters(), strict=True):
                    parameter.data = shared.data
            self._pairs.append(pair)
        for pair in self._pairs[1:]:
            pair[0].train(self._pairs[0][0].training)
            for module in pair:
                module.zero_grad(set_to_none=True)
        return self._pairs[:count]

    def _gather(self, count: int) -> None:
        """Add the gradients of the copies to those of the originals, in order."""
        parameters = [[p for module in pair for p in module.parameters()] for pair in self._pairs[:count]]
        for replica in parameters[1:]:
            for parameter, copied in zip(parameters[0], replica, strict=True):
                if parameter.grad is None:
                    parameter.grad = copied.grad
                elif copied.grad is not None:
                    parameter.grad.add_(copied.grad)


@contextmanager
def one_thread(threads: int = 1) -> Iterator[None]:
    """Compute the operations of this Python thread with so many threads; restore the number on exit."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _losses(network: nn.Module, objective: nn.Module, batch: Batch, bf16: bool) -> Losses:
    image = batch.image.contiguous(memory_format=torch.channels_last)
    with torch.autocast(image.device.type, torch.bfloat16, enabled=bf16):
        output = network(image)
    output = type(output)(*(part.float() for part in output))
    losses: Losses = objective(output, batch)
    return losses
