"""One step of training, the same for the loop, the learning-rate finder and the measuring of speed."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from qumade.data.loader import Batch
from qumade.train.gradient import one_thread
from qumade.train.state import Learner

__all__ = ["Stepper"]


@dataclass(frozen=True, eq=False)
class Stepper:
    """How a learner takes a step. `gradient` leaves that of a batch in the learner's parameters and returns losses."""

    learner: Learner
    gradient: Callable[[Batch], dict[str, Tensor]]
    clip: float | None = 1.0
    l1: float = 0.0

    def __call__(self, batch: Batch, lr: float) -> dict[str, Tensor]:
        """Update the weights and return, detached: "loss" and its parts before the update, and "gradient", the norm of
        the gradient before clipping."""
        optimizer = self.learner.optimizer
        optimizer.zero_grad(set_to_none=True)
        losses = self.gradient(batch)
        with one_thread():  # sums of products come out the same whatever the number of threads
            if self.l1:
                for matrix in self.learner.network.parameters():
                    if matrix.grad is not None and matrix.ndim >= 2:
                        matrix.grad.add_(matrix.detach().sign(), alpha=self.l1)
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
            if self.clip is not None:
                torch.nn.utils.clip_grads_with_norm_(parameters, self.clip, norm)
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()
        return losses | {"gradient": norm}
