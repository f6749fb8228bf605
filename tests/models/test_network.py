import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qumade.errors import QumadeError
from qumade.models.config import NetworkConfig
from qumade.models.network import build_network, probabilities


@pytest.fixture(scope="module")
def tiny() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_network(NetworkConfig(inverse_depth_limits=(0.2, 0.7))).eval()


@given(st.integers(1, 2), st.integers(1, 4), st.integers(1, 4))
def test_outputs_have_the_pictures_size(tiny, count, rows, columns):
    output = tiny(torch.rand(count, 3, 32 * rows, 32 * columns))
    assert output.mask_logits.shape == output.inverse_depth.shape == (count, 1, 32 * rows, 32 * columns)


@pytest.mark.parametrize("model", ["small", "base"])
def test_larger_models_run(model):
    output = build_network(NetworkConfig(model=model)).eval()(torch.rand(1, 3, 64, 96))
    assert output.mask_logits.shape == output.inverse_depth.shape == (1, 1, 64, 96)


def test_inverse_depth_stays_in_its_range(tiny):
    with torch.no_grad():
        inverse_depth = tiny(100 * torch.randn(2, 3, 64, 64)).inverse_depth
    assert inverse_depth.min() >= 0.2 and inverse_depth.max() <= 0.7


@pytest.mark.parametrize(("width", "height", "padded"), [(100, 64, "128x64"), (64, 33, "64x64"), (1, 1, "32x32")])
def test_the_size_to_pad_to_is_named(tiny, width, height, padded):
    with pytest.raises(QumadeError, match=f"got {width}x{height} .* padded to {padded}"):
        tiny(torch.rand(1, 3, height, width))


def test_pictures_are_normalised_inside():
    picture = torch.rand(1, 3, 64, 64)
    plain = build_network(NetworkConfig(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))).eval()
    other = build_network(NetworkConfig(mean=(0.1, 0.5, 0.9), std=(0.25, 0.5, 0.2))).eval()
    other.load_state_dict(plain.state_dict())
    mean, std = torch.tensor([0.1, 0.5, 0.9]).view(3, 1, 1), torch.tensor([0.25, 0.5, 0.2]).view(3, 1, 1)
    torch.testing.assert_close(other(picture).mask_logits, plain((picture - mean) / std).mask_logits)


def test_the_weights_tell_nothing_of_the_config(tiny):
    assert not {"mean", "std"} & set(tiny.state_dict())


def test_every_weight_gets_a_gradient_and_the_two_tasks_share_the_encoder():
    network = build_network(NetworkConfig())
    output = network(torch.rand(2, 3, 64, 64))
    output.mask_logits.mean().backward(retain_graph=True)
    assert all(p.grad is None for p in network.depth_decoder.parameters())
    of_mask = {name for name, p in network.encoder.named_parameters() if p.grad is not None}
    output.inverse_depth.mean().backward()
    assert of_mask == {name for name, _ in network.encoder.named_parameters()}
    assert all(p.grad is not None for p in network.parameters())


def test_the_mask_decides_between_the_two_layers_of_depth(tiny):
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        normalised = (picture - tiny.mean) / tiny.std
        layers = torch.sigmoid(tiny.depth_decoder(tiny.encoder(normalised), normalised))
        layers = 0.2 + 0.5 * torch.nn.functional.interpolate(layers, size=(64, 64), mode="bilinear")
        behind, front = layers.chunk(2, dim=1)
        logits = tiny(picture).mask_logits
        expected = behind + (front - behind) / (1 + torch.exp(-logits))
        torch.testing.assert_close(tiny(picture).inverse_depth, expected)
    assert (behind - front).abs().max() > 0.001


def test_the_mask_sees_the_picture_itself(tiny):
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        features = tiny.encoder(picture)
        before = tiny.mask_decoder(features, picture)
        other = picture.clone()
        other[..., 20, 31] += 1
        changed = (tiny.mask_decoder(features, other) - before).abs().amax(dim=(0, 1)) > 0
        assert torch.equal(tiny.depth_decoder(features, picture), tiny.depth_decoder(features, other))
    rows, columns = changed.nonzero(as_tuple=True)
    assert 10 in rows and 15 in columns and rows.max() - rows.min() <= 4 and columns.max() - columns.min() <= 4


