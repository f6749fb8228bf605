"""One step of training, the same for the loop, the learning-rate finder and the measuring of speed."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qumade.data.batches import Batch
from qumade.train.state import Learner

__all__ = ["Stepper", "new_optimizer"]


@dataclass(frozen=True, eq=False)
class Stepper:
    """How a learner takes a step. `forward` is its network, perhaps wrapped for several processes; `backward` takes the
    total loss."""

    learner: Learner
    forward: nn.Module
    backward: Callable[[Tensor], None] = Tensor.backward
    clip: float | None = 1.0
    l1: float = 0.0
    bf16: bool = False

    def __call__(self, batch: Batch, lr: float) -> dict[str, Tensor]:
        """Update the weights and return, detached: "loss" and its parts before the update, and "gradient", the norm of
        the gradient before clipping."""
        learner = self.learner
        image = batch.image.contiguous(memory_format=torch.channels_last)
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.bf16):
            output = self.forward(image)
        output = type(output)(*(part.float() for part in output))
        losses: dict[str, Tensor] = learner.objective(output, batch)
        total = losses["loss"]
        if self.l1:
            total = total + self.l1 * torch.stack([w.abs().sum() for w in _matrices(learner.network)]).sum()
        learner.optimizer.zero_grad(set_to_none=True)
        self.backward(total)
        parameters = [parameter for group in learner.optimizer.param_groups for parameter in group["params"]]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.clip is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.clip, norm)
        for group in learner.optimizer.param_groups:
            group["lr"] = lr
        learner.optimizer.step()
        return {name: value.detach() for name, value in losses.items()} | {"gradient": norm.detach()}


def new_optimizer(network: nn.Module, objective: nn.Module, *, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW (I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019). Biases, scales of norms and
    what the objective learns are not decayed."""
    matrices = _matrices(network)
    others = [p for module in (network, objective) for p in module.parameters() if p.requires_grad and p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    # One kernel a tensor instead of ten: four times as quick on a CPU.
    fused = all(weights.device.type in ("cpu", "cuda") for weights in matrices)
    return torch.optim.AdamW(groups, lr=0.0, fused=fused)


def _matrices(network: nn.Module) -> list[Tensor]:
    return [parameter for parameter in network.parameters() if parameter.requires_grad and parameter.ndim >= 2]
