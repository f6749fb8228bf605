"""A table of a network: its parts with their outputs, parameters and multiplications."""

from typing import Any

import torch
from torch import Tensor, nn

from qumade.models.network import MaskDepthNetwork

__all__ = ["format_network"]


def format_network(network: MaskDepthNetwork) -> str:
    """Return a table of text: for each part of the encoder and for both decoders the shape of its output (channels x
    height x width) for one picture of the training size, its parameters, and the multiply-adds of its convolutions and
    linear layers. The network is unchanged afterwards."""
    parts: dict[str, nn.Module] = {f"encoder {name}": part for name, part in network.encoder.named_children()}
    parts |= {"mask decoder": network.mask_decoder, "depth decoder": network.depth_decoder}
    shapes: dict[nn.Module, torch.Size] = {}
    products: dict[nn.Module, int] = {}

    def note(module: nn.Module, given: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            shapes[module] = output.shape
            if isinstance(module, nn.Conv2d | nn.Linear):
                each = module.weight[0].numel()
                products[module] = output.numel() * each

    hooks = [module.register_forward_hook(note) for module in network.modules()]
    training, device = network.training, next(network.parameters()).device
    width, height = network.config.size
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, 3, height, width, device=device))
    finally:
        for hook in hooks:
            hook.remove()
        network.train(training)
    lines = [f"{'part':22}{'output':>16}{'parameters':>14}{'multiply-adds':>16}"]
    for name, part in parts.items():
        weights = sum(weight.numel() for weight in part.parameters())
        if weights:
            shape = " x ".join(str(side) for side in shapes[part][1:]) if part in shapes else ""
            work = sum(products.get(module, 0) for module in part.modules())
            lines.append(f"{name:22}{shape:>16}{weights:>14,}{f'{work / 1e6:,.1f} M':>16}")
    total = sum(weight.numel() for weight in network.parameters())
    lines.append(f"{'all':22}{'':>16}{total:>14,}{f'{sum(products.values()) / 1e6:,.1f} M':>16}")
    return "\n".join(lines) + f"\nmodel {network.config.model}, one picture of {width}x{height}"