@pytest.mark.parametrize("levels", [0, 1, 3, 5])
def test_frozen_levels_keep_weights_and_statistics_and_the_rest_is_trained(levels):
    torch.manual_seed(0)
    network = build_network(NetworkConfig())
    network.freeze(5)
    network.freeze(levels)
    network.train()
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    output = network(torch.rand(2, 3, 64, 64))
    (output.mask_logits.square().mean() + output.inverse_depth.square().mean()).backward()
    trained = [parameter for parameter in network.parameters() if parameter.grad is not None]
    torch.optim.SGD(trained, lr=0.1).step()
    changed = {name for name, value in network.encoder.state_dict().items() if not torch.equal(value, before[name])}
    # The stem gives the first level, and each of the four stages of a ResNet one more.
    stages = [("conv1.", "bn1."), ("layer1.",), ("layer2.",), ("layer3.",), ("layer4.",)]
    for number, prefixes in enumerate(stages):
        some = {name for name in before if name.startswith(prefixes)}
        statistics = {name for name in some if name.endswith("running_mean")}
        if number < levels:
            assert not some & changed
        else:
            assert statistics <= changed and some - statistics & changed
    assert all(parameter.grad is not None for parameter in network.mask_decoder.parameters())


def test_a_network_without_a_fifth_level_has_a_join_less():
    network = build_network(NetworkConfig(encoder="convnext_atto"))
    assert len(network.mask_decoder.joins) == 3 and network.stride == 32
    assert network(torch.rand(1, 3, 64, 96)).mask_logits.shape == (1, 1, 64, 96)


@pytest.fixture(scope="module")
def three() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_network(NetworkConfig(inverse_depth_limits=(0.2, 0.7), classes=("a", "b", "c"))).eval()


def test_each_class_has_a_channel(three):
    output = three(torch.rand(2, 3, 32, 64))
    assert output.mask_logits.shape == (2, 3, 32, 64) and output.inverse_depth.shape == (2, 1, 32, 64)


def test_probabilities_are_those_of_what_a_pixel_shows():
    logits = torch.randn(2, 3, 4, 5)
    classes = probabilities(logits)
    background = 1 - classes.sum(1)
    for number in range(3):
        torch.testing.assert_close(torch.log(classes[:, number] / background), logits[:, number])
    one = torch.randn(2, 1, 4, 5)
    assert torch.equal(probabilities(one), torch.sigmoid(one))


def test_a_pixel_has_the_depth_of_the_layer_of_its_class(three):
    picture = torch.rand(1, 3, 64, 64)
    captured = {}
    hook = three.depth_decoder.register_forward_hook(lambda _, __, maps: captured.update(maps=maps))
    try:
        for shown in range(4):
            with torch.no_grad():
                bias = torch.full((3,), -100.0)
                if shown:
                    bias[shown - 1] = 100.0
                three.mask_decoder.head.weight.zero_()
                three.mask_decoder.head.bias.copy_(bias.repeat_interleave(three._block**2))
                depth = three(picture).inverse_depth
            layers = torch.nn.functional.interpolate(
                torch.sigmoid(captured["maps"]).contiguous(), (64, 64), mode="bilinear", align_corners=False
            )
            torch.testing.assert_close(depth[:, 0], 0.2 + 0.5 * layers[:, shown])
    finally:
        hook.remove()


def test_one_class_has_the_weights_it_had_before_there_were_several(tiny):
    shapes = {name: tuple(value.shape) for name, value in tiny.state_dict().items() if "head" in name}
    assert shapes == {
        "mask_decoder.head.weight": (4, 32, 3, 3), "mask_decoder.head.bias": (4,),
        "depth_decoder.head.weight": (2, 16, 3, 3), "depth_decoder.head.bias": (2,),
    }  # fmt: skip
