import torch

from qumade.models.network import NetworkConfig, build_network
from qumade.models.summary import format_network


def test_parts_add_up_and_the_network_stays_as_it_was() -> None:
    network = build_network(NetworkConfig(size=(96, 64))).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    lines = format_network(network).splitlines()
    rows = {line[:22].strip(): line[22:] for line in lines[1:-1]}
    weights = {name: int(row[16:30].replace(",", "")) for name, row in rows.items()}
    total = weights.pop("all")
    assert total == sum(weight.numel() for weight in network.parameters()) == sum(weights.values())
    assert "4 x 32 x 48" in rows["mask decoder"] and "2 x 16 x 24" in rows["depth decoder"]
    products = {name: float(row[30:-1].replace(",", "")) for name, row in rows.items()}
    assert abs(products.pop("all") - sum(products.values())) < 0.05 * len(rows)
    assert network.training and not any(module._forward_hooks for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_multiply_adds_of_the_first_convolution() -> None:
    network = build_network(NetworkConfig(size=(64, 32)))
    first = network.encoder.conv1[0]
    output = (32 // 2) * (64 // 2) * first.out_channels
    later = [module for module in network.encoder.conv1[1:] if isinstance(module, torch.nn.Conv2d)]
    expected = output * 27 + sum(16 * 32 * module.weight.numel() for module in later)
    row = next(line for line in format_network(network).splitlines() if line.startswith("encoder conv1 "))
    assert float(row.split()[-2]) == round(expected / 1e6, 1)
