import copy

import pytest
import torch
from torch import Tensor, nn

from qumade.data.loader import Batch
from qumade.models.config import NetworkConfig
from qumade.models.network import Output, build_network
from qumade.training.gradient import MicroBatches, WholeBatch, one_thread
from qumade.training.losses import Objective


class Linear(nn.Module):
    """A network without statistics: what a sample gives does not depend on the others."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, image: Tensor) -> Output:
        return Output(*self.mix(image).split(1, dim=1))


class Squares(nn.Module):
    """A loss that is a mean over samples, with a weight that it learns."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        mask = (output.mask_logits - batch.mask).square().mean()
        depth = (output.inverse_depth - batch.inverse_depth).square().mean()
        return {"loss": mask + self.scale * depth, "mask": mask, "depth": depth}


def batch_of(samples, seed=0, side=32):
    generator = torch.Generator().manual_seed(seed)
    return Batch(*(torch.rand(samples, channels, side, side, generator=generator) for channels in (3, 1, 1)))


def alone(tensor):
    """The mean over one process."""
    return tensor


def gradients(*modules):
    return [p.grad.clone() for module in modules for p in module.parameters()]


def cleared(*modules):
    for module in modules:
        module.zero_grad(set_to_none=True)


@pytest.mark.parametrize("samples", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_parts_of_any_size_add_up_to_the_gradient_and_the_losses_of_the_whole(samples, threads):
    torch.manual_seed(0)
    network, objective, batch = Linear(), Squares(), batch_of(7)
    expected = WholeBatch(objective, network, alone)(batch)
    wanted = gradients(network, objective)
    cleared(network, objective)
    losses = MicroBatches(network, objective, samples=samples, threads=threads)(batch)
    assert losses.keys() == expected.keys() and not any(loss.requires_grad for loss in losses.values())
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name])
    for found, right in zip(gradients(network, objective), wanted, strict=True):
        torch.testing.assert_close(found, right)


def test_losses_and_learned_weights_are_means_over_the_processes():
    torch.manual_seed(0)
    network, objective, batch = Linear(), Squares(), batch_of(3)
    own = WholeBatch(objective, network, alone)(batch)
    *of_network, of_weight = gradients(network, objective)
    cleared(network, objective)
    means = WholeBatch(objective, network, lambda tensor: tensor / 4)(batch)  # three others have zeros
    *shared, averaged = gradients(network, objective)
    assert {name: float(loss) * 4 for name, loss in means.items()} == {name: float(loss) for name, loss in own.items()}
    assert averaged * 4 == of_weight != 0
    # Those of the network are averaged by what it is wrapped in.
    assert all(torch.equal(one, other) for one, other in zip(shared, of_network, strict=True))


def test_weights_that_change_are_seen_by_all_parts():
    network, objective, batch = Linear(), Squares(), batch_of(6)
    compute = MicroBatches(network, objective, samples=2, threads=1)
    compute(batch)
    cleared(network, objective)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
    network.load_state_dict({name: value + 0.1 for name, value in network.state_dict().items()})
    compute(batch)
    found = gradients(network, objective)
    cleared(network, objective)
    WholeBatch(objective, network, alone)(batch)
    for one, right in zip(found, gradients(network, objective), strict=True):
        torch.testing.assert_close(one, right)


@pytest.mark.slow
@pytest.mark.parametrize("bf16", [False, True])
def test_the_number_of_threads_changes_no_bit(bf16):
    torch.manual_seed(0)
    network = build_network(NetworkConfig()).to(memory_format=torch.channels_last).train()
    batch, results = batch_of(16, side=64), []
    for threads in (1, 2, 4):
        mine, objective = copy.deepcopy(network), Objective()
        with one_thread(threads):
            compute = MicroBatches(mine, objective, samples=4, threads=threads, bf16=bf16)
            losses = [compute(batch)["loss"] for _ in range(2) if cleared(mine) is None]
        results.append([*losses, *gradients(mine), *mine.buffers()])
    for other in results[1:]:
        assert all(torch.equal(one, two) for one, two in zip(results[0], other, strict=True))


def test_each_part_is_normalised_by_itself():
    torch.manual_seed(0)
    network = build_network(NetworkConfig()).train()
    objective, batch = Objective(), batch_of(8)
    together = copy.deepcopy(network)
    compute = MicroBatches(network, objective, samples=4, threads=1)
    compute(batch)
    # Every second sample: what a batch is mixed of comes one after the other.
    first = Batch(*(layer[0::2] for layer in batch))
    WholeBatch(objective, together, alone)(first)
    for (name, found), right in zip(network.named_buffers(), together.buffers(), strict=True):
        torch.testing.assert_close(found, right, msg=name)


def test_the_mode_of_the_network_holds_for_all_parts():
    torch.manual_seed(0)
    network, objective, batch = build_network(NetworkConfig()), Objective(), batch_of(4)
    compute = MicroBatches(network, objective, samples=2, threads=1)
    network.train()
    before = compute(batch)["loss"]
    cleared(network)
    network.eval()
    after = compute(batch)["loss"]
    cleared(network)
    assert after != before
    torch.testing.assert_close(after, WholeBatch(objective, network, alone)(batch)["loss"], rtol=0.2, atol=0)


def test_an_error_in_a_thread_is_raised():
    network, objective = Linear(), Squares()
    wrong = batch_of(4)._replace(mask=torch.zeros(4, 1, 5, 5))
    with pytest.raises(RuntimeError, match="size"):
        MicroBatches(network, objective, samples=2, threads=2)(wrong)


def test_one_thread_is_undone_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(ValueError), one_thread():
        assert torch.get_num_threads() == 1
        raise ValueError
    assert torch.get_num_threads() == before
