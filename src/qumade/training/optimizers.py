"""Optimizers: AdamW, and Muon, which orthogonalises the update of each matrix.

Muon: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; updates are scaled as in
J. Liu et al., "Muon is scalable for LLM training", 2025, so that a learning rate has about the same effect as with
Adam (D. Kingma, J. Ba, ICLR 2015). The versions of timm and torch orthogonalise in bfloat16, which takes most CPUs
sixteen times as long.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.adamw import adamw

__all__ = ["Muon", "OptimizerName", "new_optimizer", "orthogonalised"]

OptimizerName = Literal["muon", "adamw"]

MOMENTUM = 0.95
BETAS = 0.9, 0.999
EPSILON = 1e-8
# A quintic that moves all singular values to about 1 when applied five times, the smallest ones most quickly.
QUINTIC = 3.4445, -4.7750, 2.0315
ITERATIONS = 5


class Muon(Optimizer):
    """Muon for matrices and Adam for everything else, both with decoupled weight decay.

    `orthogonal` of a group selects Muon for its parameters. The kernel of a convolution counts as a matrix with one row
    for each output channel.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float = 0.0) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0, "orthogonal": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        if closure is not None:
            raise ValueError("Invalid closure: got one; must be None")
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            update = self._orthogonal_step if group["orthogonal"] else self._adam_step
            update(parameters, [parameter.grad for parameter in parameters], group)

    def _orthogonal_step(self, parameters: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        averages = self._slots(parameters, "momentum")
        torch._foreach_lerp_(averages, gradients, 1 - MOMENTUM)
        # Nesterov momentum: as if the next gradient were like this one.
        ahead = torch._foreach_lerp(gradients, averages, MOMENTUM)
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        for parameter, direction in zip(parameters, ahead, strict=True):
            matrix = direction.flatten(1)
            # The root mean square of an orthogonal matrix is the inverse root of its longer side; Adam's is about 0.2.
            scale = 0.2 * max(matrix.shape) ** 0.5
            parameter.add_(orthogonalised(matrix).view_as(parameter), alpha=-group["lr"] * scale)

    def _adam_step(self, parameters: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        means, squares = self._slots(parameters, "mean"), self._slots(parameters, "square")
        steps = [self.state[parameter].setdefault("step", torch.zeros(())) for parameter in parameters]
        adamw(
            parameters, gradients, means, squares, [], steps, fused=parameters[0].device.type == "cpu", amsgrad=False,
            beta1=BETAS[0], beta2=BETAS[1], lr=group["lr"], weight_decay=group["weight_decay"], eps=EPSILON,
            maximize=False,
        )  # fmt: skip

    def _slots(self, parameters: list[Tensor], name: str) -> list[Tensor]:
        """Return a state tensor of each parameter, 0 at first and laid out in memory like the parameter."""
        for parameter in parameters:
            if name not in self.state[parameter]:
                self.state[parameter][name] = torch.zeros_like(parameter)
        return [self.state[parameter][name] for parameter in parameters]


def orthogonalised(matrix: Tensor) -> Tensor:
    """Return approximately the orthogonal matrix nearest to a matrix [M, N] of any scale: U V' of its singular value
    decomposition U S V', but with singular values between 0.7 and 1.2 instead of 1; those near 0 may stay there.

    Uses Newton-Schulz iterations (K. Jordan, see above) on the Gram matrix of the shorter side, which is less work.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalised(matrix.mT).mT
    first, third, fifth = QUINTIC
    matrix = matrix / matrix.norm().clamp(min=1e-12)
    gram = matrix @ matrix.mT
    factors = []
    for number in range(ITERATIONS):
        factor = torch.addmm(gram, gram, gram, beta=third, alpha=fifth)
        factor.diagonal().add_(first)
        factors.append(factor)
        if number < ITERATIONS - 1:
            gram = factor @ gram @ factor
    result: Tensor = torch.linalg.multi_dot([*factors[::-1], matrix])
    return result


def new_optimizer(
    name: OptimizerName, network: nn.Module, objective: nn.Module, *, weight_decay: float, encoder_lr: float = 1.0
) -> Optimizer:
    """Return AdamW (I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019), or Muon for the
    matrices of the network: dense convolutions and linear layers. Biases, scales of norms and the parameters of the
    objective have no weight decay. A group's `lr_share` is its share of the learning rate: `encoder_lr` for
    `network.encoder`, 1 for the rest."""
    own = getattr(network, "encoder", None)
    encoder = set(own.parameters()) if isinstance(own, nn.Module) else set()
    parameters = [p for module in (network, objective) for p in module.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = []
    for share in sorted({encoder_lr, 1.0}):
        some = [p for p in parameters if (encoder_lr if p in encoder else 1.0) == share]
        matrices = [p for p in some if p.ndim >= 2]
        # The kernel of a depthwise convolution is no matrix.
        kernels = [p for p in matrices if p.shape[1] == 1] if name == "muon" else []
        dense = [p for p in matrices if p.shape[1] > 1] if name == "muon" else matrices
        for members, decay, orthogonal in (
            (dense, weight_decay, name == "muon"), (kernels, weight_decay, False),
            ([p for p in some if p.ndim < 2], 0.0, False),
        ):  # fmt: skip
            if members:
                group = {"params": members, "weight_decay": decay, "lr_share": share}
                groups.append(group | {"orthogonal": orthogonal} if name == "muon" else group)
    if name == "muon":
        return Muon(groups)
    # One kernel per tensor instead of ten: four times as fast on a CPU.
    fused = all(weights.device.type in ("cpu", "cuda") for weights in parameters)
    return torch.optim.AdamW(groups, lr=0.0, fused=fused)
